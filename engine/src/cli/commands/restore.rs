//! `dsu restore`: a process from an image.

use dsu_engine::update::operation::{RestoreRequest, Restored};
use dsu_engine::update::restore;
use serde_json::{Value, json};

use crate::cli::arguments::RestoreArguments;
use crate::cli::failure::{Subject, update_failure};
use crate::cli::output::report::{notes, phases, steps};
use crate::cli::output::{Answer, Ending, human};
use crate::cli::progress::Progress;

/// Starts the process.
pub fn run(arguments: &RestoreArguments, mut progress: Progress) -> Ending {
    let request = RestoreRequest { image: arguments.image.clone() };
    let result = restore::restore(&request, &mut progress);
    progress.finish();
    match result {
        Ok(restored) => Ok(Box::new(Started(restored))),
        Err(error) => Err(Box::new(update_failure(&error, &Subject::File(&arguments.image)))),
    }
}

struct Started(Restored);

impl Answer for Started {
    fn text(&self) -> String {
        let restored = &self.0;
        let threads = human::count(restored.threads as u64, "thread");
        let mut text = format!("process {} runs again, {threads}\n", restored.pid);
        for step in steps(&restored.steps).lines() {
            text += &format!("  {step}\n");
        }
        notes(&mut text, "warning", &restored.warnings);
        text
    }

    fn json(&self) -> Value {
        let restored = &self.0;
        json!({
            "result": "restored",
            "pid": restored.pid,
            "threads": restored.threads,
            "phases": phases(&restored.steps),
            "warnings": restored.warnings,
        })
    }
}
