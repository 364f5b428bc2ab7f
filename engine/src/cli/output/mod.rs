//! Tells how a command ended: to people on stdout and stderr, or to programs as one JSON object on stdout.

pub mod diff;
pub mod human;
pub mod json;
pub mod report;
pub mod saved;
pub mod stacks;

use std::io::{self, Write};

use serde_json::Value;

use super::failure::{Exit, Failure, output_failure};

/// What a command that did what it was asked for has to say.
pub trait Answer {
    /// For people; whole lines.
    fn text(&self) -> String;

    /// For programs: an object with the member `"result"`.
    fn json(&self) -> Value;

    /// How it counts: an answer can be that something is missing.
    fn exit(&self) -> Exit {
        Exit::Done
    }

    /// A step that failed after the command had done its work.
    fn later_failure(&self) -> Option<&Failure> {
        None
    }
}

/// How a command ended.
pub type Ending = Result<Box<dyn Answer>, Box<Failure>>;

/// Prints how a command ended, and says how it counts.
pub fn deliver(ending: &Ending, as_json: bool) -> Exit {
    match ending {
        Ok(answer) => deliver_answer(&**answer, as_json),
        Err(failure) => {
            if as_json {
                print(&json::line(failure.json()), failure.exit)
            } else {
                complain(failure);
                failure.exit
            }
        }
    }
}

fn deliver_answer(answer: &dyn Answer, as_json: bool) -> Exit {
    let exit = answer.exit();
    if as_json {
        let mut value = answer.json();
        json::set(&mut value, "exit", exit.code().into());
        if let Some(failure) = answer.later_failure() {
            json::set(&mut value, "error", failure.error_json());
        }
        return print(&json::line(value), exit);
    }
    let exit = print(&answer.text(), exit);
    if let Some(failure) = answer.later_failure() {
        complain(failure);
    }
    exit
}

/// Writes to stdout. A reader that has gone away (`| head`) is not an error.
fn print(text: &str, exit: Exit) -> Exit {
    let mut stdout = anstream::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let exit = if exit == Exit::Done { Exit::Failed } else { exit };
            let failure = output_failure(&error, exit);
            complain(&failure);
            exit
        }
        _ => exit,
    }
}

/// Writes a failure to stderr. There is nobody left to tell when that fails.
fn complain(failure: &Failure) {
    let _ = anstream::stderr().lock().write_all(human::failure(failure).as_bytes());
}
