//! Specs that cannot be read, or do not fit the programs.

use std::path::Path;

use dsu_formats::spec::{ReadError, SpecError};

use super::system::file_failure;
use super::{Exit, Failure, Verdict};

/// The number of problems that are told to people; the JSON has them all.
const SHOWN: usize = 20;

/// A spec file that cannot be used.
pub fn spec_failure(error: &ReadError) -> Failure {
    match error {
        ReadError::File { path, source } => file_failure("read the spec", path, source),
        ReadError::Content(problems) => {
            let Verdict { exit, code, hint } = wrong_spec();
            let mut failure = Failure::new(exit, code, "the spec is wrong", hint);
            failure.chain.extend(problem_lines(problems));
            failure
        }
    }
}

/// A spec that does not fit the programs that a command only reads.
pub fn unfit_spec(path: &Path, problems: &SpecError) -> Failure {
    let Verdict { exit, code, hint } = wrong_spec();
    let mut failure = Failure::new(exit, code, format!("the spec {} does not fit these programs", path.display()), hint);
    failure.chain.extend(problem_lines(problems));
    failure
}

/// Each problem as a line of its own.
pub(super) fn problem_lines(problems: &SpecError) -> Vec<String> {
    let mut lines: Vec<String> = problems.0.iter().take(SHOWN).map(ToString::to_string).collect();
    if let Some(more) = problems.0.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// How a wrong spec counts.
pub(super) fn wrong_spec() -> Verdict {
    let hint = "correct the lines that are named; `dsu diff OLD NEW` shows what the programs have, and `-o FILE` drafts a spec";
    Verdict::new(Exit::Failed, "wrong-spec", hint)
}
