//! Names of a spec and the functions and variables that they mean; and the other way round, for lines that answer a blocker.

use std::collections::HashSet;

use dsu_formats::spec::expression::Side;
use dsu_formats::spec::names::VariableName;
use dsu_formats::spec::{At, Problem, Source};

use crate::plan::compare::functions::Code;
use crate::plan::compare::objects::Object;
use crate::plan::compare::pairs::Identity;

/// A function or variable with what a spec can tell it by.
pub trait Named {
    /// What it is called.
    fn identity(&self) -> &Identity;
    /// Source file and line of its declaration.
    fn declared(&self) -> &(String, u64);
}

impl Named for Object {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn declared(&self) -> &(String, u64) {
        &self.declared
    }
}

impl Named for Code {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn declared(&self) -> &(String, u64) {
        &self.declared
    }
}

/// Position in `list` of what `name` means; `what` it is (`function`, `variable`) and of which build are for the message.
///
/// # Errors
/// A name that nothing has (with the nearest one), or several have (with how each is written).
pub fn find<T: Named>(
    source: &Source,
    name: &At<VariableName>,
    (what, side): (&str, Side),
    list: &[T],
) -> Result<usize, Problem> {
    let meant: Vec<usize> =
        list.iter().enumerate().filter(|(_, item)| is_meant(&name.value, *item)).map(|(index, _)| index).collect();
    // A name without a function means a variable outside functions where there is one.
    let outside: Vec<usize> = match name.value.function {
        None => meant.iter().copied().filter(|index| list[*index].identity().function.is_none()).collect(),
        Some(_) => Vec::new(),
    };
    match (&outside[..], &meant[..]) {
        ([only], _) | ([], [only]) => Ok(*only),
        ([], []) => Err(unknown(source, name, (what, side), list)),
        _ => {
            let found: Vec<&T> = meant.iter().map(|index| &list[*index]).collect();
            let message =
                format!("{what} `{}` of the {side} program is not unique; write one of {}", name.value, quoted(&written(&found)));
            Err(source.problem(name.span, message))
        }
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

fn unknown<T: Named>(source: &Source, name: &At<VariableName>, (what, side): (&str, Side), list: &[T]) -> Problem {
    let what = format!("{what} of the {side} program");
    let namesakes: Vec<&T> = list.iter().filter(|item| item.identity().name == name.value.name).collect();
    if namesakes.is_empty() {
        let known = list.iter().map(|item| item.identity().name.as_str());
        let problem = source.unknown(name.span, &what, &name.value.name, known);
        let full = name.value.to_string();
        return Problem { message: problem.message.replacen(&name.value.name, &full, 1), ..problem };
    }
    let written = written(&namesakes);
    let nearest = dsu_formats::spec::place::nearest(&name.value.to_string(), written.iter().map(String::as_str));
    let nearest = nearest.or(written.first().map(String::as_str)).map(str::to_owned);
    Problem { nearest, ..source.problem(name.span, format!("{what} `{}` is not known", name.value)) }
}

fn is_meant<T: Named>(name: &VariableName, item: &T) -> bool {
    let (identity, declared) = (item.identity(), item.declared());
    identity.name == name.name
        && name.function.as_ref().is_none_or(|function| identity.function.as_ref() == Some(function))
        && name.file.as_ref().is_none_or(|file| is_end_of(file, &identity.unit) || is_end_of(file, &declared.0))
        && name.line.is_none_or(|line| declared.1 == line)
}

/// Whether `file` is the end of `path`, whole components.
fn is_end_of(file: &str, path: &str) -> bool {
    let mut parts = path.rsplit('/').filter(|part| *part != ".");
    file.rsplit('/').filter(|part| *part != ".").all(|part| parts.next() == Some(part))
}

/// How a spec writes each of these so that it is told from the others: as short as that allows.
pub fn written<T: Named>(items: &[&T]) -> Vec<String> {
    let mut names = Vec::new();
    for detail in [Detail::Short, Detail::Path, Detail::Line] {
        names = items.iter().map(|item| written_as(*item, detail)).collect();
        if names.iter().collect::<HashSet<_>>().len() == names.len() {
            break;
        }
    }
    names
}

#[derive(Clone, Copy, PartialEq)]
enum Detail {
    Short,
    Path,
    Line,
}

fn written_as<T: Named>(item: &T, detail: Detail) -> String {
    let (identity, declared) = (item.identity(), item.declared());
    let unit = match detail {
        Detail::Short => identity.unit.rsplit('/').next().unwrap_or_default(),
        Detail::Path | Detail::Line => identity.unit.as_str(),
    };
    let file = if unit.is_empty() || identity.external { String::new() } else { format!("{unit}:") };
    let function = identity.function.as_ref().map(|function| format!("{function}::")).unwrap_or_default();
    let line = if detail == Detail::Line && declared.1 != 0 { format!("@{}", declared.1) } else { String::new() };
    format!("{file}{function}{}{line}", identity.name)
}

/// A line of a spec, with the table that it stands in: `[pair.globals] "a" = "b"`.
pub fn line(table: &str, key: &str, value: &str) -> String {
    format!("[{table}] \"{key}\" = {value}")
}

/// The lines that pair the one at `old` with each of the `candidates`.
pub fn pairing_lines<T: Named>(table: &str, (list, old): (&[T], usize), (new, candidates): (&[T], &[usize])) -> Vec<String> {
    let Some(key) = written_among(list, old) else { return Vec::new() };
    let candidates: Vec<&T> = candidates.iter().filter_map(|index| new.get(*index)).collect();
    written(&candidates).iter().map(|name| line(table, &key, &format!("\"{name}\""))).collect()
}

/// How a spec writes the one at `index`, told from all of its name.
pub fn written_among<T: Named>(list: &[T], index: usize) -> Option<String> {
    let item = list.get(index)?;
    let namesakes = list.iter().filter(|other| other.identity().name == item.identity().name && !std::ptr::eq(*other, item));
    let all: Vec<&T> = std::iter::once(item).chain(namesakes).collect();
    written(&all).into_iter().next()
}

/// The line that pairs the one at `old` with something that the user has to name.
pub fn open_line<T: Named>(table: &str, list: &[T], old: usize) -> Vec<String> {
    written_among(list, old).map(|key| line(table, &key, "\"NAME IN THE NEW PROGRAM\"")).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dsu_formats::spec::place::Span;

    use super::*;
    use crate::program::address::LinkAddress;

    fn code(name: &str, unit: &str, function: Option<&str>, line: u64) -> Code {
        let identity = Identity {
            name: name.to_owned(),
            unit: unit.to_owned(),
            function: function.map(str::to_owned),
            external: unit.is_empty(),
            part: None,
        };
        Code { identity, entry: LinkAddress(line), ranges: Vec::new(), declared: (unit.to_owned(), line), kind: None }
    }

    fn list() -> Vec<Code> {
        vec![
            code("main", "", None, 1),
            code("n", "src/a.c", None, 2),
            code("n", "src/a.c", Some("f"), 3),
            code("n", "lib/a.c", None, 4),
            code("m", "a.c", Some("f"), 5),
            code("m", "a.c", Some("f"), 6),
        ]
    }

    fn found(name: &str) -> Result<usize, String> {
        let source = Source::new(Path::new("u.toml"), name);
        let name = At::new(VariableName::parse(name).unwrap(), Span::default());
        find(&source, &name, ("variable", Side::Old), &list()).map_err(|problem| problem.to_string())
    }

    #[test]
    fn names_mean_what_they_tell_apart() {
        assert_eq!(found("main"), Ok(0));
        assert_eq!(found("src/a.c:n"), Ok(1));
        assert_eq!(found("f::n"), Ok(2));
        assert_eq!(found("lib/a.c:n"), Ok(3));
        assert_eq!(found("a.c:f::m@6"), Ok(5));
    }

    #[test]
    fn what_is_not_unique_says_how_to_tell() {
        let message = found("a.c:n").unwrap_err();
        assert!(message.contains("\"src/a.c:n\", \"src/a.c:f::n\", \"lib/a.c:n\""), "{message}");
        let message = found("f::m").unwrap_err();
        assert!(message.contains("\"a.c:f::m@5\", \"a.c:f::m@6\""), "{message}");
    }

    #[test]
    fn what_is_unknown_names_the_nearest() {
        assert!(
            found("mian")
                .unwrap_err()
                .ends_with("variable of the old program `mian` is not known; the nearest known name is `main`")
        );
        assert!(found("g::n").unwrap_err().contains("`g::n` is not known; the nearest known name is `"));
        assert!(found("zzzzzz").unwrap_err().ends_with("`zzzzzz` is not known"));
    }
}
