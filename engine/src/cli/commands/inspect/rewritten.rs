//! What only a rewritten image has: the planner's report, and what is left to its restore.

use std::fmt::Write;

use dsu_formats::image::ImageReader;
use dsu_formats::model::latest::{Allocations, OtherAllocations, VesselWork};
use serde_json::{Value, json};

use crate::cli::output::human::{self, Table};
use crate::cli::output::saved;

/// Both for people; nothing for an image that was captured.
pub fn parts(text: &mut String, image: &ImageReader) {
    if let Some(report) = image.plan_report() {
        let _ = write!(text, "\nplan report\n{}", self::report(report));
    }
    for work in image.work() {
        let _ = write!(text, "\nleft to the restore of process {}\n{}", pid(image, work), left(work));
    }
}

/// Lists by their lengths, everything else as it is; a report that is no JSON as text.
fn report(bytes: &[u8]) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_slice(bytes) else {
        return human::printable(&String::from_utf8_lossy(bytes)) + "\n";
    };
    let mut table = Table::default();
    for (name, value) in &fields {
        let value = match value {
            Value::Array(items) => items.len().to_string(),
            other => human::printable(&other.to_string()),
        };
        table.row(&name.replace('_', " "), value);
    }
    table.text()
}

fn left(work: &VesselWork) -> String {
    let mut table = Table::default();
    let selectors = work.resolvers.iter();
    let selectors: Vec<String> = selectors
        .map(|resolver| format!("{} for {}", resolver.function, human::count(resolver.slots.len() as u64, "slot")))
        .collect();
    if !selectors.is_empty() {
        table.row("selectors to run", selectors.join("\n"));
    }
    if !work.protect_after.is_empty() {
        let ranges: Vec<String> = work.protect_after.iter().map(ToString::to_string).collect();
        table.row("then read-only", ranges.join("\n"));
    }
    if let Some(allocations) = &work.allocations {
        let Allocations { allocate, release, blocks, bytes, fixups, freed, others } = allocations;
        let count = human::count(blocks.len() as u64, "block");
        table.row("to allocate", format!("{count}, {}, by {allocate}", human::size(bytes.len() as u64)));
        for other in others {
            let count = human::count(other.blocks.len() as u64, "block");
            let release =
                other.release.map_or("the old ones are kept".to_owned(), |release| format!("the old ones go by {release}"));
            table.row("of these", format!("{count} by {}, {release}", other.allocate));
        }
        table
            .row("words to fix up", fixups.len().to_string())
            .row("to free", format!("{}, by {release}", human::count(freed.len() as u64, "block")));
    }
    if !work.calls.is_empty() {
        let calls: Vec<String> =
            work.calls.iter().map(|call| format!("{} at {}", human::printable(&call.text), call.function)).collect();
        table.row("to call", calls.join("\n"));
    }
    table.text()
}

fn pid(image: &ImageReader, work: &VesselWork) -> String {
    let process = image.snapshot().tree.processes.get(work.process as usize);
    process.map_or_else(|| format!("number {}", work.process), |process| process.pid.to_string())
}

/// The report for programs: as the planner wrote it, or as text.
pub fn report_json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
}

fn others_json(others: &OtherAllocations) -> Value {
    json!({
        "allocate": saved::value(others.allocate),
        "release": others.release.map(saved::value),
        "blocks": others.blocks.len(),
    })
}

/// What is left to the restore, for programs; the bytes of blocks are secrets of the process, like its pages.
pub fn work_json(work: &[VesselWork]) -> Value {
    let one = |work: &VesselWork| {
        let allocations = work.allocations.as_ref().map(|allocations| {
            json!({
                "allocate": saved::value(allocations.allocate),
                "release": saved::value(allocations.release),
                "blocks": allocations.blocks.len(),
                "bytes": allocations.bytes.len(),
                "fixups": allocations.fixups.len(),
                "freed": allocations.freed.len(),
                "others": allocations.others.iter().map(others_json).collect::<Vec<Value>>(),
            })
        });
        json!({
            "process": work.process,
            "resolvers": saved::value(&work.resolvers),
            "protect_after": saved::value(&work.protect_after),
            "allocations": allocations,
            "calls": saved::value(&work.calls),
        })
    };
    work.iter().map(one).collect()
}
