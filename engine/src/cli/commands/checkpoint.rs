//! `dsu checkpoint`: an image of a running process.

use dsu_engine::update::checkpoint;
use dsu_engine::update::operation::{CheckpointRequest, Checkpointed, Then};
use serde_json::{Value, json};

use super::check_destination;
use super::update::{image_json, image_line};
use crate::cli::arguments::{Afterwards, CheckpointArguments};
use crate::cli::failure::{Subject, update_failure};
use crate::cli::output::report::{notes, phases, steps};
use crate::cli::output::{Answer, Ending};
use crate::cli::progress::Progress;

/// Writes the image.
pub fn run(arguments: &CheckpointArguments, mut progress: Progress) -> Ending {
    check_destination(&arguments.output)?;
    let then = match arguments.then {
        Afterwards::Run => Then::Run,
        Afterwards::Stop => Then::Stop,
        Afterwards::Kill => Then::Kill,
    };
    let request = CheckpointRequest {
        pid: arguments.pid,
        output: arguments.output.clone(),
        then,
        accept_seccomp_risk: arguments.accept_seccomp_risk,
    };
    let result = checkpoint::checkpoint(&request, &mut progress);
    progress.finish();
    match result {
        Ok(checkpointed) => Ok(Box::new(Written { checkpointed, then })),
        Err(error) => Err(Box::new(update_failure(&error, &Subject::Process(arguments.pid)))),
    }
}

struct Written {
    checkpointed: Checkpointed,
    then: Then,
}

impl Answer for Written {
    fn text(&self) -> String {
        let done = &self.checkpointed;
        let afterwards = match self.then {
            Then::Run => "it goes on",
            Then::Stop => "it is stopped (SIGSTOP)",
            Then::Kill => "it was killed",
        };
        let mut text = image_line(&done.image);
        text += &format!("process {} stood still for {:.1} ms; {afterwards}\n", done.pid, done.pause_ms);
        for step in steps(&done.steps).lines() {
            text += &format!("  {step}\n");
        }
        notes(&mut text, "warning", &done.warnings);
        text + "note: the image holds every secret of the process; only its owner can read it (mode 0600)\n"
    }

    fn json(&self) -> Value {
        let done = &self.checkpointed;
        let then = match self.then {
            Then::Run => "run",
            Then::Stop => "stop",
            Then::Kill => "kill",
        };
        json!({
            "result": "checkpointed",
            "pid": done.pid,
            "then": then,
            "image": image_json(&done.image),
            "pause_ms": done.pause_ms,
            "phases": phases(&done.steps),
            "warnings": done.warnings,
        })
    }
}
