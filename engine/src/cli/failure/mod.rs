//! Why a command did not end as asked: errors of the library sorted into kinds, each with what to do next.
//!
//! One file per family of errors says how its members count and what helps; nothing else in the program decides that.

mod image;
mod plan;
mod program;
mod resources;
mod spec;
mod system;
#[cfg(test)]
mod tests;
mod tracee;
mod update;
mod vessel;

use std::error::Error;

use dsu_engine::plan::frames::ThreadReport;
use serde_json::{Value, json};

pub use image::image_failure;
pub use program::program_failure;
pub use spec::{spec_failure, unfit_spec};
pub use system::{file_failure, output_failure};
pub use update::{later_failure, update_failure};

/// How a command ended, as the exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Failed; nothing was changed.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The process cannot be moved as it is; it was not changed.
    Blocked,
    /// The new version could not be restored, the old one runs.
    RolledBack,
    /// The machine or the user lacks something.
    Lacking,
    /// Updated, but a later step failed.
    LaterStep,
    /// The process is parked.
    Parked,
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Blocked => 3,
            Exit::RolledBack => 4,
            Exit::Lacking => 5,
            Exit::LaterStep => 6,
            Exit::Parked => 7,
        }
    }

    /// What `"result"` says in JSON when the command failed.
    pub fn word(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Failed => "failed",
            Exit::Usage => "usage",
            Exit::Blocked => "blocked",
            Exit::RolledBack => "rolled-back",
            Exit::Lacking => "lacking",
            Exit::LaterStep => "later-step-failed",
            Exit::Parked => "parked",
        }
    }
}

/// What a command was about; hints name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A process that is to be changed or read.
    Process(i32),
    /// A file.
    File(&'a std::path::Path),
}

impl Subject<'_> {
    /// The PID for a command line that the reader may copy.
    fn pid(&self) -> String {
        match self {
            Subject::Process(pid) => pid.to_string(),
            Subject::File(_) => "PID".to_owned(),
        }
    }
}

/// How an error counts, what programs may call it, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    exit: Exit,
    code: &'static str,
    hint: String,
}

impl Verdict {
    fn new(exit: Exit, code: &'static str, hint: impl Into<String>) -> Self {
        Self { exit, code, hint: hint.into() }
    }
}

/// An error of the library that this module can sort.
trait Sorted: Error {
    fn verdict(&self, subject: &Subject<'_>) -> Verdict;
}

/// In which state the failure left what the command was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no process that could have been changed.
    Nothing,
    /// The process was let go as it was.
    Untouched(i32),
    /// The process was changed and changed back.
    OldVersion(i32),
    /// The process runs the new version.
    NewVersion(i32),
    /// The process stands still and owns what it had.
    Parked(i32),
    /// The process has ended.
    Ended(i32),
    /// Nobody knows.
    Unknown(i32),
    /// The command has done its work all the same.
    Done,
}

impl State {
    /// For people.
    pub fn text(&self) -> String {
        match self {
            State::Nothing => "Nothing was changed.".to_owned(),
            State::Untouched(pid) => format!("Process {pid} was not changed."),
            State::OldVersion(pid) => format!("Process {pid} runs the old version, with everything it had."),
            State::NewVersion(pid) => format!("Process {pid} runs the new version."),
            State::Parked(pid) => {
                format!("Process {pid} stands still and keeps its memory, descriptors and connections until it is recovered.")
            }
            State::Ended(pid) => format!("Process {pid} has ended."),
            State::Unknown(pid) => format!("Process {pid} goes on, or stands still until it is recovered."),
            State::Done => "The command itself has done its work.".to_owned(),
        }
    }

    /// For programs.
    fn word(&self) -> &'static str {
        match self {
            State::Nothing => "nothing-changed",
            State::Untouched(_) => "untouched",
            State::OldVersion(_) => "old-version",
            State::NewVersion(_) => "new-version",
            State::Parked(_) => "parked",
            State::Ended(_) => "ended",
            State::Unknown(_) => "unknown",
            State::Done => "done",
        }
    }
}

