//! The draft of a spec: guards, what may have been renamed, and a commented question wherever dsu cannot decide.

use std::fmt::Write;

use super::names::{Ambiguous, Removed};
use super::types::{Change, MemberChange, TypeChange, UnclearMember, UnclearReason};
use super::variables::VariableChange;
use super::{BuildName, CallSite, Diff};

/// The text of a draft; it is a spec that answers nothing yet.
pub fn draft(diff: &Diff) -> String {
    let mut text = String::from(
        "# The answers to what dsu cannot decide for one pair of builds; drafted by `dsu diff`.\n\
         # A line behind `#` is a question: take the mark away where it is right, correct it where it is not.\n",
    );
    guard(&mut text, "old", &diff.old);
    guard(&mut text, "new", &diff.new);
    pairs(&mut text, "pair.functions", &diff.functions.ambiguous, &diff.functions.removed);
    pairs(&mut text, "pair.globals", &diff.variables.ambiguous, &diff.variables.removed);
    pairs(&mut text, "pair.types", &[], &diff.types.removed);
    fields(&mut text, diff);
    globals(&mut text, diff);
    enums(&mut text, &diff.types.changed);
    memory(&mut text, &diff.types.unclear);
    constructors(&mut text, diff);
    frames(&mut text, diff);
    text
}

/// Where frames of changed functions go on: the calls of both sides, and a question about those functions of which not all calls and variables have a counterpart.
fn frames(text: &mut String, diff: &Diff) {
    for frame in diff.frames.iter().filter(|frame| !frame.calls.is_empty()) {
        let asks = if frame.is_asked() { ": where does it go on?" } else { ", it goes on so:" };
        let _ = writeln!(text, "\n# If a thread is in {}{asks}", comment(&frame.thing.describe()));
        for call in &frame.calls {
            let CallSite { callee, ordinal, line } = &call.old;
            let to = match &call.problem {
                None => format!("goes on at {}", call.new.join(", or ")),
                Some(problem) => format!("is not certain: {problem}"),
            };
            let _ = writeln!(text, "#   in call {ordinal} of {} at {}: {}", comment(callee), comment(line), comment(&to));
        }
        for CallSite { callee, ordinal, line } in &frame.added {
            let _ = writeln!(text, "#   only the new one has call {ordinal} of {} at {}", comment(callee), comment(line));
        }
        if !frame.gone.is_empty() {
            let _ = writeln!(text, "#   only the old one has {}", comment(&frame.gone.join(", ")));
        }
        if !frame.is_asked() {
            continue;
        }
        let _ = writeln!(text, "# [[continue]]\n# function = {}", quoted(&frame.written));
        let open = frame.calls.iter().find(|call| call.problem.is_some());
        if let Some(call) = open {
            let point = |site: &CallSite| format!("{{ call = {}, ordinal = {} }}", quoted(&site.callee), site.ordinal);
            let at = frame.added.iter().find(|site| site.callee == call.old.callee).or(frame.added.first());
            let at = at.map_or_else(|| "{ line = \"FILE:LINE\" }".to_owned(), point);
            let _ = writeln!(text, "# from = {}\n# at = {at}", point(&call.old));
        }
        if !frame.variables.is_empty() {
            let locals: Vec<String> = frame.variables.iter().map(|name| format!("{name} = \"EXPRESSION\"")).collect();
            let _ = writeln!(text, "# locals = {{ {} }}", comment(&locals.join(", ")));
        }
    }
}

fn guard(text: &mut String, side: &str, build: &BuildName) {
    let name = build.path.rsplit('/').next().unwrap_or_default();
    let _ = writeln!(text, "\n[{side}]\n# {}", comment(&build.path));
    let _ = match build.build_id.is_empty() {
        false => writeln!(text, "build-id = \"{}\"", build.build_id),
        true => writeln!(text, "program = {}", quoted(name)),
    };
}

/// Text that stays on its line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => _ = write!(quoted, "\\u{:04X}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A table with questions; nothing where there is none.
fn table(text: &mut String, name: &str, questions: &[String]) {
    if !questions.is_empty() {
        let _ = writeln!(text, "\n[{name}]");
        questions.iter().for_each(|question| text.push_str(question));
    }
}

fn pairs(text: &mut String, name: &str, ambiguous: &[Ambiguous], removed: &[Removed]) {
    let mut questions = Vec::new();
    for item in ambiguous {
        let mut question = format!("# Which of these is {}?\n", comment(&item.thing.describe()));
        for answer in &item.answers {
            let line = answer.split_once("] ").map_or(answer.as_str(), |parts| parts.1);
            let _ = writeln!(question, "# {}", comment(line));
        }
        questions.push(question);
    }
    for item in removed.iter().filter(|item| !item.candidates.is_empty()) {
        let mut question = format!("# {} is gone. Has it another name now?\n", comment(&item.thing.describe()));
        for candidate in &item.candidates {
            let (old, new) = (quoted(&item.thing.name), quoted(&candidate.name));
            let _ = writeln!(question, "# {old} = {new}   # {} % alike", candidate.alike);
        }
        questions.push(question);
    }
    table(text, name, &questions);
}

