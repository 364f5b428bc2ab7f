//! One program in one style: old and new at the point, the plan compared, the update made.

use std::collections::BTreeSet;
use std::path::Path;

use dsu_engine::tracee::memory::RemoteMemory;
use dsu_engine::tracee::procfs;
use dsu_formats::address::RunAddress;
use serde_json::error::Error as JsonError;

use super::compare::{Comparison, Counts, Doubt, Planned, compare};
use super::plan::{Answer, Fate, FramePlan};
use super::process::{End, Process};
use super::program::{Good, Program, Style};
use super::scratch::{Scratch, span};
use crate::dsu::{self, Outcome as Ended, code};

/// What came of one program in one style.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Updated, and from there on it said what the new program says.
    Equal,
    /// Updated, and it said something else.
    Wrong,
    /// Planned although nothing can prove it.
    Forbidden,
    /// Planned, but the update failed.
    Failed,
    /// Refused.
    Refused,
}

impl Outcome {
    /// Every outcome with its letter in the kept counts.
    pub const LETTERS: [(Outcome, char); 5] = [
        (Outcome::Equal, '='),
        (Outcome::Wrong, '!'),
        (Outcome::Forbidden, '?'),
        (Outcome::Failed, 'f'),
        (Outcome::Refused, '.'),
    ];

    /// Its letter in the kept counts.
    pub fn letter(self) -> char {
        Self::LETTERS.iter().find(|(outcome, _)| *outcome == self).map_or(' ', |(_, letter)| *letter)
    }
}

/// Frames of a plan by fate, as far as they are the program's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// Made anew.
    pub rebuilt: usize,
    /// That are not made.
    pub blocked: usize,
    /// Those of the blocked ones that are proved themselves, and stand on a stack with others that are not.
    pub held: usize,
}

/// What one run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The program's name.
    pub program: String,
    /// How it was built.
    pub style: Style,
    /// What came of it.
    pub outcome: Outcome,
    /// Locations compared.
    pub counts: Counts,
    /// Frames of changed functions.
    pub frames: Frames,
    /// Classes of the reasons of a refusal.
    pub reasons: BTreeSet<String>,
    /// What is wrong, in full.
    pub findings: Vec<String>,
    /// The reasons of a refusal, in full.
    pub refusals: Vec<String>,
    /// Whether the updated process was moved back where it stood, and went on as the old program does.
    pub is_back: bool,
}

impl Report {
    /// Whether no rule is shown to be missing.
    pub fn is_right(&self) -> bool {
        self.counts.wrong == 0 && !matches!(self.outcome, Outcome::Wrong | Outcome::Forbidden)
    }
}

/// Runs `program` in `style`.
pub fn run(program: &Program, style: Style) -> Report {
    let (old, new) = (program.build(1, style), program.build(2, style));
    let process = Process::at_point(program, &old).unwrap_or_else(|| panic!("{} ({style}): ends before its point", program.name));
    let ended = plan(&process, &new);
    let answer = read_answer(&ended).unwrap_or_else(|error| panic!("{} ({style}): {error}:\n{}", program.name, ended.text()));
    let (scratch, end) = from_scratch(program, &new, &process, &old, &answer);
    let mut report = Report {
        program: program.name.clone(),
        style,
        outcome: Outcome::Refused,
        counts: scratch.counts,
        frames: frames(&answer),
        reasons: BTreeSet::new(),
        findings: scratch.findings,
        refusals: Vec::new(),
        is_back: false,
    };
    if ended.code == Some(code::DONE) {
        report.outcome = update(process, &new, end.as_ref(), &mut report.findings);
        if program.good == Good::Refused && report.outcome == Outcome::Equal {
            report.findings.push(format!("planned, although nothing proves it (PROOF {})", program.rule));
            report.outcome = Outcome::Forbidden;
        }
        if report.outcome == Outcome::Equal {
            match there_and_back(program, &old, &new) {
                Ok(is_back) => report.is_back = is_back,
                Err(finding) => {
                    report.findings.push(finding);
                    report.outcome = Outcome::Wrong;
                }
            }
        }
    } else {
        (report.reasons, report.refusals) = refusals(&answer);
    }
    report
}

fn plan(process: &Process, new: &Path) -> Ended {
    dsu::Run::new("plan").pid(process.pid()).option("--program", new).options(&["--wait", "0s", "--stacks", "--json"]).run()
}

fn read_answer(ended: &Ended) -> Result<Answer, JsonError> {
    serde_json::from_str(&ended.stdout)
}

/// Runs the new program to the point, compares, and lets it run to its end. Without an end it never was at the point.
fn from_scratch(program: &Program, new: &Path, old: &Process, old_path: &Path, answer: &Answer) -> (Comparison, Option<End>) {
    let Some(process) = Process::at_point(program, new) else { return (Comparison::default(), None) };
    let before = process.said();
    let scratch = Scratch::stop(&process, new);
    let pid = old.pid().as_raw();
    let maps = procfs::maps(pid).unwrap_or_else(|error| panic!("mappings of {pid}: {error}"));
    let memory = RemoteMemory::open(pid).unwrap_or_else(|error| panic!("memory of {pid}: {error}"));
    let old_program = span(&maps, &old_path.display().to_string());
    // A plan that was blocked before it came to the stacks has none.
    let planned = Planned { stacks: &answer.stacks, maps: &maps, old_program, memory: &memory };
    let comparison = if answer.stacks.is_empty() { Comparison::default() } else { compare(&planned, &scratch) };
    drop(scratch);
    let end = process.finish(&before);
    (settle(comparison, program, new, &end), Some(end))
}

