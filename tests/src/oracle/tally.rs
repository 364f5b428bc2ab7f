//! Sums over runs, and the table that shows them.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::compare::Counts;
use super::program::{Good, Kind, Program, Style};
use super::run::{Outcome, Report};

/// Sums of the runs of one style, or of all.
#[derive(Clone, Debug, Default)]
struct Sum {
    runs: usize,
    outcomes: BTreeMap<Outcome, usize>,
    counts: Counts,
    rebuilt: usize,
    blocked: usize,
}

impl Sum {
    fn of<'r>(reports: impl Iterator<Item = &'r Report>) -> Self {
        let mut sum = Sum::default();
        for report in reports {
            sum.runs += 1;
            *sum.outcomes.entry(report.outcome).or_default() += 1;
            sum.counts += report.counts;
            sum.rebuilt += report.frames.rebuilt;
            sum.blocked += report.frames.blocked;
        }
        sum
    }

    fn row(&self, name: &str) -> String {
        let outcome = |outcome| self.outcomes.get(&outcome).copied().unwrap_or_default();
        let Counts { equal, meaning, wrong, unread, elsewhere } = self.counts;
        format!(
            "{name:<10} {:>5} {:>9} {:>9} {:>9} {:>6} {:>7}   {equal:>7} {meaning:>7} {wrong:>5} {unread:>6} {elsewhere:>9}   {:>7} {:>7}\n",
            self.runs,
            outcome(Outcome::Equal),
            outcome(Outcome::Wrong),
            outcome(Outcome::Forbidden),
            outcome(Outcome::Failed),
            outcome(Outcome::Refused),
            self.rebuilt,
            self.blocked,
        )
    }
}

/// The table of all runs: outcomes, locations, frames by style; then the reasons of refusals, the most frequent first.
pub fn table(reports: &[Report]) -> String {
    let mut text = format!(
        "{:<10} {:>5} {:>9} {:>9} {:>9} {:>6} {:>7}   {:>7} {:>7} {:>5} {:>6} {:>9}   {:>7} {:>7}\n",
        "",
        "runs",
        "ran equal",
        "ran wrong",
        "forbidden",
        "failed",
        "refused",
        "equal",
        "meaning",
        "wrong",
        "unread",
        "elsewhere",
        "rebuilt",
        "blocked"
    );
    for style in Style::all() {
        let of_style: Vec<&Report> = reports.iter().filter(|report| report.style == style).collect();
        if !of_style.is_empty() {
            text += &Sum::of(of_style.into_iter()).row(&style.to_string());
        }
    }
    text += &Sum::of(reports.iter()).row("all");
    let made = reports.iter().filter(|report| report.outcome == Outcome::Equal).count();
    let back = reports.iter().filter(|report| report.is_back).count();
    let _ = writeln!(text, "updated, and taken back where they stood: {}", of(back, made));
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reports.iter().flat_map(|report| &report.reasons) {
        *reasons.entry(reason).or_default() += 1;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    for (reason, count) in reasons {
        let _ = writeln!(text, "refused {count:>4} times: {reason}");
    }
    text
}

/// Whether a program is one of a group.
type Belongs = fn(&Program) -> bool;

/// How much is let through: of the programs that stand for changes as releases make them, of all that are no counterexamples, of those whose
/// update has a proof for sure, and of all; runs and frames by style.
pub fn shares(programs: &[Program], reports: &[Report]) -> String {
    let groups: [(&str, Belongs); 4] = [
        ("releases", |program| program.kind == Kind::Release),
        ("ordinary", |program| program.kind.is_ordinary()),
        ("have proof", |program| program.good == Good::Right),
        ("all", |_| true),
    ];
    let mut text =
        format!("{:<10} {:<10} {:>14} {:>18} {:>14}\n", "share of", "", "runs updated", "frames rebuilt", "also proved");
    for (name, belongs) in groups {
        let counts = |report: &&Report| programs.iter().any(|program| program.name == report.program && belongs(program));
        let of_group: Vec<&Report> = reports.iter().filter(counts).collect();
        for style in Style::all() {
            let of_style: Vec<&Report> = of_group.iter().copied().filter(|report| report.style == style).collect();
            if !of_style.is_empty() {
                text += &share(name, &style.to_string(), &of_style);
            }
        }
        if !of_group.is_empty() {
            text += &share(name, "", &of_group);
        }
    }
    text
}

fn share(name: &str, style: &str, reports: &[&Report]) -> String {
    let made = reports.iter().filter(|report| report.outcome == Outcome::Equal).count();
    let sum = |of: fn(&Report) -> usize| reports.iter().map(|report| of(report)).sum::<usize>();
    let (rebuilt, blocked) = (sum(|report| report.frames.rebuilt), sum(|report| report.frames.blocked));
    let held = sum(|report| report.frames.held);
    format!("{name:<10} {style:<10} {:>14} {:>18} {held:>14}\n", of(made, reports.len()), of(rebuilt, rebuilt + blocked))
}

fn of(part: usize, whole: usize) -> String {
    format!("{part} of {whole} {:>3}%", (part * 100).checked_div(whole).unwrap_or(0))
}

/// What is wrong, in full, program by program.
pub fn findings(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports.iter().filter(|report| !report.findings.is_empty()) {
        for finding in &report.findings {
            let _ = writeln!(text, "{} ({}): {finding}", report.program, report.style);
        }
    }
    text
}
