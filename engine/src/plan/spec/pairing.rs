//! Pairs of functions and variables that the user gave. They win over everything that names say.

use dsu_formats::spec::expression::Side;
use dsu_formats::spec::model::{Pairing, Spec};
use dsu_formats::spec::names::VariableName;
use dsu_formats::spec::{At, Problem, Source};

use super::names::{self, Named};
use crate::plan::compare::functions::{Code, Functions};
use crate::plan::compare::objects::Object;
use crate::plan::compare::pairs::{Partner, force};
use crate::plan::compare::sides::Sides;
use crate::program::address::LinkAddress;

/// A function of the old program by its entry, and what it is in the new one; `None`: nothing.
pub type GivenFunction = (LinkAddress, Option<LinkAddress>);

/// Applies `[pair.globals]`, and lets statics follow functions that `[pair.functions]` renames.
///
/// # Errors
/// Every name that is not known or not unique, and everything that is paired twice.
pub fn pair_variables(spec: &Spec, sides: &mut Sides) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    follow_renamed(spec, sides);
    let mut given = Given::default();
    for rule in &spec.globals {
        if let Err(problem) = pair_variable(&spec.source, rule, sides, &mut given) {
            problems.push(problem);
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// What has been paired by the user.
#[derive(Default)]
struct Given {
    old: Vec<(Kind, usize)>,
    new: Vec<(Kind, usize)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Fixed,
    ThreadLocal,
    Function,
}

impl Given {
    /// Notes a pair.
    fn add(
        &mut self,
        source: &Source,
        rule: &Pairing<VariableName>,
        kind: Kind,
        old: usize,
        new: Option<usize>,
    ) -> Result<(), Problem> {
        if self.old.contains(&(kind, old)) {
            return Err(source.problem(rule.old.span, format!("`{}` is paired twice", rule.old.value)));
        }
        if let (Some(new), Some(name)) = (new, &rule.new.value) {
            if self.new.contains(&(kind, new)) {
                return Err(source.problem(rule.new.span, format!("`{name}` is the partner of two of the old program")));
            }
            self.new.push((kind, new));
        }
        self.old.push((kind, old));
        Ok(())
    }
}

fn pair_variable(source: &Source, rule: &Pairing<VariableName>, sides: &mut Sides, given: &mut Given) -> Result<(), Problem> {
    let (kind, old) = variable(source, &rule.old, Side::Old, (sides.old.objects.list(), sides.old.locals.list()))?;
    let new = match &rule.new.value {
        None => None,
        Some(name) => {
            let name = At::new(name.clone(), rule.new.span);
            let (found, new) = variable(source, &name, Side::New, (sides.new.objects.list(), sides.new.locals.list()))?;
            if found != kind {
                let message = format!("`{}` and `{}` differ in kind: one of them is thread-local", rule.old.value, name.value);
                return Err(source.problem(rule.new.span, message));
            }
            Some(new)
        }
    };
    given.add(source, rule, kind, old, new)?;
    force(if kind == Kind::Fixed { &mut sides.objects } else { &mut sides.locals }, old, new);
    Ok(())
}

/// A variable at a fixed address, else a thread-local one.
fn variable(
    source: &Source,
    name: &At<VariableName>,
    side: Side,
    (fixed, local): (&[Object], &[Object]),
) -> Result<(Kind, usize), Problem> {
    let what = ("variable", side);
    match names::find(source, name, what, fixed) {
        Ok(index) => Ok((Kind::Fixed, index)),
        Err(problem) => match names::find(source, name, what, local) {
            Ok(index) => Ok((Kind::ThreadLocal, index)),
            Err(_) => Err(problem),
        },
    }
}

/// The statics of a function that the user renames are those of its partner with the same name.
fn follow_renamed(spec: &Spec, sides: &mut Sides) {
    let renamed = spec.functions.iter().filter_map(|rule| Some((&rule.old.value.name, &rule.new.value.as_ref()?.name)));
    for (from, to) in renamed.filter(|(from, to)| from != to) {
        for (old, new, partners) in [
            (sides.old.objects.list(), sides.new.objects.list(), &mut sides.objects),
            (sides.old.locals.list(), sides.new.locals.list(), &mut sides.locals),
        ] {
            for (index, item) in old.iter().enumerate().filter(|(_, item)| item.identity.function.as_ref() == Some(from)) {
                let same =
                    |other: &Object| other.identity.function.as_ref() == Some(to) && other.identity.name == item.identity.name;
                let mut found = new.iter().enumerate().filter(|(_, other)| same(other)).map(|(index, _)| index);
                if let (Some(only), None, true) = (found.next(), found.next(), partners[index] == Partner::Gone) {
                    force(partners, index, Some(only));
                }
            }
        }
    }
}

/// `[pair.functions]` by entry address; what the compiler split off a function (`f.part`, `f.constprop`) follows it.
///
/// # Errors
/// Every name that is not known or not unique, and everything that is paired twice.
pub fn given_functions(spec: &Spec, old: &Functions, new: &Functions) -> Result<Vec<GivenFunction>, Vec<Problem>> {
    let (mut pairs, mut problems, mut given) = (Vec::new(), Vec::new(), Given::default());
    for rule in spec.functions.iter().chain(&continued(spec)) {
        match function_pair(&spec.source, rule, old.list(), new.list(), &mut given) {
            Ok((from, to)) => {
                pairs.extend(clones(old.list(), new.list(), from, to));
                pairs.push((old.list()[from].entry, to.map(|to| new.list()[to].entry)));
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(pairs) } else { Err(problems) }
}

/// Pairs of functions that frames go on by besides those of partners, by their positions: several `in` for one function or one `in` for several,
/// functions that a frame is inside besides, and functions whose frames vanish with what their caller becomes. Names that mean nothing are told when they are bound.
pub fn frame_pairs(spec: &Spec, sides: &Sides) -> Vec<(usize, usize)> {
    let (olds, news) = (sides.old.functions.list(), sides.new.functions.list());
    let old = |name: &At<VariableName>| names::find(&spec.source, name, ("function", Side::Old), olds).ok();
    let new = |name: &At<VariableName>| names::find(&spec.source, name, ("function", Side::New), news).ok();
    let mut pairs = Vec::new();
    for table in &spec.continues {
        let Some(function) = old(&table.function) else { continue };
        let partner = sides.functions.get(function).and_then(Partner::one);
        let into = table.into.as_ref().map_or(partner, new);
        pairs.extend(into.filter(|into| Some(*into) != partner).map(|into| (function, into)));
        pairs.extend(table.inside.iter().filter_map(|inside| new(&inside.function)).map(|inside| (function, inside)));
        pairs.extend(
            table.drops.iter().filter_map(old).zip(std::iter::repeat(into)).filter_map(|(gone, into)| Some((gone, into?))),
        );
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// Functions of the old build, by their positions, that threads are to leave for the entry of another one.
pub fn left_functions(spec: &Spec, sides: &Sides) -> Vec<usize> {
    let old = |name: &At<VariableName>| names::find(&spec.source, name, ("function", Side::Old), sides.old.functions.list()).ok();
    let new = |name: &At<VariableName>| names::find(&spec.source, name, ("function", Side::New), sides.new.functions.list()).ok();
    let left = |restart: &dsu_formats::spec::model::Restart| match &restart.instead_of {
        Some(name) => old(name),
        None => {
            let function = new(&restart.function)?;
            sides.functions.iter().position(|partner| partner.one() == Some(function))
        }
    };
    spec.restarts.iter().filter_map(left).collect()
}

/// What `in` of `[[continue]]` pairs, where it is one function for all frames, and no other function's.
fn continued(spec: &Spec) -> Vec<Pairing<VariableName>> {
    let mut found: Vec<Pairing<VariableName>> = Vec::new();
    for table in &spec.continues {
        let Some(into) = &table.into else { continue };
        // Of functions that become one none is its partner: only their frames are told of.
        let is_other = |other: &dsu_formats::spec::continuation::Continue| {
            let same = (
                other.function.value == table.function.value,
                other.into.as_ref().is_some_and(|other| other.value == into.value),
            );
            other.into.is_some() && matches!(same, (true, false) | (false, true))
        };
        if spec.continues.iter().any(is_other) {
            continue;
        }
        let same = |other: &Pairing<VariableName>| {
            other.old.value == table.function.value && other.new.value.as_ref() == Some(&into.value)
        };
        if !spec.functions.iter().chain(&found).any(same) {
            let new = At::new(Some(into.value.clone()), into.span);
            found.push(Pairing { old: table.function.clone(), new });
        }
    }
    found
}

fn function_pair(
    source: &Source,
    rule: &Pairing<VariableName>,
    old: &[Code],
    new: &[Code],
    given: &mut Given,
) -> Result<(usize, Option<usize>), Problem> {
    let from = names::find(source, &rule.old, ("function", Side::Old), old)?;
    let to = match &rule.new.value {
        Some(name) => Some(names::find(source, &At::new(name.clone(), rule.new.span), ("function", Side::New), new)?),
        None => None,
    };
    given.add(source, rule, Kind::Function, from, to)?;
    Ok((from, to))
}

/// Copies and parts of a renamed function that both builds have once.
fn clones(old: &[Code], new: &[Code], from: usize, to: Option<usize>) -> Vec<GivenFunction> {
    let (Some(from), Some(to)) = (old.get(from), to.and_then(|to| new.get(to))) else { return Vec::new() };
    let suffix = |code: &Code, of: &Code| -> Option<String> {
        let rest = code.identity().name.strip_prefix(&of.identity.name)?.strip_prefix('.')?;
        (code.identity.unit == of.identity.unit).then(|| rest.to_owned())
    };
    let of = |list: &[Code], root: &Code| -> Vec<(String, LinkAddress)> {
        list.iter().filter_map(|code| Some((suffix(code, root)?, code.entry))).collect()
    };
    let (theirs, ours) = (of(new, to), of(old, from));
    let once = |list: &[(String, LinkAddress)], kind: &str| -> Option<LinkAddress> {
        let mut found = list.iter().filter(|(suffix, _)| suffix == kind);
        let only = found.next()?;
        found.next().is_none().then_some(only.1)
    };
    ours.iter().filter_map(|(kind, _)| Some((once(&ours, kind)?, Some(once(&theirs, kind)?)))).collect()
}

#[cfg(test)]
mod tests {
    use crate::plan::compare::pairs::Partner;
    use crate::plan::testing::{Pair, answered};

    const OLD: &str = "\
        static int total = 3; __thread int hits = 1; int spare = 7;
        __attribute__((noinline)) int serve(int n) { static int calls = 5; return calls += n + total++ + hits++; }
        __attribute__((noinline)) int retired(void) { return spare++; }
        int main(int argc, char **argv) { return serve(argc) + retired(); }";
    const NEW: &str = "\
        static int grand_total = 3; __thread int strikes = 1; int spare = 7;
        __attribute__((noinline)) int serve_client(int n) { static int calls = 5; return calls += n + grand_total++ + strikes++; }
        __attribute__((noinline)) int retired(void) { return spare++; }
        int main(int argc, char **argv) { return serve_client(argc) + retired(); }";
    const SPEC: &str = "\
        pair.functions.serve = \"serve_client\"
        pair.globals.total = \"program.c:grand_total\"
        pair.globals.hits = \"strikes\"
        pair.globals.spare = false
        pair.functions.retired = false";

    /// The name in the new program of a variable of the old one.
    fn partner(pair: &Pair, name: &str) -> Option<String> {
        let sides = &pair.comparison.sides;
        let at = sides.old.objects.list().iter().position(|object| object.identity.name == name).expect("a variable");
        Some(sides.new.objects.list()[sides.objects[at].one()?].identity.name.clone())
    }

    #[test]
    fn given_pairs_win_and_the_code_follows() {
        let pair = answered(OLD, NEW, SPEC).unwrap();
        let sides = &pair.comparison.sides;
        assert_eq!(partner(&pair, "total").as_deref(), Some("grand_total"));
        assert_eq!(partner(&pair, "calls").as_deref(), Some("calls"), "a static follows its renamed function");
        assert_eq!(partner(&pair, "spare"), None);
        assert_eq!(sides.locals, [Partner::One(0)]);
        let function =
            |name: &str| sides.old.functions.list().iter().position(|code| code.identity.name == name).expect("a function");
        assert!(pair.comparison.code.same[function("serve")], "the same code with renamed variables");
        assert_eq!(sides.functions[function("retired")], Partner::Gone);
        let unanswered = answered(OLD, NEW, "").unwrap();
        assert_eq!(partner(&unanswered, "total"), None);
        assert_eq!(partner(&unanswered, "calls"), None);
    }

    #[test]
    fn wrong_pairs_are_refused_all_at_once() {
        let spec = "\
[pair.functions]
srve = \"serve_client\"
main = \"mian\"
[pair.globals]
total = \"strikes\"
hits = \"strikes\"
spare = \"spare\"
\"program.c:spare\" = \"grand_total\"
";
        let message = answered(OLD, NEW, spec).err().expect("wrong names");
        for fact in [
            "u.toml:2:1: function of the old program `srve` is not known; the nearest known name is `serve`",
            "u.toml:3:9: function of the new program `mian` is not known; the nearest known name is `main`",
            "u.toml:5:10: `total` and `strikes` differ in kind: one of them is thread-local",
            "u.toml:8:1: `program.c:spare` is paired twice",
        ] {
            assert!(message.contains(fact), "{fact}\n{message}");
        }
        assert_eq!(message.lines().count(), 4, "{message}");
    }
}
