//! What the plan found in the way.

use dsu_engine::plan::blocker::Blocker;
use serde_json::Value;

use super::{Reason, Subject};

/// A blocker in a list.
pub(super) fn reason(blocker: &Blocker, subject: &Subject<'_>) -> Reason {
    let mut facts = serde_json::to_value(blocker).unwrap_or_default();
    if let Some(fields) = facts.as_object_mut() {
        fields.insert("transient".to_owned(), blocker.is_transient().into());
    }
    let mut hint = match subject {
        Subject::File(_) if blocker.is_transient() => {
            "an image stands still: take another checkpoint, at a moment when its threads are elsewhere".to_owned()
        }
        _ => hint(&facts).to_owned(),
    };
    match blocker.answers() {
        [] if !hint.contains("spec") => hint.push_str("; no line of a spec answers it"),
        [] => {}
        answers if answers.iter().any(|answer| answer.contains('\n')) => {
            hint = format!("{hint}; or answer in a spec (--spec FILE):\n{}", tables(answers).join("\n"));
        }
        [only] => hint = format!("{hint}; or answer in a spec (--spec FILE): {only}"),
        answers => hint = format!("{hint}; or answer in a spec (--spec FILE) with one of: {}", answers.join("   or   ")),
    }
    Reason { message: blocker.to_string(), thread: of_thread(blocker), hint, facts }
}

/// A blocker that is about one thread: what the same reasons of other threads are told with.
fn of_thread(blocker: &Blocker) -> Option<(i32, String, Vec<String>)> {
    let Blocker::ActiveFunction { tid, frames, .. } = blocker else { return None };
    let mut bare = blocker.clone();
    if let Blocker::ActiveFunction { frames, .. } = &mut bare {
        frames.clear();
    }
    let first = bare.to_string();
    let rest = first.strip_prefix(&format!("thread {tid} is "))?.to_owned();
    let mut lines: Vec<String> = Vec::new();
    for line in frames.iter().map(ToString::to_string) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    Some((*tid, rest, lines))
}

/// The tables that answers are, each once, with those about one function put together.
fn tables(answers: &[String]) -> Vec<String> {
    let mut found: Vec<(&str, Vec<(&str, Vec<&str>, &str)>)> = Vec::new();
    for answer in answers {
        let body = answer
            .rsplit_once('\n')
            .filter(|(head, _)| head.starts_with("[[continue]]\nfunction = ") && head.lines().count() == 2);
        let (head, line) = body.unwrap_or((answer, ""));
        let (start, item, end) = match line {
            "" => ("", "", ""),
            _ => inner(line, "accept = [", "]").or_else(|| inner(line, "locals = { ", " }")).unwrap_or(("", line, "")),
        };
        let table = match found.iter().position(|(own, _)| *own == head) {
            Some(at) => &mut found[at].1,
            None => {
                found.push((head, Vec::new()));
                match found.last_mut() {
                    Some(last) => &mut last.1,
                    None => continue,
                }
            }
        };
        match table.iter_mut().find(|(own, items, _)| *own == start && (!start.is_empty() || items.contains(&item))) {
            Some((_, items, _)) if items.contains(&item) => {}
            Some((_, items, _)) => items.push(item),
            None => table.push((start, vec![item], end)),
        }
    }
    let text = |(head, lines): &(&str, Vec<(&str, Vec<&str>, &str)>)| {
        let lines = lines.iter().map(|(start, items, end)| format!("\n{start}{}{end}", items.join(", ")));
        format!("{head}{}", lines.collect::<String>()).trim_end().to_owned()
    };
    found.iter().map(text).collect()
}

fn inner<'l>(line: &'l str, start: &'l str, end: &'l str) -> Option<(&'l str, &'l str, &'l str)> {
    Some((start, line.strip_prefix(start)?.strip_suffix(end)?, end))
}

