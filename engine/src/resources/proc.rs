//! Files of `/proc/PID` as text and as numbers, with errors that name the file.

use std::os::unix::ffi::OsStringExt;

use crate::tracee::error::TraceeError;
use crate::tracee::procfs;

/// Bytes of `/proc/PID/NAME`.
pub(crate) fn bytes(pid: i32, name: &str) -> Result<Vec<u8>, TraceeError> {
    procfs::read(pid, name)
}

/// Text of `/proc/PID/NAME`; bytes that are no UTF-8 are replaced.
pub(crate) fn text(pid: i32, name: &str) -> Result<String, TraceeError> {
    Ok(String::from_utf8_lossy(&bytes(pid, name)?).into_owned())
}

/// Target of the link `/proc/PID/NAME`.
pub(crate) fn link(pid: i32, name: &str) -> Result<Vec<u8>, TraceeError> {
    let path = format!("/proc/{pid}/{name}");
    let target = std::fs::read_link(&path).map_err(|source| TraceeError::Proc { path, source })?;
    Ok(target.into_os_string().into_vec())
}

/// Numeric names in the directory `/proc/PID/NAME`, ascending.
pub(crate) fn numbers(pid: i32, name: &str) -> Result<Vec<i32>, TraceeError> {
    let path = format!("/proc/{pid}/{name}");
    let failed = |source| TraceeError::Proc { path: path.clone(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(failed)? {
        if let Some(number) = entry.map_err(failed)?.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.push(number);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The error for text that is not what it should be.
pub(crate) fn unexpected(path: impl Into<String>, expected: &'static str, found: &str) -> TraceeError {
    const SHOWN: usize = 80;
    TraceeError::ProcText { path: path.into(), expected, found: found.chars().take(SHOWN).collect() }
}

/// A decimal number in a file of `/proc`.
pub(crate) fn decimal<T: std::str::FromStr>(path: &str, expected: &'static str, word: &str) -> Result<T, TraceeError> {
    word.trim().parse().map_err(|_| unexpected(path, expected, word))
}

/// A hexadecimal number in a file of `/proc`, with or without `0x`.
pub(crate) fn hexadecimal(path: &str, expected: &'static str, word: &str) -> Result<u64, TraceeError> {
    let digits = word.trim();
    u64::from_str_radix(digits.strip_prefix("0x").unwrap_or(digits), 16).map_err(|_| unexpected(path, expected, word))
}

/// An octal number in a file of `/proc`.
pub(crate) fn octal(path: &str, expected: &'static str, word: &str) -> Result<u32, TraceeError> {
    u32::from_str_radix(word.trim(), 8).map_err(|_| unexpected(path, expected, word))
}