/// One of several reasons not to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// What is in the way.
    pub message: String,
    /// The message for people, where it tells of one thread among others: the thread, the rest of the first line, and lines of their own.
    pub thread: Option<(i32, String, Vec<String>)>,
    /// What would help.
    pub hint: String,
    /// Its facts for programs.
    pub facts: Value,
}

impl Reason {
    fn json(&self) -> Value {
        let mut value = self.facts.clone();
        if let Value::Object(fields) = &mut value {
            fields.insert("message".to_owned(), json!(self.message));
            fields.insert("hint".to_owned(), json!(self.hint));
        }
        value
    }
}

/// A failed command, ready to be told.
#[derive(Clone, Debug)]
pub struct Failure {
    /// How it counts.
    pub exit: Exit,
    /// A stable name for programs.
    pub code: &'static str,
    /// The message, then its causes, outermost first.
    pub chain: Vec<String>,
    /// A second chain with what it is about: what also failed on the way back.
    pub also: Option<(&'static str, Vec<String>)>,
    /// What to do next.
    pub hints: Vec<String>,
    /// What became of the process.
    pub state: State,
    /// Reasons of the plan.
    pub blockers: Vec<Reason>,
    /// Reasons of the capture.
    pub obstacles: Vec<Reason>,
    /// The stacks of all threads, where they were asked for.
    pub stacks: Option<Vec<ThreadReport>>,
}

impl Failure {
    /// A failure with one message and one hint.
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            exit,
            code,
            chain: vec![message.into()],
            also: None,
            hints: vec![hint.into()],
            state: State::Nothing,
            blockers: Vec::new(),
            obstacles: Vec::new(),
            stacks: None,
        }
    }

    /// An error of dsu itself, of which the panic has been printed: a process that was being worked on may be parked.
    pub fn defect(pid: Option<i32>) -> Self {
        let message = "dsu has met an error of its own and has stopped working";
        match pid {
            None => {
                Self::new(Exit::Failed, "defect", message, "report it with what was printed above and the output of `dsu doctor`")
            }
            Some(pid) => {
                let hint = format!(
                    "`dsu recover --pid {pid}`; then report it with what was printed above and the output of `dsu doctor`"
                );
                Self { state: State::Unknown(pid), ..Self::new(Exit::Parked, "defect", message, hint) }
            }
        }
    }

    fn sorted(error: &dyn Error, verdict: Verdict, state: State) -> Self {
        let mut failure = Self::new(verdict.exit, verdict.code, "", verdict.hint);
        failure.chain = chain(error);
        failure.state = state;
        failure
    }

    /// The message alone.
    pub fn message(&self) -> &str {
        self.chain.first().map_or("", String::as_str)
    }

    /// The member `"error"` of a command's JSON.
    pub fn error_json(&self) -> Value {
        let mut error = json!({
            "code": self.code,
            "message": self.message(),
            "causes": self.chain.get(1..).unwrap_or_default(),
            "hints": self.hints,
            "state": self.state.word(),
        });
        if let (Some((what, chain)), Value::Object(fields)) = (&self.also, &mut error) {
            fields.insert("also".to_owned(), json!({ "what": what, "causes": chain }));
        }
        error
    }

    /// The whole JSON of a failed command.
    pub fn json(&self) -> Value {
        let mut value = json!({ "result": self.exit.word(), "error": self.error_json(), "exit": self.exit.code() });
        let blocked = self.exit == Exit::Blocked || !self.obstacles.is_empty();
        if let (true, Value::Object(fields)) = (blocked, &mut value) {
            fields.insert("blockers".to_owned(), self.blockers.iter().map(Reason::json).collect());
            fields.insert("obstacles".to_owned(), self.obstacles.iter().map(Reason::json).collect());
        }
        if let (Some(stacks), Value::Object(fields)) = (&self.stacks, &mut value) {
            fields.insert("stacks".to_owned(), json!(stacks));
        }
        value
    }
}

/// The messages of an error and its causes; what a message repeats of the one before it is left out.
fn chain(error: &dyn Error) -> Vec<String> {
    let mut messages = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !messages.iter().any(|message| message.contains(&text)) {
            messages.push(text);
        }
        source = cause.source();
    }
    messages
}