/// What is asked of variables, by the table that answers it.
fn unset<'d>(diff: &'d Diff, table: &'static str) -> impl Iterator<Item = String> + 'd {
    diff.unset.iter().filter_map(move |unset| {
        let (of, line) = unset.answers.first()?.strip_prefix('[')?.split_once("] ")?;
        (of == table).then(|| format!("# {}\n# {}\n", comment(&unset.message), comment(line)))
    })
}

fn fields(text: &mut String, diff: &Diff) {
    let mut questions: Vec<String> = unset(diff, "fields").collect();
    for change in &diff.types.changed {
        let asked = change.members.iter().filter(|member| {
            member.asked && matches!(member.change, Change::Added | Change::Retyped) && member.name != "(anonymous)"
        });
        questions.extend(asked.map(|member| field(change, member)));
    }
    table(text, "fields", &questions);
}

fn field(of: &TypeChange, member: &MemberChange) -> String {
    let path = format!("{}.{}", of.thing.name, member.name);
    let name = quoted(&path);
    let (old, new) = (member.old.as_ref().map(ToString::to_string), member.new.as_ref().map(ToString::to_string));
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    if member.change == Change::Retyped {
        let mut question = format!("# {}: {} becomes {}.\n", comment(&path), comment(&old), comment(&new));
        let _ = writeln!(question, "# {name} = \"old.{}\"", member.name);
        return question;
    }
    let mut question =
        format!("# {} is new ({}). What does it hold in objects that are there already?\n", comment(&path), comment(&new));
    for candidate in &member.candidates {
        let _ = writeln!(question, "# {name} = {}   # {} % alike", quoted(&format!("old.{}", candidate.name)), candidate.alike);
    }
    let _ = writeln!(question, "# {name} = 0");
    question
}

fn globals(text: &mut String, diff: &Diff) {
    let mut questions: Vec<String> = unset(diff, "globals").collect();
    for variable in &diff.variables.changed {
        if variable.changes.contains(&VariableChange::Initialiser) {
            questions.push(format!(
                "# {} has another initial value: \"keep\" the program's, or take the \"new\" one? (kept where the program has changed it)\n# {} = \"new\"\n",
                comment(&variable.thing.describe()),
                quoted(&variable.new_name)
            ));
        }
    }
    table(text, "globals", &questions);
}

fn enums(text: &mut String, changed: &[TypeChange]) {
    let mut questions = Vec::new();
    for change in changed {
        let gone: Vec<_> = change.enumerators.iter().filter(|enumerator| enumerator.new.is_none()).collect();
        let moved = change.enumerators.iter().filter(|enumerator| enumerator.old.is_some() && enumerator.new.is_some());
        let moved: Vec<String> = moved.map(|enumerator| enumerator.name.clone()).collect();
        if !moved.is_empty() {
            questions.push(format!(
                "# {}: {} have other values; they follow by name.\n",
                comment(&change.thing.name),
                moved.join(", ")
            ));
        }
        if !gone.is_empty() {
            let come: Vec<&str> =
                change.enumerators.iter().filter(|entry| entry.old.is_none()).map(|entry| entry.name.as_str()).collect();
            let answer = come.first().copied().unwrap_or("NAME");
            let entries: Vec<String> = gone.iter().map(|entry| format!("{} = {}", entry.name, quoted(answer))).collect();
            let names: Vec<&str> = gone.iter().map(|entry| entry.name.as_str()).collect();
            questions.push(format!(
                "# {}: {} gone. What does a value of it become?{}\n# {} = {{ {} }}\n",
                comment(&change.thing.name),
                names.join(", "),
                if come.is_empty() { String::new() } else { format!(" (new: {})", come.join(", ")) },
                quoted(&change.thing.name),
                entries.join(", ")
            ));
        }
    }
    table(text, "enums", &questions);
}

fn memory(text: &mut String, unclear: &[UnclearMember]) {
    let questions: Vec<String> = unclear
        .iter()
        .map(|member| {
            let (shown, name) = (comment(&member.name), quoted(&member.name));
            match member.reason {
                UnclearReason::Pointer => {
                    format!("# What does {shown} point to? (to be answered if objects that change can be behind it)\n# {name} = {{ type = \"struct NAME\" }}\n")
                }
                UnclearReason::Length => {
                    format!("# How many elements has {shown}?\n# {name} = {{ count = \"old.FIELD\" }}\n")
                }
                UnclearReason::Union => {
                    let cases = member.members.iter().enumerate().map(|(tag, member)| format!("{tag} = {}", quoted(member)));
                    let cases: Vec<String> = cases.collect();
                    format!("# Which member of {shown} is in use?\n# {name} = {{ by = \"old.TAG\", members = {{ {} }} }}\n", cases.join(", "))
                }
            }
        })
        .collect();
    table(text, "memory", &questions);
}

fn constructors(text: &mut String, diff: &Diff) {
    let mut questions = Vec::new();
    for constructor in &diff.constructors {
        let mut question = format!("# {}\n", comment(&constructor.message));
        for answer in &constructor.answers {
            let _ = writeln!(question, "# {}", comment(answer.split_once("] ").map_or(answer.as_str(), |parts| parts.1)));
        }
        questions.push(question);
    }
    table(text, "accept", &questions);
}
