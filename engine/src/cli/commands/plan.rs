//! `dsu plan`: what an update would do, or what stands in its way.

use std::path::Path;
use std::sync::Arc;

use dsu_engine::plan::frames::ThreadReport;
use dsu_engine::update::live;
use dsu_engine::update::operation::{ImagePair, ImagePlanned, PlanRequest, Planned, plan_image};
use serde_json::{Value, json};

use super::{check_program, read_spec, transform};
use crate::cli::arguments::PlanArguments;
use crate::cli::failure::{Exit, Failure, Subject, update_failure};
use crate::cli::output::report::{Carried, notes};
use crate::cli::output::{self, Answer, Ending, human, stacks};
use crate::cli::progress::Progress;

/// Plans the update; the process goes on, and the image stays, as it was.
pub fn run(arguments: &PlanArguments, progress: Progress) -> Ending {
    check_program(&arguments.pair.program)?;
    match (arguments.pid, &arguments.image) {
        (Some(pid), _) => of_process(pid, arguments, progress),
        (None, Some(image)) => of_image(image, arguments, progress),
        (None, None) => Err(Box::new(Failure::new(Exit::Usage, "usage", "neither a process nor an image was named", "name one"))),
    }
}

fn of_image(image: &Path, arguments: &PlanArguments, mut progress: Progress) -> Ending {
    let pair = &arguments.pair;
    let request = ImagePair {
        image: image.to_owned(),
        program: pair.program.clone(),
        old: arguments.old.clone(),
        spec: read_spec(pair.spec.as_deref(), &pair.plugins)?,
        strict: pair.strict,
        debug_directories: pair.debug_directories.clone(),
        stacks: arguments.stacks.then(Arc::default),
    };
    let result = plan_image(&request, &mut progress);
    progress.finish();
    let stacks = request.stacks.map(|stacks| stacks.take());
    match result {
        Ok(planned) => Ok(Box::new(OfImage(planned, stacks))),
        Err(error) => Err(Box::new(Failure { stacks, ..update_failure(&error, &Subject::File(image)) })),
    }
}

fn of_process(pid: i32, arguments: &PlanArguments, mut progress: Progress) -> Ending {
    let pair = &arguments.pair;
    let request = PlanRequest {
        pid,
        program: pair.program.clone(),
        spec: read_spec(pair.spec.as_deref(), &pair.plugins)?,
        wait: pair.wait,
        accept_seccomp_risk: pair.accept_seccomp_risk,
        strict: pair.strict,
        debug_directories: pair.debug_directories.clone(),
        cache: pair.cache(),
        continuations: None,
        stacks: arguments.stacks.then(Arc::default),
    };
    let result = live::plan(&request, &mut progress);
    progress.finish();
    let stacks = request.stacks.map(|stacks| stacks.take());
    match result {
        Ok(planned) => Ok(Box::new(Plan(planned, stacks))),
        Err(error) => Err(Box::new(Failure { stacks, ..update_failure(&error, &Subject::Process(pid)) })),
    }
}

struct OfImage(ImagePlanned, Option<Vec<ThreadReport>>);

impl Answer for OfImage {
    fn text(&self) -> String {
        let planned = &self.0;
        let (old, new) = (human::build_id(&planned.old_build_id), human::build_id(&planned.new_build_id));
        let image = human::printable(&planned.image.display().to_string());
        let mut text = format!(
            "the image {image} can be rewritten: {old} to {new}; nothing was changed\n{}",
            transform::carried(planned).text(None)
        );
        text.push_str(&self.1.as_deref().map(stacks::text).unwrap_or_default());
        notes(&mut text, "warning", &planned.warnings);
        notes(&mut text, "assumed", &planned.report.assumptions);
        text
    }

    fn json(&self) -> Value {
        let mut value = json!({ "result": "planned", "image": output::json::path(&self.0.image) });
        transform::add_json(&self.0, &mut value);
        add_stacks(self.1.as_deref(), &mut value);
        value
    }
}

fn add_stacks(stacks: Option<&[ThreadReport]>, value: &mut Value) {
    if let Some(stacks) = stacks {
        output::json::set(value, "stacks", json!(stacks));
    }
}

struct Plan(Planned, Option<Vec<ThreadReport>>);

impl Plan {
    fn carried(&self) -> Carried<'_> {
        let planned = &self.0;
        Carried {
            report: &planned.report,
            threads: planned.threads,
            descriptors: planned.descriptors,
            children: &planned.children,
            pause_ms: Some(planned.pause_ms),
            steps: &planned.steps,
            build_ids: (&planned.old_build_id, &planned.new_build_id),
        }
    }
}

impl Answer for Plan {
    fn text(&self) -> String {
        let planned = &self.0;
        let (old, new) = (human::build_id(&planned.old_build_id), human::build_id(&planned.new_build_id));
        let pause = format!("{:.1} ms, for this plan", planned.pause_ms);
        let mut text = format!(
            "process {} can be updated: {old} to {new}; nothing was changed\n{}",
            planned.pid,
            self.carried().text(Some(pause))
        );
        text.push_str(&self.1.as_deref().map(stacks::text).unwrap_or_default());
        notes(&mut text, "assumed", &planned.report.assumptions);
        text
    }

    fn json(&self) -> Value {
        let mut value = json!({ "result": "planned", "pid": self.0.pid });
        self.carried().add_json(&mut value);
        add_stacks(self.1.as_deref(), &mut value);
        value
    }
}
