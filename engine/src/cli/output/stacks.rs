//! The stacks of all threads before and after, frame by frame.

use std::fmt::Write;

use dsu_engine::plan::frames::{FrameFate, FrameReport, ThreadReport};

use super::human::printable;

/// Thread IDs that a heading lists.
const LISTED: usize = 8;

/// A block for each thread; those whose frames are alike share one, without what differs between them.
pub fn text(threads: &[ThreadReport]) -> String {
    let mut groups: Vec<(String, Vec<&ThreadReport>)> = Vec::new();
    for thread in threads {
        let shared = frames(thread, false);
        match groups.iter_mut().find(|(text, _)| *text == shared) {
            Some((_, members)) => members.push(thread),
            None => groups.push((shared, vec![thread])),
        }
    }
    let mut text = String::new();
    for (shared, members) in groups {
        let _ = writeln!(text, "{}", heading(&members));
        match members.as_slice() {
            [only] => text.push_str(&frames(only, true)),
            _ => text.push_str(&shared),
        }
    }
    text
}

fn heading(members: &[&ThreadReport]) -> String {
    let tids: Vec<String> = members.iter().take(LISTED).map(|thread| thread.tid.to_string()).collect();
    let more = members.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let plural = if members.len() == 1 { "" } else { "s" };
    format!("stack of thread{plural} {}{more}", tids.join(", "))
}

fn frames(thread: &ThreadReport, with_values: bool) -> String {
    let mut text = String::new();
    for (number, report) in thread.frames.iter().enumerate() {
        frame(number, report, with_values, &mut text);
    }
    text
}

fn frame(number: usize, report: &FrameReport, with_values: bool, text: &mut String) {
    let fate = match report.fate {
        FrameFate::Carried => "carried",
        FrameFate::Rebuilt => "rebuilt",
        FrameFate::Entered => "entered",
        FrameFate::Dropped => "dropped",
        FrameFate::Blocked => "blocked",
    };
    let _ = writeln!(text, "  #{number:<3} {fate}  {}  {}", printable(&report.function), place(report));
    for value in &report.values {
        let word = value.value.as_deref().filter(|_| with_values).map(|word| format!(" = {word}")).unwrap_or_default();
        let _ = writeln!(text, "         {}{word}: {}; read at {}", value.place, printable(&value.why), printable(&value.reader));
    }
    for object in &report.objects {
        let (old, new) = (object.old_length, object.new_length);
        let length = if old == new { format!("{old} bytes") } else { format!("{old} bytes become {new}") };
        let _ = writeln!(text, "         {}: {} to {}, {length}", printable(&object.name), object.old, object.new);
    }
    for blocker in &report.blockers {
        let _ = writeln!(text, "         not proved: {}", printable(blocker));
    }
    if let Some(next) = &report.next_point {
        let place = next.line.as_deref().unwrap_or(&next.pc);
        let plural = if next.instructions == 1 { "" } else { "s" };
        let _ = writeln!(
            text,
            "         an update lets the thread on by {} instruction{plural}, to {}",
            next.instructions,
            printable(place)
        );
    }
}

/// Where a frame goes on: lines of the program's source, or the library.
fn place(report: &FrameReport) -> String {
    if report.module != "program" {
        return printable(&report.module);
    }
    let old = report.old.line.as_deref().unwrap_or(&report.old.pc);
    let new = report.new.as_ref().map(|new| new.line.as_deref().unwrap_or(&new.pc));
    let moved = match (&report.new, report.fate) {
        (Some(new), FrameFate::Carried | FrameFate::Rebuilt | FrameFate::Entered) if new.cfa != report.old.cfa => ", moves",
        _ => "",
    };
    match new.filter(|new| *new != old) {
        Some(new) => format!("{} to {}{moved}", printable(old), printable(new)),
        None => format!("{}{moved}", printable(old)),
    }
}

#[cfg(test)]
mod tests {
    use dsu_engine::plan::frames::{NextPoint, PlaceReport, ValueReport};

    use super::*;

    fn thread(tid: i32, word: &str) -> ThreadReport {
        let place = |line: &str| PlaceReport { pc: "0x10".to_owned(), cfa: "0x7000".to_owned(), line: Some(line.to_owned()) };
        let value = ValueReport {
            place: "rbx".to_owned(),
            length: 8,
            bits: "0xff".to_owned(),
            value: Some(word.to_owned()),
            why: "variable `n`".to_owned(),
            reader: "f.c:9".to_owned(),
        };
        let frame = FrameReport {
            function: "loop".to_owned(),
            fate: FrameFate::Rebuilt,
            old: place("f.c:3"),
            new: Some(place("f.c:4")),
            module: "program".to_owned(),
            values: vec![value],
            objects: Vec::new(),
            blockers: Vec::new(),
            next_point: None,
        };
        ThreadReport { tid, frames: vec![frame] }
    }

    #[test]
    fn a_thread_that_is_let_on_says_where_to() {
        let mut blocked = thread(4, "0x1");
        let next = NextPoint { pc: "0x20".to_owned(), line: Some("f.c:7".to_owned()), instructions: 12 };
        (blocked.frames[0].fate, blocked.frames[0].next_point) = (FrameFate::Blocked, Some(next));
        assert!(text(&[blocked]).contains("lets the thread on by 12 instructions, to f.c:7"));
    }

    #[test]
    fn threads_with_the_same_frames_share_a_block_and_one_alone_shows_its_values() {
        let both = text(&[thread(4, "0x1"), thread(5, "0x2")]);
        assert!(both.contains("threads 4, 5") && !both.contains("0x1") && both.matches("loop").count() == 1, "{both}");
        let alone = text(&[thread(4, "0x1")]);
        assert!(alone.contains("rbx = 0x1") && alone.contains("f.c:3 to f.c:4") && alone.contains("variable `n`"), "{alone}");
    }
}
