//! Text for people: failures with reasons and hints, aligned tables, sizes.

use std::fmt::Write;

use super::{json, stacks};
use crate::cli::failure::{Exit, Failure, Reason};

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// Most reasons that are listed one by one; `--json` has them all.
const MAX_REASONS: usize = 40;
/// Most names in a list; `--json` has them all.
const MAX_NAMES: usize = 8;

/// A failure: what, why, in which state, what next. Colours are taken out where nobody sees them.
pub fn failure(failure: &Failure) -> String {
    let (colour, label) = match failure.exit {
        Exit::Blocked => (YELLOW, "blocked"),
        Exit::RolledBack => (YELLOW, "rolled back"),
        Exit::LaterStep => (YELLOW, "but a later step failed"),
        Exit::Parked => (RED, "parked"),
        _ => (RED, "error"),
    };
    let mut text = format!("{colour}{label}{PLAIN}: {}\n", printable(failure.message()));
    causes(&mut text, failure.chain.get(1..).unwrap_or_default());
    reasons(&mut text, failure);
    if let Some((what, chain)) = &failure.also {
        let _ = writeln!(text, "{what}: {}", printable(chain.first().map_or("", String::as_str)));
        causes(&mut text, chain.get(1..).unwrap_or_default());
    }
    text.push_str(&failure.stacks.as_deref().map(stacks::text).unwrap_or_default());
    let _ = writeln!(text, "{}", failure.state.text());
    for hint in &failure.hints {
        let _ = writeln!(text, "{BOLD}hint{PLAIN}: {}", printable(hint));
    }
    text
}

fn causes(text: &mut String, chain: &[String]) {
    for cause in chain {
        let _ = writeln!(text, "  because: {}", printable(cause));
    }
}

/// Lists reasons; those that one hint answers stand together.
fn reasons(text: &mut String, failure: &Failure) {
    let all: Vec<&Reason> = failure.obstacles.iter().chain(&failure.blockers).collect();
    let all = together(&all);
    let shown = all.get(..MAX_REASONS).unwrap_or(&all);
    for (at, (reason, threads)) in shown.iter().enumerate() {
        let _ = writeln!(text, "  - {}", printable(&message(reason, threads)));
        for line in reason.thread.iter().flat_map(|(_, _, lines)| lines) {
            let _ = writeln!(text, "      {}", printable(line));
        }
        if shown.get(at + 1).is_none_or(|(next, _)| next.hint != reason.hint) {
            let lines: Vec<String> = reason.hint.lines().map(printable).collect();
            let _ = writeln!(text, "    {BOLD}hint{PLAIN}: {}", lines.join("\n      "));
        }
    }
    if all.len() > shown.len() {
        let _ = writeln!(text, "  ... and {} more (all of them with --json)", all.len() - shown.len());
    }
}

/// Reasons that are the same for several threads once, with the threads.
fn together<'f>(all: &[&'f Reason]) -> Vec<(&'f Reason, Vec<i32>)> {
    let mut found: Vec<(&Reason, Vec<i32>)> = Vec::new();
    for reason in all {
        let Some((tid, first, lines)) = &reason.thread else {
            found.push((reason, Vec::new()));
            continue;
        };
        let is_same = |(other, _): &&mut (&Reason, Vec<i32>)| {
            other.hint == reason.hint && other.thread.as_ref().is_some_and(|(_, own, of)| (own, of) == (first, lines))
        };
        match found.iter_mut().find(is_same) {
            Some((_, threads)) => threads.push(*tid),
            None => found.push((reason, vec![*tid])),
        }
    }
    found
}

/// The first line of a reason.
fn message(reason: &Reason, threads: &[i32]) -> String {
    let Some((_, first, lines)) = &reason.thread else { return reason.message.clone() };
    let numbers: Vec<String> = threads.iter().take(MAX_NAMES).map(ToString::to_string).collect();
    let more = match threads.len().saturating_sub(numbers.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let who = if threads.len() == 1 { "thread" } else { "threads" };
    let are = if threads.len() == 1 { "is" } else { "are" };
    let end = if lines.is_empty() { "" } else { ":" };
    format!("{who} {}{more} {are} {first}{end}", numbers.join(", "))
}

/// Text that may come from a process or a file, without anything that a terminal would obey.
pub fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] }).collect()
}

