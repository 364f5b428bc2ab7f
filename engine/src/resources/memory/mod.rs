//! Memory: the mappings of an address space, its layout, which private pages have bytes of their own, what an exec takes.

mod give_back;
mod layout;
mod maps;
mod own_pages;
mod reopen;
mod room;
mod shared;

pub use give_back::{
    blockers_of_locks, check_layout, give_back_flags, give_back_guards, give_back_layout, give_back_lock_future,
};
pub(crate) use layout::{ask_break, read_layout};
pub use layout::{capture_layout, is_layout_link_settable};
pub(crate) use maps::label;
pub use maps::{MappedFile, MemoryCapture, Unsupported, blockers, capture_mappings, open_line, open_mapped, read_mapping_lines};
pub use own_pages::{OwnPages, Scanner, scan_own_pages};
pub use reopen::{build_id_of, reopen_mapped};
pub use room::{Needs, Room, check_room, measure_room};
pub use shared::{make_shared, scan_shared, shared_length};
