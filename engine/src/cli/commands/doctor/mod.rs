//! `dsu doctor`: what this machine and this user offer, what each gap means, and what would help.

mod checks;
mod kernel;
mod user;

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::arguments::DoctorArguments;
use crate::cli::failure::Exit;
use crate::cli::output::{Answer, Ending, human};

/// Makes every check.
pub fn run(arguments: &DoctorArguments) -> Ending {
    Ok(Box::new(Examined { checks: checks::all(&arguments.debug_directories) }))
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// As it should be.
    Ok,
    /// Some programs cannot be moved, or not as well.
    Degraded,
    /// No program can be moved.
    Missing,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
struct Check {
    /// A stable name.
    name: &'static str,
    status: Status,
    /// What was found.
    found: String,
    /// What it means, when it is not as it should be.
    meaning: Option<String>,
    /// What would help, when it is not as it should be.
    help: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), meaning: None, help: None }
    }

    fn gap(name: &'static str, status: Status, found: impl Into<String>, meaning: &str, help: &str) -> Self {
        Self { name, status, found: found.into(), meaning: Some(meaning.to_owned()), help: Some(help.to_owned()) }
    }
}

struct Examined {
    checks: Vec<Check>,
}

impl Examined {
    fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }
}

impl Answer for Examined {
    fn text(&self) -> String {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for check in &self.checks {
            let status = match check.status {
                Status::Ok => "\x1b[32mok\x1b[0m      ",
                Status::Degraded => "\x1b[33mdegraded\x1b[0m",
                Status::Missing => "\x1b[31mmissing\x1b[0m ",
            };
            let _ = writeln!(text, "{status}  {:width$}  {}", check.name, human::printable(&check.found));
            for (label, line) in [("means", &check.meaning), ("helps", &check.help)] {
                if let Some(line) = line {
                    let _ = writeln!(text, "          {:width$}  {label}: {line}", "");
                }
            }
        }
        let summary = match (self.count(Status::Missing), self.count(Status::Degraded)) {
            (0, 0) => "Everything is there.".to_owned(),
            (0, degraded) => format!("Updates work, with {}.", human::count(degraded as u64, "limit")),
            (missing, _) => format!("Updates do not work here: {}.", human::count(missing as u64, "missing thing")),
        };
        text + &summary + "\n"
    }

    fn json(&self) -> Value {
        let result = match (self.count(Status::Missing), self.count(Status::Degraded)) {
            (0, 0) => "ready",
            (0, _) => "degraded",
            _ => "lacking",
        };
        json!({ "result": result, "checks": self.checks })
    }

    fn exit(&self) -> Exit {
        if self.count(Status::Missing) > 0 { Exit::Lacking } else { Exit::Done }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_counts_and_it_says_what_would_help() {
        let degraded = Check::gap("timers", Status::Degraded, "no", "some stay", "a newer kernel");
        let mut examined = Examined { checks: vec![Check::ok("kernel", "6.18"), degraded] };
        assert_eq!(examined.exit(), Exit::Done);
        assert!(examined.text().contains("1 limit."), "{}", examined.text());
        examined.checks.push(Check::gap("ptrace", Status::Missing, "EPERM", "nothing works", "run it as root"));
        assert_eq!(examined.exit(), Exit::Lacking);
        assert!(examined.text().contains("helps: run it as root"), "{}", examined.text());
    }

    #[test]
    fn names_are_unique_and_every_gap_says_what_it_means() {
        let checks = checks::all(&[]);
        let names: std::collections::BTreeSet<_> = checks.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), checks.len());
        for check in checks {
            let complete = check.meaning.is_some() && check.help.is_some();
            assert_eq!(complete, check.status != Status::Ok, "{check:?}");
        }
    }
}
