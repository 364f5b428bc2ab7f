//! Sums over runs, and the table that shows them.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::compare::Counts;
use super::program::{Good, Program, Style};
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

/// How much of what the rules can prove is let through: runs of the programs whose update has a proof, and how many of them were made.
pub fn share(programs: &[Program], reports: &[Report]) -> (usize, usize) {
    let provable =
        |report: &&Report| programs.iter().any(|program| program.name == report.program && program.good == Good::Right);
    let runs = reports.iter().filter(provable);
    (runs.clone().filter(|report| report.outcome == Outcome::Equal).count(), runs.count())
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
