//! Whether a spec is about these two builds at all.

use std::path::Path;

use dsu_formats::spec::expression::Side;
use dsu_formats::spec::model::{Guard, Spec};
use dsu_formats::spec::{Problem, Source};

use crate::program::build::Build;

/// A problem for each guard of the spec that does not hold. `old_path` is where the running program is or was.
pub fn check(spec: &Spec, (old, old_path): (&Build, &Path), new: &Build) -> Vec<Problem> {
    let mut problems = guard(&spec.source, &spec.old, Side::Old, old, old_path);
    problems.extend(guard(&spec.source, &spec.new, Side::New, new, &new.path));
    problems
}

fn guard(source: &Source, guard: &Guard, side: Side, build: &Build, path: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(expected) = guard.program.as_ref().filter(|expected| expected.value != name) {
        let message = format!("this spec is for another program: expected {side} program `{}`, found `{name}`", expected.value);
        problems.push(source.problem(expected.span, message));
    }
    let id: String = build.elf.build_id.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
    if let Some(expected) = guard.build_id.as_ref().filter(|expected| !id.starts_with(&expected.value)) {
        let found = if id.is_empty() { "a program without a build-id".to_owned() } else { format!("`{id}`") };
        let message = format!("this spec is for another build: expected {side} build-id `{}`, found {found}", expected.value);
        problems.push(source.problem(expected.span, message));
    }
    problems
}
