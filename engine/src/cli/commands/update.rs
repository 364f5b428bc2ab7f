//! `dsu update`: move a running process to a new build.

use dsu_engine::update::live;
use dsu_engine::update::operation::{ImageSummary, UpdateOutcome, UpdateRequest, Updated};
use serde_json::{Value, json};

use super::{check_destination, check_program, read_spec};
use crate::cli::arguments::UpdateArguments;
use crate::cli::failure::{Exit, Failure, Subject, later_failure, update_failure};
use crate::cli::log::{BuildIds, Entry};
use crate::cli::output::report::Carried;
use crate::cli::output::{Answer, Ending, human, json};
use crate::cli::progress::Progress;

/// Moves the process, and writes a line about it to the system log.
pub fn run(arguments: &UpdateArguments, mut progress: Progress) -> Ending {
    let pair = &arguments.pair;
    check_program(&pair.program)?;
    if let Some(image) = &arguments.keep_image {
        check_destination(image)?;
    }
    let request = UpdateRequest {
        pid: arguments.pid,
        program: pair.program.clone(),
        spec: read_spec(pair.spec.as_deref(), &pair.plugins)?,
        wait: pair.wait,
        keep_image: arguments.keep_image.clone(),
        force: arguments.force,
        accept_seccomp_risk: pair.accept_seccomp_risk,
        strict: pair.strict,
        debug_directories: pair.debug_directories.clone(),
        cache: pair.cache(),
        continuations: None,
    };
    let build_ids = BuildIds::before(arguments.pid, &pair.program);
    let result = live::update(&request, &mut progress);
    progress.finish();
    let ending: Result<Box<dyn Answer>, Failure> = match result {
        Ok(UpdateOutcome::UpToDate { build_id }) => Ok(Box::new(UpToDate { pid: arguments.pid, build_id })),
        Ok(UpdateOutcome::Updated(updated)) => Ok(Box::new(Moved::new(*updated))),
        Err(error) => Err(update_failure(&error, &Subject::Process(arguments.pid))),
    };
    let (exit, result) = match &ending {
        Ok(answer) => (answer.exit(), log_words(&**answer)),
        Err(failure) => (failure.exit, format!("{}: {}", failure.exit.word(), failure.chain.join(": "))),
    };
    Entry { action: "update", pid: arguments.pid, build_ids: Some(build_ids), exit, result }.write();
    ending.map_err(Box::new)
}

/// The result in the system log: the first line for people, and what failed later.
fn log_words(answer: &dyn Answer) -> String {
    let text = answer.text();
    let first = text.lines().next().unwrap_or_default().to_owned();
    match answer.later_failure() {
        Some(failure) => format!("{first}; {}: {}", failure.exit.word(), failure.chain.join(": ")),
        None => first,
    }
}

struct UpToDate {
    pid: i32,
    build_id: Vec<u8>,
}

impl Answer for UpToDate {
    fn text(&self) -> String {
        format!("process {} is up to date: it runs {} already\n", self.pid, human::build_id(&self.build_id))
    }

    fn json(&self) -> Value {
        json!({ "result": "up-to-date", "pid": self.pid, "build_id": json::build_id(&self.build_id) })
    }
}

struct Moved {
    updated: Updated,
    later: Option<Failure>,
}

impl Moved {
    fn new(updated: Updated) -> Self {
        let later = updated.later_failure.as_ref().map(|error| later_failure(error, updated.pid));
        Self { updated, later }
    }

    fn carried(&self) -> Carried<'_> {
        let updated = &self.updated;
        Carried {
            report: &updated.report,
            threads: updated.threads,
            descriptors: updated.descriptors,
            children: &updated.children,
            pause_ms: Some(updated.pause_ms),
            steps: &updated.steps,
            build_ids: (&updated.old_build_id, &updated.new_build_id),
        }
    }
}

impl Answer for Moved {
    fn text(&self) -> String {
        let updated = &self.updated;
        let (old, new) = (human::build_id(&updated.old_build_id), human::build_id(&updated.new_build_id));
        let attempts = match updated.attempts {
            0 | 1 => String::new(),
            more => format!(", at the {more}th attempt"),
        };
        let pause = format!("{:.1} ms{attempts}", updated.pause_ms);
        let mut text = format!("process {} was updated: {old} to {new}\n{}", updated.pid, self.carried().text(Some(pause)));
        if let Some(image) = &updated.image {
            text += &image_line(image);
        }
        text
    }

    fn json(&self) -> Value {
        let updated = &self.updated;
        let mut value = json!({
            "result": "updated",
            "pid": updated.pid,
            "attempts": updated.attempts,
            "image": updated.image.as_ref().map(image_json),
        });
        self.carried().add_json(&mut value);
        value
    }

    fn exit(&self) -> Exit {
        if self.later.is_some() { Exit::LaterStep } else { Exit::Done }
    }

    fn later_failure(&self) -> Option<&Failure> {
        self.later.as_ref()
    }
}

/// An image that was written, for people.
pub(super) fn image_line(image: &ImageSummary) -> String {
    format!(
        "image: {}, {} ({} pages, {} more are zero)\n",
        human::printable(&image.path.display().to_string()),
        human::size(image.bytes),
        image.pages_stored,
        image.zero_pages
    )
}

/// An image that was written, for programs.
pub(super) fn image_json(image: &ImageSummary) -> Value {
    json!({
        "path": json::path(&image.path),
        "bytes": image.bytes,
        "pages_stored": image.pages_stored,
        "zero_pages": image.zero_pages,
    })
}
