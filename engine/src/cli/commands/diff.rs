//! `dsu diff`: what changed between two builds, and the draft of a spec.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use dsu_engine::plan::compare::Comparison;
use dsu_engine::plan::diff::Diff;
use dsu_engine::plan::diff::draft::draft;
use dsu_engine::plan::spec::guards;
use dsu_engine::program::build::{Build, DebugSearch};
use dsu_formats::spec::{Spec, SpecError};
use serde_json::{Value, json};

use super::{check_program, read_spec};
use crate::cli::arguments::DiffArguments;
use crate::cli::failure::{Failure, file_failure, program_failure, unfit_spec};
use crate::cli::output::{Answer, Ending, diff as lines, human, json};

/// Compares two builds, and writes a draft where one is asked for.
pub fn run(arguments: &DiffArguments) -> Ending {
    check_program(&arguments.old)?;
    check_program(&arguments.new)?;
    let spec = read_spec(arguments.spec.as_deref(), &[])?;
    let mut search = DebugSearch::default();
    search.directories.extend_from_slice(&arguments.debug_directories);
    let (old, new) = open(arguments, &search)?;
    let comparison = compare(&old, &new, spec.as_ref())?;
    let diff = Diff::new(&old, &new, &comparison);
    if let Some(output) = &arguments.output {
        write_draft(output, &draft(&diff)).map_err(|error| Box::new(file_failure("write the draft", output, &error)))?;
    }
    Ok(Box::new(Difference { diff, draft: arguments.output.clone() }))
}

/// Opens both builds side by side.
fn open(arguments: &DiffArguments, search: &DebugSearch) -> Result<(Build, Build), Box<Failure>> {
    let (old, new) = std::thread::scope(|scope| {
        let old = scope.spawn(|| Build::open(&arguments.old, search));
        let new = Build::open(&arguments.new, search);
        (old.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), new)
    });
    let opened = |build: Result<Build, _>, path: &Path| build.map_err(|error| Box::new(program_failure(&error, path)));
    Ok((opened(old, &arguments.old)?, opened(new, &arguments.new)?))
}

fn compare(old: &Build, new: &Build, spec: Option<&Spec>) -> Result<Comparison, Box<Failure>> {
    let Some(spec) = spec else { return Ok(Comparison::new(old, new)) };
    let problems = guards::check(spec, (old, &old.path), new);
    let compared = if problems.is_empty() { Comparison::answered(old, new, spec) } else { Err(SpecError(problems)) };
    compared.map_err(|error| Box::new(unfit_spec(&spec.source.path, &error)))
}

/// Writes a new file: answers that somebody gave are never overwritten.
fn write_draft(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

struct Difference {
    diff: Diff,
    draft: Option<PathBuf>,
}

impl Answer for Difference {
    fn text(&self) -> String {
        let mut text = lines::text(&self.diff);
        if let Some(path) = &self.draft {
            text += &format!("draft: {}\n", human::printable(&path.display().to_string()));
        }
        text
    }

    fn json(&self) -> Value {
        let result = if self.diff.is_empty() { "same" } else { "different" };
        json!({ "result": result, "diff": self.diff, "draft": self.draft.as_deref().map(json::path) })
    }
}
