//! `dsu verify`: every checksum and every cross reference of an image.

use std::path::PathBuf;

use dsu_formats::image::{self, Finding, ImageReader, MAX_FINDINGS};
use dsu_formats::model::latest::PageSource;
use serde_json::{Value, json};

use crate::cli::arguments::VerifyArguments;
use crate::cli::failure::{Exit, image_failure};
use crate::cli::output::{Answer, Ending, human, json};

/// Checks the image; what cannot be read at all is a failure, what can be read and is wrong is a finding.
pub fn run(arguments: &VerifyArguments) -> Ending {
    let open = |path: &PathBuf| ImageReader::open(path).map_err(|error| Box::new(image_failure(&error, path)));
    let parent = arguments.parent.as_ref().map(open).transpose()?;
    let reader = open(&arguments.image)?;
    let findings = image::verify(&reader, parent.as_ref().map(ImageReader::pages).as_ref());
    let has_pages_there = reader.page_table().extents.iter().any(|extent| extent.source == PageSource::Parent);
    let needs_parent = reader.parent_identity().filter(|_| has_pages_there && parent.is_none());
    let pages = reader.stored_pages();
    Ok(Box::new(Verified { path: arguments.image.clone(), identity: reader.identity(), pages, needs_parent, findings }))
}

struct Verified {
    path: PathBuf,
    identity: u32,
    pages: u64,
    /// Identity of a parent image that was not given, so that its pages were not looked up.
    needs_parent: Option<u32>,
    findings: Vec<Finding>,
}

impl Answer for Verified {
    fn text(&self) -> String {
        let path = human::printable(&self.path.display().to_string());
        let mut text = if self.findings.is_empty() {
            let pages = human::count(self.pages, "page");
            format!("{path} is right: {pages} and every section and reference agree (identity {:08x})\n", self.identity)
        } else {
            let lines: String =
                self.findings.iter().map(|finding| format!("  - {}\n", human::printable(&finding.to_string()))).collect();
            let more = if self.findings.len() == MAX_FINDINGS { " or more" } else { "" };
            let count = human::count(self.findings.len() as u64, "finding");
            format!(
                "{path} is wrong, {count}{more}:\n{lines}hint: do not restore it; copy the original again, or take another checkpoint\n"
            )
        };
        if let Some(parent) = self.needs_parent {
            text += &format!(
                "note: pages of the image {parent:08x}, which it was made from, were not looked up: name it with --parent\n"
            );
        }
        text
    }

    fn json(&self) -> Value {
        let finding =
            |finding: &Finding| json!({ "section": finding.section.name(), "item": finding.item, "problem": finding.problem });
        json!({
            "result": if self.findings.is_empty() { "verified" } else { "wrong" },
            "image": json::path(&self.path),
            "identity": format!("{:08x}", self.identity),
            "pages": self.pages,
            "parent_not_checked": self.needs_parent.map(|identity| format!("{identity:08x}")),
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
        })
    }

    fn exit(&self) -> Exit {
        if self.findings.is_empty() { Exit::Done } else { Exit::Failed }
    }
}
