//! `dsu transform`: an image for a new build of its program.

use dsu_engine::update::operation::{ImagePair, ImagePlanned, TransformOutcome, Transformed, transform};
use serde_json::{Value, json};

use super::update::{image_json, image_line};
use super::{check_destination, check_program, read_spec};
use crate::cli::arguments::TransformArguments;
use crate::cli::failure::{Subject, update_failure};
use crate::cli::output::report::{Carried, notes};
use crate::cli::output::{Answer, Ending, human, json};
use crate::cli::progress::Progress;

/// Rewrites the image.
pub fn run(arguments: &TransformArguments, mut progress: Progress) -> Ending {
    check_program(&arguments.program)?;
    check_destination(&arguments.output)?;
    let request = ImagePair {
        image: arguments.image.clone(),
        program: arguments.program.clone(),
        old: arguments.old.clone(),
        spec: read_spec(arguments.spec.as_deref(), &arguments.plugins)?,
        stacks: None,
        strict: arguments.strict,
        debug_directories: arguments.debug_directories.clone(),
    };
    let result = transform(&request, &arguments.output, &mut progress);
    progress.finish();
    match result {
        Ok(TransformOutcome::UpToDate { build_id }) => Ok(Box::new(UpToDate { arguments: request, build_id })),
        Ok(TransformOutcome::Transformed(transformed)) => Ok(Box::new(Rewritten(*transformed))),
        Err(error) => Err(Box::new(update_failure(&error, &Subject::File(&arguments.image)))),
    }
}

struct UpToDate {
    arguments: ImagePair,
    build_id: Vec<u8>,
}

impl Answer for UpToDate {
    fn text(&self) -> String {
        let image = human::printable(&self.arguments.image.display().to_string());
        format!("the image {image} is up to date: it is of {} already; nothing was written\n", human::build_id(&self.build_id))
    }

    fn json(&self) -> Value {
        json!({
            "result": "up-to-date",
            "parent": { "path": json::path(&self.arguments.image) },
            "build_id": json::build_id(&self.build_id),
        })
    }
}

struct Rewritten(Transformed);

impl Answer for Rewritten {
    fn text(&self) -> String {
        let Transformed { planned, image, .. } = &self.0;
        let (old, new) = (human::build_id(&planned.old_build_id), human::build_id(&planned.new_build_id));
        let from = human::printable(&planned.image.display().to_string());
        let mut text = format!("the image {from} was rewritten: {old} to {new}\n{}", carried(planned).text(None));
        if planned.selectors + planned.blocks + planned.calls > 0 {
            let selectors = human::count(planned.selectors as u64, "selector");
            let blocks = human::count(planned.blocks as u64, "block");
            let calls = human::count(planned.calls as u64, "call");
            text += &format!("note: left to the restore: {selectors} to run, {blocks} to allocate, {calls} to make\n");
        }
        notes(&mut text, "warning", &planned.warnings);
        text + &image_line(image)
    }

    fn json(&self) -> Value {
        let done = &self.0;
        let mut image = image_json(&done.image);
        json::set(&mut image, "identity", identity(done.identity).into());
        let parent = json!({ "path": json::path(&done.planned.image), "identity": identity(done.parent) });
        let mut value = json!({ "result": "transformed", "parent": parent, "image": image });
        add_json(&done.planned, &mut value);
        value
    }
}

fn identity(number: u32) -> String {
    format!("{number:08x}")
}

/// What is said of an image that was, or would be, rewritten.
pub(super) fn carried(planned: &ImagePlanned) -> Carried<'_> {
    Carried {
        report: &planned.report,
        threads: planned.threads,
        descriptors: planned.descriptors,
        children: &[],
        pause_ms: None,
        steps: &planned.steps,
        build_ids: (&planned.old_build_id, &planned.new_build_id),
    }
}

/// The same for programs.
pub(super) fn add_json(planned: &ImagePlanned, value: &mut Value) {
    carried(planned).add_json(value);
    let left = json!({ "selectors": planned.selectors, "blocks": planned.blocks, "calls": planned.calls });
    json::set(value, "left_to_restore", left);
    json::set(value, "warnings", planned.warnings.clone().into());
}