/// What would answer a blocker or make it go away, by the kind (and for a pointer the problem) that programs see in its JSON.
fn hint(facts: &Value) -> &'static str {
    let name = |member: &str| facts.get(member).and_then(Value::as_str).unwrap_or_default();
    let nested = facts.pointer("/problem/problem").and_then(Value::as_str);
    match (name("kind"), nested.unwrap_or(name("problem"))) {
        ("active-function", _) if facts.get("stays") == Some(&Value::Bool(true)) => {
            "a thread is in its first function for as long as it lives: waiting helps only if the thread ends, or stops at a place from \
             which it can go on in the new code (`dsu plan --stacks` shows what is not proved); where the function became another one \
             altogether, a table `[[restart]]` in a spec lets the thread enter it anew, with all data in place"
        }
        ("active-function", _) => {
            "wait until the thread has left it: try again with a longer --wait, such as `--wait 1m`, or when there is less load"
        }
        ("frame", _) => {
            "the thread will be elsewhere in a moment: try again, with a longer --wait (`dsu plan --stacks` shows its frames)"
        }
        ("unsafe-place", _) => "the thread will have left it in a moment: try again, with a longer --wait",
        ("unwinding", _) => {
            "build the program and its libraries with unwind tables (-fasynchronous-unwind-tables, which is the default), or try again \
             when the thread is elsewhere"
        }
        ("unsupported", _) => "build the program as what is expected, or start the new one in place of the old one",
        ("new-library", _) => "link the new program against the libraries of the old one, or start it in place of the old one",
        ("changed-variable", _) => "build both programs with -g, so that the types on both sides are known",
        ("question", _) => "`dsu diff OLD NEW -o update.toml` drafts a spec with all questions",
        ("walk", "union" | "tag") => "say in a spec which member is in use: [memory]",
        ("walk", "suspect") => {
            "give what points to the block a type, in the program or in a spec ([memory]); or, if it holds no such object, say so"
        }
        ("walk", "unreadable-heap") => "objects in the heap of an allocator that dsu does not know cannot be told",
        ("walk", "length") => "correct the rule for the number of elements, or the program that broke it",
        ("walk", "too-small" | "misaligned" | "conflict") => {
            "say in a spec what the pointer leads to ([memory]), or that it is opaque: its type does not fit what is there"
        }
        ("walk", "in-registers" | "frame") => "the thread will be elsewhere in a moment: try again, with a longer --wait",
        ("cleared", _) => "without --strict this evidence is enough",
        ("object", _) => "correct the rule in the spec, or the value in the program",
        ("ambiguous-variable", _) => "give the variable a name of its own in its source file, in both builds",
        ("address-as-number", _) => "the place that it computed is another one in the new program: something has to put it right",
        ("constructor", _) => {
            "call what the constructor does from ordinary code of the new program, or start it in place of the old one"
        }
        ("unresolved-symbol", _) => {
            "link the new program against the library versions that the process has loaded (/proc/PID/maps shows them)"
        }
        ("relocation", _) => "build the new program with an ordinary linker and ordinary flags (-fPIE -pie)",
        ("loader-record", _) => "this C library is not known: report it with the output of `ldd --version`",
        ("no-room", _) => "the address space is full or limited: see `prlimit --as -p PID`",
        ("unknown-data", _) => "build the part of the program that has no debug information with -g too",
        ("thread-local", _) => "use less thread-local storage in the new program, or start it in place of the old one",
        ("pointer", "boundary") => {
            "keep the two objects side by side in the new build, or compare with the last element instead of the end"
        }
        ("pointer", "table") => "keep the rows of the table unique and the row that is pointed to as it is",
        ("pointer", "inside-function") => "try again when no coroutine, longjmp buffer or label table points into the function",
        ("pointer", "gone") => "keep the function or variable in the new build as long as the process may point to it",
        ("pointer", "ambiguous") => "give the function or variable a name of its own in its source file, in both builds",
        ("pointer", "changed-layout") => "keep the layout of the object in the new build, or start it in place of the old one",
        ("pointer", "untyped") => {
            "say in a spec what leads to it ([memory]: the type behind a pointer, behind epoll data, or behind the values of signals and \
             timers); a program that is built position-independent (-fPIE -pie) needs no such answer"
        }
        ("pointer", "object") => "say in a spec what the pointer leads to ([memory]), or try again when it is gone",
        ("pointer", "frame") => "try again when what holds it is gone (`dsu plan --stacks` shows the frame)",
        ("pointer", "new-block") => "try again when the timer or signal is gone, or keep the size of the object",
        ("pointer", "in-transit") => "try again when the pipe or socket is empty",
        _ => "the new program has to be started in place of the old one",
    }
}

#[cfg(test)]
mod tests {
    use dsu_formats::address::RunAddress;

    use super::*;

    #[test]
    fn a_blocker_that_passes_says_that_waiting_helps() {
        let active = Blocker::ActiveFunction {
            tid: 7,
            function: "serve".to_owned(),
            place: "kvd.c:310".to_owned(),
            outermost: None,
            stays: false,
            frames: Vec::new(),
            answers: Vec::new(),
        };
        let place = Blocker::UnsafePlace { tid: 8, what: "the loader".to_owned(), address: RunAddress(0x7f00) };
        for (blocker, fact) in [(active, "kvd.c:310"), (place, "the loader")] {
            let in_image = self::reason(&blocker, &Subject::File(std::path::Path::new("i"))).hint;
            assert!(in_image.contains("another checkpoint") && !in_image.contains("--wait"), "{in_image}");
            let reason = reason(&blocker, &Subject::Process(1));
            assert!(reason.message.contains(fact) && reason.hint.contains("--wait"), "{reason:?}");
            assert_eq!(reason.facts["transient"], true);
        }
    }

    #[test]
    fn a_kind_without_a_hint_of_its_own_still_has_one() {
        assert!(hint(&serde_json::json!({ "kind": "something new" })).contains("started"));
        assert!(hint(&Value::Null).contains("started"));
    }
}
