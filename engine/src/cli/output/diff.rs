//! What differs between two builds, for people.

use std::fmt::Write;

use dsu_engine::plan::diff::{
    Ambiguous, Candidate, Change, Diff, EnumeratorChange, MemberChange, Removed, Thing, TypeChange, UnclearReason,
};

use super::human::{count, printable};

/// Most lines of one kind; `--json` has all.
const MAX_LINES: usize = 60;

/// The whole answer.
pub fn text(diff: &Diff) -> String {
    let mut text = format!("{}\n  to {}\n", build(&diff.old), build(&diff.new));
    if diff.is_empty() {
        text += "nothing differs: functions, variables, types, libraries\n";
        return text;
    }
    functions(&mut text, diff);
    variables(&mut text, diff);
    types(&mut text, diff);
    let libraries = diff.libraries.added.iter().map(|name| format!("+ {name}"));
    section(&mut text, "libraries", libraries.chain(diff.libraries.removed.iter().map(|name| format!("- {name}"))).collect());
    let constructors = diff.constructors.iter().map(|constructor| format!("! {}", constructor.message));
    section(&mut text, "constructors", constructors.collect());
    text
}

fn build(name: &dsu_engine::plan::diff::BuildName) -> String {
    let id = match name.build_id.get(..16) {
        Some(start) => format!("{start}..."),
        None if name.build_id.is_empty() => "no build-id".to_owned(),
        None => name.build_id.clone(),
    };
    format!("{} ({id})", printable(&name.path))
}

/// A heading and its lines, not all of very many; nothing where there are none.
fn section(text: &mut String, heading: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "{heading}:");
    for line in lines.iter().take(MAX_LINES) {
        let _ = writeln!(text, "  {}", printable(line));
    }
    if let Some(more) = lines.len().checked_sub(MAX_LINES).filter(|more| *more > 0) {
        let _ = writeln!(text, "  ... and {more} more (all of them with --json)");
    }
}

fn functions(text: &mut String, diff: &Diff) {
    let functions = &diff.functions;
    let changed = functions.changed.iter().map(|change| match &change.new_name {
        Some(new) => format!("~ {}, now `{new}`", change.thing.describe()),
        None => format!("~ {}", change.thing.describe()),
    });
    let mut lines: Vec<String> = changed.collect();
    come_and_gone(&mut lines, &functions.added, &functions.removed, &functions.ambiguous);
    section(text, &format!("functions ({} the same)", functions.same), lines);
}

fn variables(text: &mut String, diff: &Diff) {
    let variables = &diff.variables;
    let changed = variables.changed.iter().map(|variable| {
        let changes: Vec<String> = variable.changes.iter().map(ToString::to_string).collect();
        format!("~ {}: {}", variable.thing.describe(), changes.join("; "))
    });
    let mut lines: Vec<String> = changed.collect();
    come_and_gone(&mut lines, &variables.added, &variables.removed, &variables.ambiguous);
    section(text, &format!("variables ({} the same)", variables.same), lines);
}

fn come_and_gone(lines: &mut Vec<String>, added: &[Thing], removed: &[Removed], ambiguous: &[Ambiguous]) {
    lines.extend(added.iter().map(|thing| format!("+ {}", thing.describe())));
    lines.extend(removed.iter().map(|item| format!("- {}{}", item.thing.describe(), perhaps(&item.candidates))));
    for item in ambiguous {
        lines.push(format!("? {}: {}", item.thing.describe(), count(item.answers.len() as u64, "possible partner")));
        lines.extend(item.answers.iter().map(|answer| format!("    {answer}")));
    }
}

/// What something that is gone may be now.
fn perhaps(candidates: &[Candidate]) -> String {
    let names: Vec<String> =
        candidates.iter().map(|candidate| format!("`{}` ({} % alike)", candidate.name, candidate.alike)).collect();
    if names.is_empty() { String::new() } else { format!("; perhaps {}", names.join(" or ")) }
}

fn types(text: &mut String, diff: &Diff) {
    let mut lines = Vec::new();
    for change in &diff.types.changed {
        lines.push(format!("~ {}{}", change.thing.describe(), sizes(change)));
        lines.extend(change.members.iter().map(|member| format!("    {}", self::member(member))));
        lines.extend(change.enumerators.iter().map(|enumerator| format!("    {}", self::enumerator(enumerator))));
    }
    come_and_gone(&mut lines, &diff.types.added, &diff.types.removed, &[]);
    section(text, "types", lines);
    let unclear = diff.types.unclear.iter().map(|member| {
        let what = match member.reason {
            UnclearReason::Pointer => "points to anything (void *)",
            UnclearReason::Length => "has elements that change: nothing tells how many",
            UnclearReason::Union => "is a union: nothing tells which member is in use",
        };
        format!("? {} {what}", member.name)
    });
    section(text, "what types do not tell (matters where types that change are behind it)", unclear.collect());
}

fn sizes(change: &TypeChange) -> String {
    match (change.old_size, change.new_size) {
        (Some(old), Some(new)) if old != new => format!(": {} to {new}", count(old, "byte")),
        (Some(old), _) => format!(": {}", count(old, "byte")),
        _ => String::new(),
    }
}

fn member(member: &MemberChange) -> String {
    let shown = |at: &Option<_>| at.as_ref().map(ToString::to_string).unwrap_or_default();
    let (old, new): (String, String) = (shown(&member.old), shown(&member.new));
    match member.change {
        Change::Added => format!("+ {}: {new}{}", member.name, perhaps(&member.candidates)),
        Change::Removed => format!("- {}: {old}", member.name),
        Change::Inside => format!("~ {}: {new}, which changes itself", member.name),
        Change::Moved | Change::Retyped => format!("~ {}: {old} becomes {new}", member.name),
    }
}

fn enumerator(change: &EnumeratorChange) -> String {
    match (change.old, change.new) {
        (Some(old), Some(new)) => format!("~ {}: {old} becomes {new}", change.name),
        (Some(old), None) => format!("- {} = {old}", change.name),
        (None, Some(new)) => format!("+ {} = {new}", change.name),
        (None, None) => change.name.clone(),
    }
}
