//! `dsu inspect`: what is in an image.

mod address;
mod descriptors;
mod memory;
mod rewritten;
mod text;

use std::path::PathBuf;

use dsu_formats::image::ImageReader;
use dsu_formats::model::latest::PageSource;
use serde_json::{Value, json};

use crate::cli::arguments::InspectArguments;
use crate::cli::failure::image_failure;
use crate::cli::output::{Answer, Ending, json, saved};

/// Reads the image.
pub fn run(arguments: &InspectArguments) -> Ending {
    let image = ImageReader::open(&arguments.image).map_err(|error| Box::new(image_failure(&error, &arguments.image)))?;
    Ok(Box::new(Inspected { path: arguments.image.clone(), image, registers: arguments.registers }))
}

struct Inspected {
    path: PathBuf,
    image: ImageReader,
    registers: bool,
}

impl Answer for Inspected {
    fn text(&self) -> String {
        text::image(&self.path, &self.image, self.registers)
    }

    fn json(&self) -> Value {
        let header = self.image.header();
        let mut value = saved::snapshot(self.image.snapshot());
        json::set(&mut value, "result", "inspected".into());
        json::set(&mut value, "image", json::path(&self.path));
        json::set(
            &mut value,
            "header",
            json!({
                "format_version": header.format_version,
                "oldest_reader": header.oldest_reader,
                "bytes": header.total_len,
                "identity": format!("{:08x}", header.identity),
            }),
        );
        json::set(&mut value, "sections", sections(&self.image));
        json::set(&mut value, "pages", pages(&PageCounts::of(&self.image)));
        json::set(&mut value, "plan_report", self.image.plan_report().map_or(Value::Null, rewritten::report_json));
        json::set(&mut value, "vessel_work", rewritten::work_json(self.image.work()));
        value
    }
}

fn sections(image: &ImageReader) -> Value {
    let section = |section: &dsu_formats::image::Section| {
        json!({
            "name": section.id.to_string(),
            "number": section.id.number,
            "version": section.version,
            "required": section.required,
            "offset": section.offset,
            "bytes": section.len,
            "crc32": format!("{:08x}", section.crc),
        })
    };
    image.sections().iter().map(section).collect()
}

fn pages(counts: &PageCounts) -> Value {
    json!({
        "extents": counts.extents,
        "stored": counts.stored,
        "zero": counts.zero,
        "in_parent": counts.in_parent,
        "in_holder": counts.in_holder,
    })
}

/// Pages by where their bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PageCounts {
    extents: u64,
    stored: u64,
    zero: u64,
    in_parent: u64,
    in_holder: u64,
}

impl PageCounts {
    fn of(image: &ImageReader) -> Self {
        let mut counts = Self::default();
        for extent in &image.page_table().extents {
            counts.extents += 1;
            let place = match extent.source {
                PageSource::Store { .. } => &mut counts.stored,
                PageSource::Zero => &mut counts.zero,
                PageSource::Parent => &mut counts.in_parent,
                PageSource::Holder => &mut counts.in_holder,
            };
            *place = place.saturating_add(extent.pages);
        }
        counts
    }
}
