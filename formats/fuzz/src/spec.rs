//! Reads a text as a spec and does with it whatever a reader can do. Must never panic, loop or allocate without bound.

use std::path::Path;

use dsu_formats::spec::Spec;

/// Whether the text is a spec; a text that is none has problems with places in it.
pub fn exercise(text: &str) -> bool {
    match Spec::parse(Path::new("spec"), text) {
        Ok(spec) => {
            let names = spec.fields.iter().map(|rule| rule.subject.value.to_string());
            assert!(names.chain(spec.globals.iter().map(|pair| pair.old.value.to_string())).all(|name| !name.is_empty()));
            true
        }
        Err(error) => {
            assert!(!error.0.is_empty());
            let lines = text.matches('\n').count() + 1;
            assert!(error.0.iter().all(|problem| (1..=lines).contains(&problem.line) && problem.column > 0));
            assert!(error.0.iter().all(|problem| !problem.message.is_empty()));
            false
        }
    }
}
