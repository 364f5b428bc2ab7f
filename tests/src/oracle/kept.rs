//! Counts kept from run to run, in a file beside the programs: one letter for each program in each style, and the sums of locations.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use super::compare::Counts;
use super::program::Style;
use super::run::{Outcome, Report};

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Letters by program, in the order of [`Style::all`]; a blank where there was no run.
    outcomes: BTreeMap<String, Vec<char>>,
    /// Sums of locations by the name of their style.
    counts: BTreeMap<String, Counts>,
}

/// The first words of the lines with sums.
const SUM: &str = "locations ";

/// Where the file is.
pub fn path() -> PathBuf {
    super::program::sources().join("counts.txt")
}

impl Kept {
    /// What `reports` came to.
    pub fn of(reports: &[Report]) -> Self {
        let mut kept = Kept::default();
        for report in reports {
            let letters = kept.outcomes.entry(report.program.clone()).or_insert_with(|| vec![' '; Style::all().len()]);
            let position = Style::all().iter().position(|style| *style == report.style);
            if let Some(letter) = position.and_then(|position| letters.get_mut(position)) {
                *letter = report.outcome.letter();
            }
            *kept.counts.entry(report.style.to_string()).or_default() += report.counts;
        }
        kept
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// The first line that is not as [`Kept::text`] writes it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut kept = Kept::default();
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let bad = || format!("counts.txt: expected a program with its outcomes, or sums, found {line:?}");
            let (name, rest) = line.split_once(": ").ok_or_else(bad)?;
            if let Some(style) = name.strip_prefix(SUM) {
                let numbers: Option<Vec<usize>> = rest.split(", ").map(|part| part.split(' ').next()?.parse().ok()).collect();
                let [equal, meaning, wrong, unread, elsewhere] = numbers.ok_or_else(bad)?.try_into().map_err(|_| bad())?;
                kept.counts.insert(style.to_owned(), Counts { equal, meaning, wrong, unread, elsewhere });
            } else {
                kept.outcomes.insert(name.trim_end().to_owned(), rest.chars().filter(|letter| *letter != '|').collect());
            }
        }
        Ok(kept)
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# What came of each program: gcc -O0 to -O3, then clang -O0 to -O3.\n\
             # = updated, and right   . refused   f update failed   ! wrong   ? planned without a proof\n",
        );
        for (name, letters) in &self.outcomes {
            let (gcc, clang) = letters.split_at(letters.len() / 2);
            let _ = writeln!(text, "{name:<28}: {}|{}", gcc.iter().collect::<String>(), clang.iter().collect::<String>());
        }
        text.push_str("# Locations that plans gave a value to, against the new program run from scratch.\n");
        for (style, Counts { equal, meaning, wrong, unread, elsewhere }) in &self.counts {
            let _ = writeln!(
                text,
                "{SUM}{style}: {equal} equal, {meaning} equal by meaning, {wrong} wrong, {unread} unread, {elsewhere} elsewhere"
            );
        }
        text
    }

    /// What was right in `before` and is not any more; each of `self`'s runs that `before` has, too.
    pub fn losses(&self, before: &Kept) -> Vec<String> {
        let right = Outcome::Equal.letter();
        let mut losses = Vec::new();
        for (name, letters) in &self.outcomes {
            let Some(old) = before.outcomes.get(name) else { continue };
            for ((style, now), was) in Style::all().iter().zip(letters).zip(old) {
                if *was == right && *now != right && *now != ' ' {
                    losses.push(format!("{name} ({style}): was right, is now `{now}`"));
                }
            }
        }
        losses
    }

    /// Styles in which fewer locations are equal than before; to be asked of whole runs.
    pub fn falls(&self, before: &Kept) -> Vec<String> {
        let sum = |counts: &Counts| counts.equal + counts.meaning;
        let fallen = self.counts.iter().filter_map(|(style, now)| {
            let was = before.counts.get(style)?;
            (sum(now) < sum(was)).then(|| format!("{style}: {} locations equal, {} before", sum(now), sum(was)))
        });
        fallen.collect()
    }

    /// `self` with what `before` has beyond it.
    pub fn over(mut self, before: Kept) -> Kept {
        for (name, old) in before.outcomes {
            let letters = self.outcomes.entry(name).or_insert_with(|| vec![' '; old.len()]);
            letters.iter_mut().zip(old).filter(|(now, _)| **now == ' ').for_each(|(now, was)| *now = was);
        }
        for (style, counts) in before.counts {
            self.counts.entry(style).or_insert(counts);
        }
        self
    }
}
