//! What updates and plans say of the programs and of the process: the same lines and members for both.

use std::fmt::Write;

use dsu_engine::plan::rewrite::Report;
use dsu_engine::update::timeline::Step;
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

use super::human::{self, Table};
use super::json;

/// Values of which the text names the origin.
const LISTED: usize = 12;

/// What is said of a process that was, or would be, moved.
pub struct Carried<'a> {
    /// What the plan rewrote.
    pub report: &'a Report,
    /// Threads.
    pub threads: usize,
    /// Descriptors.
    pub descriptors: usize,
    /// Children that stay on the old version.
    pub children: &'a [i32],
    /// Milliseconds that the process stood still; none where there is no process.
    pub pause_ms: Option<f64>,
    /// Time by step.
    pub steps: &'a [Step],
    /// Build-ids before and after.
    pub build_ids: (&'a [u8], &'a [u8]),
}

impl Carried<'_> {
    /// Lines for people; `pause` says how the pause is called and what belongs to it, where there was one.
    pub fn text(&self, pause: Option<String>) -> String {
        let report = self.report;
        let mut table = Table::default();
        if let Some(pause) = pause {
            table.row("paused", pause);
        }
        table.row("functions", self.functions()).row("globals", self.globals());
        if let Some(objects) = self.objects() {
            table.row("objects", objects);
        }
        if let Some(calls) = self.start_up() {
            table.row("start-up calls", calls);
        }
        let words = format!(
            "{} rewritten of {} scanned ({} of them mangled)",
            report.words_rewritten, report.words_scanned, report.words_mangled
        );
        table.row("words", words);
        if report.retained_bytes > 0 {
            table.row("old literals", format!("{} stay readable", human::size(report.retained_bytes)));
        }
        table.row("threads", self.threads.to_string()).row("descriptors", self.descriptors.to_string());
        table.row("time by step", steps(self.steps));
        let mut text = table.text();
        notes(&mut text, "warning", &report.warnings);
        if !self.children.is_empty() {
            let pids: Vec<String> = self.children.iter().map(i32::to_string).collect();
            let _ = writeln!(text, "note: children that stay on the old version: {}", pids.join(", "));
        }
        text
    }

    fn functions(&self) -> String {
        let report = self.report;
        let parts =
            [("changed", &report.functions_changed), ("added", &report.functions_added), ("removed", &report.functions_removed)];
        counted(&parts, None)
    }

    fn globals(&self) -> String {
        let parts = [("new", &self.report.globals_new), ("dropped", &self.report.globals_dropped)];
        counted(&parts, Some(format!("{} carried", self.report.globals_carried)))
    }

    /// What became of objects whose type changes, and where their new values come from.
    fn objects(&self) -> Option<String> {
        let report = self.report;
        if report.objects_rewritten == 0 && report.cleared.is_empty() {
            return None;
        }
        let mut text = format!("{} rewritten, {} of them in larger blocks", report.objects_rewritten, report.objects_moved);
        for (field, origin) in report.origins.iter().take(LISTED) {
            let _ = write!(text, "\n{}: {}", human::printable(field), human::printable(origin));
        }
        if report.origins.len() > LISTED {
            let _ = write!(text, "\nand {} more values (--json lists them)", report.origins.len() - LISTED);
        }
        if !report.cleared.is_empty() {
            let _ = write!(text, "\n{} blocks are taken not to hold such objects (--json lists them)", report.cleared.len());
        }
        Some(text)
    }

    /// Calls that the program must not make twice, where a function begins anew.
    fn start_up(&self) -> Option<String> {
        let calls = &self.report.start_up_calls;
        if calls.is_empty() {
            return None;
        }
        let mut text = "what is open already is the program's to leave alone:".to_owned();
        for call in calls.iter().take(LISTED) {
            let (name, function) = (human::printable(&call.calls), human::printable(&call.function));
            let line = call.line.as_deref().map(|line| format!(" at {}", human::printable(line))).unwrap_or_default();
            let _ = write!(text, "\n{name} in {function}{line}");
        }
        if calls.len() > LISTED {
            let _ = write!(text, "\nand {} more (--json lists them)", calls.len() - LISTED);
        }
        Some(text)
    }

    /// Members for programs, added to `value`.
    pub fn add_json(&self, value: &mut Value) {
        json::set(value, "report", serde_json::to_value(self.report).unwrap_or_default());
        json::set(value, "threads", self.threads.into());
        json::set(value, "descriptors", self.descriptors.into());
        json::set(value, "children", self.children.into());
        if let Some(pause_ms) = self.pause_ms {
            json::set(value, "pause_ms", pause_ms.into());
        }
        if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
            json::set(value, "peak_bytes", (usage.max_rss() * 1024).into());
        }
        json::set(value, "phases", phases(self.steps));
        json::set(value, "old_build_id", json::build_id(self.build_ids.0));
        json::set(value, "new_build_id", json::build_id(self.build_ids.1));
    }
}

/// Counts in the first line, then the names of each list.
fn counted(parts: &[(&str, &Vec<String>)], first: Option<String>) -> String {
    let counts = first.into_iter().chain(parts.iter().map(|(what, names)| format!("{} {what}", names.len())));
    let mut text = counts.collect::<Vec<_>>().join(", ");
    for (what, names) in parts.iter().filter(|(_, names)| !names.is_empty()) {
        let _ = write!(text, "\n{what}: {}", human::names(names));
    }
    text
}

/// Lines with a label each.
pub fn notes(text: &mut String, label: &str, notes: &[String]) {
    for note in notes {
        let _ = writeln!(text, "{label}: {}", human::printable(note));
    }
}

/// Steps with their time, those of the pause marked.
pub fn steps(steps: &[Step]) -> String {
    let step = |step: &Step| format!("{}{} {:.1} ms", step.name, if step.paused { " (paused)" } else { "" }, step.ms);
    steps.iter().map(step).collect::<Vec<_>>().join("\n")
}

/// Steps for programs.
pub fn phases(steps: &[Step]) -> Value {
    steps.iter().map(|step| json!({ "name": step.name, "ms": step.ms, "paused": step.paused })).collect()
}