/// Runs the new program once more with what the plan gives to words that are in doubt: one that is read is wrong.
fn settle(mut comparison: Comparison, program: &Program, new: &Path, end: &End) -> Comparison {
    let doubts = std::mem::take(&mut comparison.doubts);
    if doubts.is_empty() {
        return comparison;
    }
    if let Some(process) = Process::at_point(program, new) {
        let before = process.said();
        let scratch = Scratch::stop(&process, new);
        for Doubt { address, planned, .. } in &doubts {
            let written = scratch.memory().write(RunAddress(*address), planned);
            written.unwrap_or_else(|error| panic!("the new program's frame: {error}"));
        }
        drop(scratch);
        if process.finish(&before) == *end {
            comparison.counts.unread += doubts.len();
            return comparison;
        }
    }
    comparison.counts.wrong += doubts.len();
    comparison.findings.extend(doubts.into_iter().map(|doubt| doubt.finding));
    comparison
}

/// Makes the update and lets the process run to its end, which must be the new program's.
fn update(process: Process, new: &Path, end: Option<&End>, findings: &mut Vec<String>) -> Outcome {
    let ended = dsu::Run::update(process.pid(), new).options(&["--wait", "0s"]).run();
    if ended.code != Some(code::DONE) {
        findings.push(format!("planned, but the update ended with {:?}: {}", ended.code, ended.text()));
        return Outcome::Failed;
    }
    let before = process.said();
    let found = process.finish(&before);
    match end {
        None => {
            findings.push(format!("WRONG: planned, but the new program is never at this point; it went on: {found:?}"));
            Outcome::Wrong
        }
        Some(end) if *end != found => {
            findings.push(format!("WRONG: ran on to {found:?}, the new program to {end:?}"));
            Outcome::Wrong
        }
        Some(_) => Outcome::Equal,
    }
}

/// Updates a process and takes it back to its old program at once: frames that were made anew hold what their code reads, not all that it
/// would have left there (PROOF 3.19). Where the way back is refused the process must go on as the new program, else as the old one.
fn there_and_back(program: &Program, old: &Path, new: &Path) -> Result<bool, String> {
    let end = |path: &Path| {
        let process = Process::at_point(program, path)?;
        let before = process.said();
        Some(process.finish(&before))
    };
    let Some(process) = Process::at_point(program, old) else { return Ok(false) };
    let update = |to: &Path| dsu::Run::update(process.pid(), to).options(&["--wait", "0s"]).run();
    let there = update(new);
    if there.code != Some(code::DONE) {
        return Err(format!("updated once, and the second time the update ended with {:?}: {}", there.code, there.text()));
    }
    let is_back = update(old).code == Some(code::DONE);
    let before = process.said();
    let found = process.finish(&before);
    match end(if is_back { old } else { new }) {
        Some(end) if end == found => Ok(is_back),
        end => Err(format!(
            "WRONG: updated and {}, it ran on to {found:?}, not {end:?}",
            if is_back { "taken back" } else { "not taken back" }
        )),
    }
}

/// Frames that a recursion has many of count once.
fn frames(answer: &Answer) -> Frames {
    let all = || answer.stacks.iter().flat_map(|thread| &thread.frames);
    let count = |belongs: &dyn Fn(&FramePlan) -> bool| {
        let places: BTreeSet<u64> = all().filter(|frame| belongs(frame)).map(|frame| frame.old.pc).collect();
        places.len()
    };
    let is_blocked = |frame: &FramePlan| frame.fate == Fate::Blocked;
    let rebuilt = count(&|frame| frame.fate == Fate::Rebuilt);
    let reasoned = count(&|frame| is_blocked(frame) && !frame.blockers.is_empty());
    let blocked = count(&is_blocked);
    Frames { rebuilt, blocked, held: blocked.saturating_sub(reasoned) }
}

/// Reasons by class, and in full: those of frames, and those of the plan that are not about frames.
fn refusals(answer: &Answer) -> (BTreeSet<String>, Vec<String>) {
    let mut full: Vec<String> = Vec::new();
    let mut classes = BTreeSet::new();
    for reason in answer.blockers.iter().chain(&answer.obstacles) {
        classes.insert(reason.kind.clone());
        full.push(format!("{}: {}", reason.kind, reason.message));
    }
    for frame in answer.stacks.iter().flat_map(|thread| &thread.frames) {
        for blocker in &frame.blockers {
            classes.insert(format!("frame: {}", class(blocker)));
            full.push(format!("`{}`: {blocker}", frame.function));
        }
    }
    (classes, full)
}

/// What a frame's blocker comes to, without what is particular to a place: its last clause, without numbers and what stands in quotes.
fn class(message: &str) -> String {
    let clause = message.rsplit(": ").next().unwrap_or(message);
    let clause = clause.split("; ").next().unwrap_or(clause);
    let is_particular = |word: &&str| word.starts_with('`') || word.contains(|letter: char| letter.is_ascii_digit());
    let words = clause.split_whitespace().map(|word| if is_particular(&word) { "…" } else { word });
    words.collect::<Vec<_>>().join(" ")
}