/// Bytes that are text as a rule, for a terminal.
pub fn text(bytes: &[u8]) -> String {
    printable(&json::text(bytes))
}

/// Lines of a name and its value, the values below each other.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<(String, String)>,
}

impl Table {
    /// Adds a line; a value of several lines is aligned.
    pub fn row(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.rows.push((name.to_owned(), value.into()));
        self
    }

    /// The lines, indented.
    pub fn text(&self) -> String {
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in &self.rows {
            let mut name = name.as_str();
            for line in value.lines() {
                let _ = writeln!(text, "  {name:width$}  {line}");
                name = "";
            }
        }
        text
    }
}

/// Names in one line, not all of very many.
pub fn names(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(MAX_NAMES).map(|name| printable(name)).collect();
    let more = names.len().saturating_sub(MAX_NAMES);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// A number with the name of what is counted, which takes an `s` unless there is one.
pub fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// A number of bytes in the unit that fits it.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return count(bytes, "byte");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// A build-id, short enough to compare by eye.
pub fn build_id(bytes: &[u8]) -> String {
    const SHOWN: usize = 8;
    match bytes.get(..SHOWN) {
        _ if bytes.is_empty() => "no build-id".to_owned(),
        Some(start) if bytes.len() > SHOWN => format!("{}...", json::hex(start)),
        _ => json::hex(bytes),
    }
}

/// Wall-clock time in UTC, to the second, from nanoseconds since 1970.
pub fn time(ns: u64) -> String {
    match time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)) {
        Ok(at) => format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        ),
        Err(_) => format!("{ns} ns after 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_the_unit_that_fits() {
        let texts = [0, 1, 1023, 1024, 1536, 1 << 20, 5 << 30, 1 << 50].map(size);
        assert_eq!(texts, ["0 bytes", "1 byte", "1023 bytes", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB", "1024.0 TiB"]);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(time(951_782_400_000_000_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(time(1_788_220_799_999_999_999), "2026-08-31 23:59:59 UTC");
    }

    #[test]
    fn long_lists_are_cut_and_say_so() {
        let list: Vec<String> = (0..10).map(|number| format!("f{number}")).collect();
        assert_eq!(names(&list), "f0, f1, f2, f3, f4, f5, f6, f7 and 2 more");
        assert_eq!(names(&list[..2]), "f0, f1");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(text(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(text(b"\xff"), "\\xff");
    }

    #[test]
    fn reasons_with_one_hint_stand_together() {
        let reason = |message: &str, hint: &str| Reason {
            message: message.to_owned(),
            thread: None,
            hint: hint.to_owned(),
            facts: serde_json::Value::Null,
        };
        let mut blocked = Failure::new(Exit::Blocked, "blocked", "3 reasons", "restart it");
        blocked.blockers = vec![reason("one", "wait"), reason("two", "wait"), reason("three", "close it")];
        let text = failure(&blocked);
        assert_eq!(text.matches("wait").count(), 1, "{text}");
        assert!(text.find("one") < text.find("two") && text.find("two") < text.find("wait"), "{text}");
    }

    #[test]
    fn what_is_true_of_several_threads_is_told_once() {
        let reason = |tid: i32, line: &str| Reason {
            message: String::new(),
            thread: Some((tid, "inside `f`, which changes (a.c:1)".to_owned(), vec![line.to_owned()])),
            hint: "wait".to_owned(),
            facts: serde_json::Value::Null,
        };
        let mut blocked = Failure::new(Exit::Blocked, "blocked", "3 reasons", "restart it");
        blocked.blockers = vec![reason(7, "n is lost"), reason(8, "m is lost"), reason(9, "n is lost")];
        let text = failure(&blocked);
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what:?} in {text}"));
        assert!(
            at("- threads 7, 9 are inside `f`, which changes (a.c:1):\n      n is lost") < at("- thread 8 is inside"),
            "{text}"
        );
        assert_eq!((text.matches("n is lost").count(), text.matches("wait").count()), (1, 1), "{text}");
    }
}
