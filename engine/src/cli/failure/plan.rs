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

/// A table of a spec that answers something.
struct Table<'a> {
    head: &'a str,
    lines: Vec<Line<'a>>,
}

/// A line with items that may be in any number: how it begins, they, and how it ends. Without a beginning it is one item.
struct Line<'a> {
    start: &'a str,
    items: Vec<&'a str>,
    end: &'a str,
}

impl<'a> Line<'a> {
    fn new(text: &'a str) -> Self {
        let known = [("accept = [", "]"), ("locals = { ", " }")];
        let inner = |(start, end)| Some((start, text.strip_prefix(start)?.strip_suffix(end)?, end));
        let (start, item, end) = known.into_iter().find_map(inner).unwrap_or(("", text, ""));
        Self { start, items: vec![item], end }
    }
}

impl<'a> Table<'a> {
    fn add(&mut self, line: Line<'a>) {
        let own = self.lines.iter_mut().find(|own| own.start == line.start && (!own.start.is_empty() || own.items == line.items));
        match own {
            None => self.lines.push(line),
            Some(own) => {
                let more = line.items.into_iter().filter(|item| !own.items.contains(item)).collect::<Vec<_>>();
                own.items.extend(more);
            }
        }
    }

    fn text(&self) -> String {
        let lines = self.lines.iter().map(|line| format!("\n{}{}{}", line.start, line.items.join(", "), line.end));
        format!("{}{}", self.head, lines.collect::<String>())
    }
}

/// The tables that answers are, each once, with those about one function put together where each is a line.
fn tables(answers: &[String]) -> Vec<String> {
    let mut found: Vec<Table<'_>> = Vec::new();
    for answer in answers {
        let is_head = |head: &str| head.starts_with("[[continue]]\nfunction = ") && head.lines().count() == 2;
        let split = answer.rsplit_once('\n').filter(|(head, _)| is_head(head));
        let (head, line) = split.map_or((answer.as_str(), None), |(head, line)| (head, Some(Line::new(line))));
        let at = found.iter().position(|table| table.head == head).unwrap_or_else(|| {
            found.push(Table { head, lines: Vec::new() });
            found.len() - 1
        });
        if let Some((table, line)) = found.get_mut(at).zip(line) {
            table.add(line);
        }
    }
    found.iter().map(Table::text).collect()
}

/// How holders are called whose words the kernel gives back with a signal.
const SENT: [&str; 2] = ["the value of timer", "the pending signal"];

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
        ("pointer", "untyped") if SENT.iter().any(|sent| name("holder").starts_with(sent)) => {
            "no spec tells which values of timers and signals are addresses: try again when the timer or the signal is gone, or build the \
             program position-independent (-fPIE -pie), which needs no answer"
        }
        ("pointer", "untyped") => {
            "say in a spec what leads to it ([memory]: the type behind a pointer, or behind epoll data); a program that is built \
             position-independent (-fPIE -pie) needs no such answer"
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
    fn what_a_timer_gives_back_is_not_said_to_be_for_a_spec() {
        let hint = |holder: &str| hint(&serde_json::json!({ "kind": "pointer", "problem": "untyped", "holder": holder }));
        assert!(hint("the value of timer 0").starts_with("no spec tells"));
        assert!(hint("the pending signal 34").starts_with("no spec tells"));
        assert!(hint("the word at 0x10").contains("[memory]"));
    }

    #[test]
    fn a_kind_without_a_hint_of_its_own_still_has_one() {
        assert!(hint(&serde_json::json!({ "kind": "something new" })).contains("started"));
        assert!(hint(&Value::Null).contains("started"));
    }

    #[test]
    fn tables_about_one_function_are_put_together() {
        let table = |function: &str, line: &str| format!("[[continue]]\nfunction = \"{function}\"\n{line}");
        let answers = [
            table("f", "locals = { n = \"old.n\" }"),
            table("f", "accept = [\"branch a.c:1\"]"),
            table("g", "in = \"h\""),
            table("f", "accept = [\"skipped a.c:2\"]"),
            table("f", "accept = [\"branch a.c:1\"]"),
            table("f", "locals = { m = 0 }"),
            table("g", "in = \"h\""),
        ];
        let both = "locals = { n = \"old.n\", m = 0 }\naccept = [\"branch a.c:1\", \"skipped a.c:2\"]";
        assert_eq!(tables(&answers), [table("f", both), table("g", "in = \"h\"")]);
        let other = ["[memory]\n\"x\" = 1".to_owned()];
        assert_eq!(tables(&other), other);
    }
}
