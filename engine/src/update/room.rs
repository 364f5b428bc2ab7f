//! Whether there is room for holder and vessel side by side.

use dsu_formats::model::latest::{Mapping, Sharing, Snapshot};

use super::capture::Captured;
use crate::plan::rewrite::Rewrite;
use crate::resources::Obstacle;
use crate::resources::memory::{Needs, Room, check_room};
use crate::tracee::site::site_length;

/// The limits that the move of `captured` to `rewrite` would exceed. `room` was measured while the process had its old memory.
pub(super) fn obstacles(room: &Room, captured: &Captured, rewrite: &Rewrite) -> Vec<Obstacle> {
    let site = site_length(captured.snapshot.threads.len());
    let (old, new) = (mappings(&captured.snapshot), mappings(&rewrite.snapshot));
    let is_data = |mapping: &&Mapping| mapping.sharing == Sharing::Private && mapping.protection.write;
    let total = |mappings: &[Mapping]| mappings.iter().map(|mapping| mapping.range.len()).sum::<u64>();
    let data = |mappings: &[Mapping]| mappings.iter().filter(is_data).map(|mapping| mapping.range.len()).sum::<u64>();
    let needs = Needs {
        // The vessel's address space starts empty: only what it has more than the old one counts.
        virtual_bytes: (total(new) + site).saturating_sub(total(old)),
        data_bytes: (data(new) + site).saturating_sub(data(old)),
        // Machine and control group hold both.
        committed_bytes: data(new) + site,
        resident_bytes: captured.own_pages.bytes() + site,
    };
    check_room(room, needs)
}

fn mappings(snapshot: &Snapshot) -> &[Mapping] {
    snapshot.address_spaces.first().map_or(&[], |space| &space.mappings)
}
