//! What a client saw: requests, errors, wrong values, the longest stall, the versions that answered.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use crate::LoadError;

/// Problems kept word by word; the counts go on beyond them.
const KEPT_PROBLEMS: usize = 20;

/// The counts of one session, or of several put together.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    requests: u64,
    errors: u64,
    wrong: u64,
    longest_stall: Duration,
    versions: Vec<String>,
    problems: Vec<String>,
}

/// A tally as programs read it: the last line that a client prints.
#[derive(Debug, Serialize, PartialEq)]
pub struct Summary {
    /// Always `summary`.
    pub event: &'static str,
    /// Sessions that ran at the same time.
    pub clients: usize,
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that failed: refused, lost, cut off, or an error where none was due.
    pub errors: u64,
    /// Replies that differ from the session's model.
    pub wrong: u64,
    /// The longest time that a request waited for its reply, in milliseconds.
    pub longest_stall_ms: f64,
    /// Versions that answered, one after the other, as the session saw them that saw the most.
    pub versions: Vec<String>,
    /// The first few errors and wrong values, in words.
    pub problems: Vec<String>,
}

impl Tally {
    /// One request was answered after `waited`.
    pub fn answered(&mut self, waited: Duration) {
        self.requests += 1;
        self.longest_stall = self.longest_stall.max(waited);
    }

    /// A request failed.
    pub fn error(&mut self, what: impl ToString) {
        self.errors += 1;
        self.problem(what.to_string());
    }

    /// A reply was not what the model says.
    pub fn wrong(&mut self, what: impl ToString) {
        self.wrong += 1;
        self.problem(what.to_string());
    }

    /// Counts a wrong value unless `reply` is what was expected.
    pub fn expect<T: PartialEq + std::fmt::Debug>(&mut self, request: &str, reply: &T, expected: &T) {
        if reply != expected {
            self.wrong(format!("{request:.120}: got {reply:.120?}, expected {expected:.120?}"));
        }
    }

    /// The server said what version it is. Kept when it is another one than the last.
    pub fn saw_version(&mut self, version: &str) {
        if self.versions.last().is_none_or(|last| last != version) {
            self.versions.push(version.to_owned());
        }
    }

    /// Adds what another session saw.
    pub fn merge(&mut self, other: Tally) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.wrong += other.wrong;
        self.longest_stall = self.longest_stall.max(other.longest_stall);
        if other.versions.len() > self.versions.len() {
            self.versions = other.versions;
        }
        self.problems.extend(other.problems);
        self.problems.truncate(KEPT_PROBLEMS);
    }

    /// Versions seen so far, in order; one that came back is there twice.
    pub fn versions(&self) -> &[String] {
        &self.versions
    }

    /// Requests answered so far.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The summary of a run with `clients` sessions.
    pub fn summary(self, clients: usize) -> Summary {
        Summary {
            event: "summary",
            clients,
            requests: self.requests,
            errors: self.errors,
            wrong: self.wrong,
            longest_stall_ms: (self.longest_stall.as_secs_f64() * 1e6).round() / 1e3,
            versions: self.versions,
            problems: self.problems,
        }
    }

    fn problem(&mut self, text: String) {
        if self.problems.len() < KEPT_PROBLEMS {
            self.problems.push(text);
        }
    }
}

impl Summary {
    /// Whether the clients noticed nothing.
    pub fn clean(&self) -> bool {
        self.errors == 0 && self.wrong == 0 && self.requests > 0
    }

    /// Prints the summary as one JSON line on standard output.
    fn print(&self) {
        match serde_json::to_string(self) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("the summary cannot be written as JSON: {error}"),
        }
    }
}

/// Prints what came of the client called `name`, and what it exits with: 0 when its clients noticed nothing, 1 when they did, 2 when it could not
/// go on.
pub fn finish(name: &str, result: Result<Summary, LoadError>) -> ExitCode {
    match result {
        Ok(summary) => {
            summary.print();
            if summary.clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_adds_counts_and_keeps_the_longest_stall() {
        let mut one = Tally::default();
        one.answered(Duration::from_millis(3));
        one.saw_version("1.0.0");
        let mut two = Tally::default();
        two.answered(Duration::from_millis(9));
        two.expect("GET k", &"b", &"a");
        two.error("lost");
        for version in ["1.0.0", "1.0.0", "1.1.0"] {
            two.saw_version(version);
        }
        one.merge(two);
        let summary = one.summary(2);
        assert_eq!((summary.requests, summary.errors, summary.wrong), (2, 1, 1));
        assert_eq!(summary.longest_stall_ms, 9.0);
        assert_eq!(summary.versions, ["1.0.0", "1.1.0"]);
        assert!(!summary.clean());
    }

    #[test]
    fn a_run_without_requests_is_not_clean() {
        assert!(!Tally::default().summary(1).clean());
    }
}
