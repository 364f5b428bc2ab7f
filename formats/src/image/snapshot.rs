//! Sections and their postcard values: what a [`Snapshot`] and a page table are in a file.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::ImageError;
use super::section::SectionKind;
use super::table::check_len;
use crate::model::latest::{PageTable, Snapshot, VesselWork};

/// Most entries of a section that is one list; as many as Linux has process IDs (`PID_MAX_LIMIT`).
const MAX_ENTRIES: u64 = 1 << 22;

/// Most extents: every other page of 4 TiB.
const MAX_EXTENTS: u64 = 1 << 29;

/// Gives the bytes of each section of `snapshot` to `put`, in the order in which they are written.
pub(super) fn encode_each(
    snapshot: &Snapshot,
    mut put: impl FnMut(SectionKind, &[u8]) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    use SectionKind as K;
    put(K::Manifest, &encode(K::Manifest, &snapshot.manifest)?)?;
    put(K::Tree, &encode(K::Tree, &snapshot.tree)?)?;
    put(K::Memory, &encode(K::Memory, &snapshot.address_spaces)?)?;
    put(K::Modules, &encode(K::Modules, &snapshot.modules)?)?;
    put(K::Threads, &encode(K::Threads, &snapshot.threads)?)?;
    put(K::Signals, &encode(K::Signals, &snapshot.signals)?)?;
    put(K::Timers, &encode(K::Timers, &snapshot.timers)?)?;
    put(K::Descriptors, &encode(K::Descriptors, &snapshot.descriptors)?)?;
    put(K::Credentials, &encode(K::Credentials, &snapshot.credentials)?)?;
    put(K::Limits, &encode(K::Limits, &snapshot.limits)?)?;
    put(K::Generations, &encode(K::Generations, &snapshot.generations)?)
}

/// The snapshot whose sections `get` returns. Every section is in version 1: the table was checked for that.
pub(super) fn decode_all(mut get: impl FnMut(SectionKind) -> Result<Vec<u8>, ImageError>) -> Result<Snapshot, ImageError> {
    use SectionKind as K;
    Ok(Snapshot {
        manifest: decode(K::Manifest, &get(K::Manifest)?)?,
        tree: decode_list(K::Tree, &get(K::Tree)?)?,
        address_spaces: decode_list(K::Memory, &get(K::Memory)?)?,
        modules: decode_list(K::Modules, &get(K::Modules)?)?,
        threads: decode_list(K::Threads, &get(K::Threads)?)?,
        signals: decode_list(K::Signals, &get(K::Signals)?)?,
        timers: decode_list(K::Timers, &get(K::Timers)?)?,
        descriptors: decode_list(K::Descriptors, &get(K::Descriptors)?)?,
        credentials: decode_list(K::Credentials, &get(K::Credentials)?)?,
        limits: decode_list(K::Limits, &get(K::Limits)?)?,
        generations: decode_list(K::Generations, &get(K::Generations)?)?,
    })
}

/// The bytes of a page table.
pub(super) fn encode_page_table(table: &PageTable) -> Result<Vec<u8>, ImageError> {
    check_entries(SectionKind::PageTable, table.extents.len() as u64, MAX_EXTENTS)?;
    encode(SectionKind::PageTable, table)
}

/// The page table in the bytes of its section.
pub(super) fn decode_page_table(bytes: &[u8]) -> Result<PageTable, ImageError> {
    check_count(SectionKind::PageTable, bytes, MAX_EXTENTS)?;
    decode(SectionKind::PageTable, bytes)
}

/// The bytes of what is left to the vessel.
pub(super) fn encode_work(work: &[VesselWork]) -> Result<Vec<u8>, ImageError> {
    encode(SectionKind::VesselWork, &work)
}

/// What is left to the vessel, in the bytes of its section.
pub(super) fn decode_work(bytes: &[u8]) -> Result<Vec<VesselWork>, ImageError> {
    decode_list(SectionKind::VesselWork, bytes)
}

fn encode<T: Serialize>(kind: SectionKind, value: &T) -> Result<Vec<u8>, ImageError> {
    let bytes = postcard::to_stdvec(value).map_err(|source| codec(kind, "encoded", source))?;
    check_len(kind, bytes.len() as u64)?;
    Ok(bytes)
}

/// A value that starts with the length of a list: the count is checked before anything is allocated for it.
fn decode_list<T: DeserializeOwned>(kind: SectionKind, bytes: &[u8]) -> Result<T, ImageError> {
    check_count(kind, bytes, MAX_ENTRIES)?;
    decode(kind, bytes)
}

/// Memory taken is bounded by the bytes at hand: serde's lists start with at most 1 MiB and then grow with the elements that
/// are really there.
fn decode<T: DeserializeOwned>(kind: SectionKind, bytes: &[u8]) -> Result<T, ImageError> {
    let (value, rest) = postcard::take_from_bytes(bytes).map_err(|source| codec(kind, "decoded", source))?;
    let limit = (bytes.len() - rest.len()) as u64;
    if !rest.is_empty() {
        return Err(ImageError::Limit { section: kind.into(), unit: "bytes", limit, found: bytes.len() as u64 });
    }
    Ok(value)
}

fn check_count(kind: SectionKind, bytes: &[u8], limit: u64) -> Result<(), ImageError> {
    let (count, _) = postcard::take_from_bytes::<u64>(bytes).map_err(|source| codec(kind, "decoded", source))?;
    check_entries(kind, count, limit)
}

fn check_entries(kind: SectionKind, found: u64, limit: u64) -> Result<(), ImageError> {
    if found <= limit { Ok(()) } else { Err(ImageError::Limit { section: kind.into(), unit: "entries", limit, found }) }
}

fn codec(kind: SectionKind, operation: &'static str, source: postcard::Error) -> ImageError {
    ImageError::Codec { section: kind.into(), operation, source }
}
