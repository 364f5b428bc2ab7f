//! `dsu recover`: finish or take back an update whose engine died.

use dsu_engine::update::operation::{Recovered, RecoveredTo};
use dsu_engine::update::recover;
use serde_json::{Value, json};

use crate::cli::arguments::RecoverArguments;
use crate::cli::failure::{Exit, Failure, Subject, update_failure};
use crate::cli::log::Entry;
use crate::cli::output::{Answer, Ending};
use crate::cli::progress::Progress;

/// Recovers the process, and writes a line about it to the system log unless there was nothing to do.
pub fn run(arguments: &RecoverArguments, mut progress: Progress) -> Ending {
    let pid = arguments.pid;
    let result = recover::recover(pid, &mut progress);
    progress.finish();
    match result {
        Ok(recovered) if recovered.outcome == RecoveredTo::NothingToDo && !is_running(pid) => Err(Box::new(no_such_process(pid))),
        Ok(recovered) => {
            if recovered.outcome != RecoveredTo::NothingToDo {
                log(pid, Exit::Done, recovered_words(recovered.outcome).to_owned());
            }
            Ok(Box::new(Done(recovered)))
        }
        Err(error) => {
            let failure = update_failure(&error, &Subject::Process(pid));
            log(pid, failure.exit, format!("{}: {}", failure.exit.word(), failure.chain.join(": ")));
            Err(Box::new(failure))
        }
    }
}

fn is_running(pid: i32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// A number that was mistyped must not look like a process that is well.
fn no_such_process(pid: i32) -> Failure {
    let message = format!("there is no process {pid} to recover");
    Failure::new(
        Exit::Failed,
        "no-such-process",
        message,
        "look its number up: `pgrep -a NAME` or `ps -e`; if it has ended, start it anew",
    )
}

fn log(pid: i32, exit: Exit, result: String) {
    Entry { action: "recovery", pid, build_ids: None, exit, result }.write();
}

fn recovered_words(outcome: RecoveredTo) -> &'static str {
    match outcome {
        RecoveredTo::NothingToDo => "has nothing to recover: no update of it was left unfinished",
        RecoveredTo::HealedItself => "had gone on by itself as it was; what the dead engine left behind was removed",
        RecoveredTo::OldVersion => "was parked and runs the old version again, with everything it had",
        RecoveredTo::NewVersion => "was parked and runs the new version now: the update is complete",
    }
}

struct Done(Recovered);

impl Answer for Done {
    fn text(&self) -> String {
        format!("process {} {}\n", self.0.pid, recovered_words(self.0.outcome))
    }

    fn json(&self) -> Value {
        let outcome = match self.0.outcome {
            RecoveredTo::NothingToDo => "nothing-to-do",
            RecoveredTo::HealedItself => "healed-itself",
            RecoveredTo::OldVersion => "old-version",
            RecoveredTo::NewVersion => "new-version",
        };
        json!({ "result": "recovered", "pid": self.0.pid, "outcome": outcome })
    }
}
