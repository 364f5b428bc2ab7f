//! The last look before the gate: does `/proc` show the image's mappings?

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::{Backing, Mapping, Protection};

use super::error::VesselError;
use crate::resources::memory::read_mapping_lines;
use crate::tracee::emptied::Emptied;

/// A mapping as far as both sides can tell it: neighbours that the kernel may merge are one.
type Piece = (RunRange, Protection);

/// Compares the vessel's mappings, without the engine's own, with those of the image.
pub(super) fn mappings(vessel: &Emptied, expected: &[Mapping]) -> Result<(), VesselError> {
    let own = vessel.own_range();
    let found = read_mapping_lines(vessel.pid())?;
    let found = merge(
        found
            .iter()
            .filter(|line| !line.range.overlaps(&own) && !line.path.starts_with(b"[v"))
            .map(|line| (line.range, line.protection)),
    );
    let expected = merge(
        expected
            .iter()
            .filter(|mapping| !matches!(mapping.backing, Backing::Vdso | Backing::Vvar { .. } | Backing::Vsyscall))
            .map(|mapping| (mapping.range, mapping.protection)),
    );
    let differ = expected.iter().zip(&found).find(|(a, b)| a != b);
    let lengths = (expected.len() != found.len()).then(|| expected.iter().chain(&found).last()).flatten();
    match (differ, lengths) {
        (None, None) => Ok(()),
        (Some((expected, found)), _) => Err(mismatch(describe(expected), describe(found))),
        (None, Some(_)) => Err(mismatch(format!("{} mappings", expected.len()), format!("{} mappings", found.len()))),
    }
}

fn merge(pieces: impl Iterator<Item = Piece>) -> Vec<Piece> {
    let mut merged: Vec<Piece> = Vec::new();
    for (range, protection) in pieces {
        match merged.last_mut() {
            Some((last, same)) if last.end == range.start && *same == protection => last.end = range.end,
            _ => merged.push((range, protection)),
        }
    }
    merged
}

fn describe((range, protection): &Piece) -> String {
    let letter = |set: bool, letter: char| if set { letter } else { '-' };
    format!("{range} {}{}{}", letter(protection.read, 'r'), letter(protection.write, 'w'), letter(protection.execute, 'x'))
}

fn mismatch(expected: String, found: String) -> VesselError {
    VesselError::Mismatch { what: "the mappings", expected, found }
}
