//! Arguments of injected calls in the tracee's scratch range.

use dsu_formats::address::RunAddress;

use super::error::ResourceError;
use crate::tracee::inject::Injector;

/// Puts `bytes` at `offset` of the scratch range and returns their address.
pub(crate) fn put(injector: &dyn Injector, offset: u64, bytes: &[u8]) -> Result<u64, ResourceError> {
    let address = place(injector, offset, bytes.len() as u64)?;
    injector.memory().write(address, bytes)?;
    Ok(address.0)
}

/// Puts `text` and a zero byte at `offset`.
pub(crate) fn put_string(injector: &dyn Injector, offset: u64, text: &[u8]) -> Result<u64, ResourceError> {
    put(injector, offset, &string(text))
}

/// `text` and a zero byte.
pub(crate) fn string(text: &[u8]) -> Vec<u8> {
    [text, &[0]].concat()
}

/// The address of `length` bytes at `offset` of the scratch range, for a call to fill.
pub(crate) fn place(injector: &dyn Injector, offset: u64, length: u64) -> Result<RunAddress, ResourceError> {
    let range = injector.scratch();
    match offset.checked_add(length) {
        Some(end) if end <= range.len() => Ok(RunAddress(range.start.0 + offset)),
        _ => Err(ResourceError::Unexpected {
            object: "an argument of an injected call".to_owned(),
            expected: "one that fits into the scratch range",
            found: format!("{length} bytes at offset {offset} of {}", range.len()),
        }),
    }
}

/// Reads `N` bytes that a call wrote at `offset`.
pub(crate) fn take<const N: usize>(injector: &dyn Injector, offset: u64) -> Result<[u8; N], ResourceError> {
    let mut bytes = [0; N];
    injector.memory().read(place(injector, offset, N as u64)?, &mut bytes)?;
    Ok(bytes)
}

/// The little-endian word at byte `at` of `bytes`; zero past the end, which callers exclude by the array's length.
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()).map_or(0, |word| u64::from_le_bytes(*word))
}

/// The little-endian half word at byte `at` of `bytes`, likewise.
pub(crate) fn half(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |half| u32::from_le_bytes(*half))
}
