//! Before the stop of a large process: huge pages for its new memory are set aside, where there is room for them.

use std::time::Duration;

use super::error::UpdateError;
use super::operation::Observer;
use crate::resources::memory::{Needs, Room, Scanner, capture_mappings, check_room, measure_room, scan_own_pages};
use crate::vessel::stock::Stock;

/// How long that may take: a machine short of huge pages would take as long again while the process stands still.
const LIMIT: Duration = Duration::from_secs(15);

/// Sets aside what process `pid` can use. It goes on meanwhile, so the figure is one that was right a moment ago; an update
/// without any of it is only slower, so nothing here fails.
pub(super) fn set_aside(pid: i32, observer: &mut dyn Observer) -> Stock {
    match wanted(pid) {
        Ok(0) => Stock::default(),
        Ok(bytes) => {
            observer.step("set memory aside");
            Stock::of(bytes, LIMIT)
        }
        Err(error) => {
            tracing::debug!(%error, "no memory is set aside");
            Stock::default()
        }
    }
}

/// Bytes to set aside; none when the engine's own limits or the machine would feel it.
fn wanted(pid: i32) -> Result<u64, UpdateError> {
    let mappings = capture_mappings(pid, &[])?.mappings;
    let own_pages = scan_own_pages(pid, &mappings, Scanner::Best)?;
    let bytes = Stock::wanted(&mappings, &own_pages.runs);
    if bytes == 0 {
        return Ok(0);
    }
    let room = measure_room(std::process::id().cast_signed())?;
    Ok(if has_room(&room, bytes) { bytes } else { 0 })
}

/// Whether `bytes` of memory that the update is going to take anyway may be taken by the engine first. Where each mapping counts
/// whether it is touched or not, engine and vessel would be counted side by side.
fn has_room(room: &Room, bytes: u64) -> bool {
    let needs = Needs {
        virtual_bytes: bytes,
        data_bytes: bytes,
        committed_bytes: 0,
        // An eighth is left to the others, who go on using the machine.
        resident_bytes: bytes + bytes / 8,
    };
    room.committed_bytes.is_empty() && check_room(room, needs).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_set_aside_only_where_nobody_feels_it() {
        let named = |bytes: u64| vec![("limit".to_owned(), bytes)];
        let roomy = Room { resident_bytes: named(900), virtual_bytes: named(900), ..Room::default() };
        assert!(has_room(&roomy, 800));
        assert!(!has_room(&roomy, 801), "an eighth must be left");
        assert!(!has_room(&Room { data_bytes: named(799), ..roomy.clone() }, 800));
        assert!(!has_room(&Room { committed_bytes: named(1 << 40), ..roomy }, 800), "strict accounting counts both");
    }
}
