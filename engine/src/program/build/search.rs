//! Finds the debug information of a program: inside, by build-id, by `.gnu_debuglink`. A file of another build is never taken.

use std::path::{Path, PathBuf};

use super::file;
use crate::program::dwarf::{SplitSearch, has_debug_info};
use crate::program::elf::Elf;
use crate::program::error::ProgramError;

/// Where separate debug files are looked for.
#[derive(Clone, Debug)]
pub struct DebugSearch {
    /// Directories laid out as `/usr/lib/debug` is: `.build-id/xx/yyyy.debug`, and the programs' own paths below.
    pub directories: Vec<PathBuf>,
}

impl Default for DebugSearch {
    fn default() -> Self {
        Self { directories: vec![PathBuf::from("/usr/lib/debug")] }
    }
}

/// A separate debug file.
pub(super) struct Found {
    pub(super) elf: Elf,
    pub(super) path: PathBuf,
}

/// The separate debug file of `elf`; `None` when the debug information is inside.
pub(super) fn find(elf: &Elf, path: &Path, search: &DebugSearch) -> Result<Option<Found>, ProgramError> {
    if has_debug_info(elf) {
        return Ok(None);
    }
    let mut looked = vec!["inside it (no .debug_info)".to_owned()];
    let by_id = build_id_paths(elf, search);
    if by_id.is_empty() {
        looked.push("not by build-id (it has none)".to_owned());
    }
    for candidate in by_id {
        match try_file(elf, &candidate, None) {
            Ok(found) => return Ok(Some(found)),
            Err(why) => looked.push(format!("in {} ({why})", candidate.display())),
        }
    }
    let Some((name, sum)) = &elf.debug_link else {
        looked.push("not by .gnu_debuglink (it has none)".to_owned());
        return Err(ProgramError::NoDebugInfo { path: path.to_owned(), looked: looked.join(", ") });
    };
    for candidate in link_paths(path, name, search) {
        match try_file(elf, &candidate, Some(*sum)) {
            Ok(found) => return Ok(Some(found)),
            Err(why) => looked.push(format!("in {} ({why})", candidate.display())),
        }
    }
    Err(ProgramError::NoDebugInfo { path: path.to_owned(), looked: looked.join(", ") })
}

/// Where the parts of split debug information may be: in `PROGRAM.dwp`, also that of the debug file; where the compiler left them;
/// beside the program and the debug file, and in the debug directories.
pub(super) fn split_search<'a>(path: &Path, found: Option<&Found>, search: &DebugSearch) -> SplitSearch<'a> {
    let files = || std::iter::once(path).chain(found.map(|found| found.path.as_path()));
    let package = |file: &Path| {
        let mut name = file.as_os_str().to_owned();
        name.push(".dwp");
        PathBuf::from(name)
    };
    let beside = files().filter_map(Path::parent).map(Path::to_owned);
    SplitSearch {
        packages: files().map(package).collect(),
        folders: beside.chain(search.directories.iter().cloned()).collect(),
        read: &file::read,
    }
}

fn build_id_paths(elf: &Elf, search: &DebugSearch) -> Vec<PathBuf> {
    let Some([first, rest @ ..]) = elf.build_id.as_deref() else { return Vec::new() };
    if rest.is_empty() {
        return Vec::new();
    }
    let below = format!(".build-id/{first:02x}/{}.debug", hexadecimal(rest));
    search.directories.iter().map(|directory| directory.join(&below)).collect()
}

/// Beside the program, in `.debug` beside it, and under each debug directory at the program's own path (as gdb looks).
fn link_paths(path: &Path, name: &str, search: &DebugSearch) -> Vec<PathBuf> {
    // The name comes from the file: it must stay a name.
    let Some(name) = Path::new(name).file_name() else { return Vec::new() };
    let absolute = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned());
    let Some(directory) = absolute.parent() else { return Vec::new() };
    let below = directory.strip_prefix("/").unwrap_or(directory);
    let mut paths = vec![directory.join(name), directory.join(".debug").join(name)];
    paths.extend(search.directories.iter().map(|root| root.join(below).join(name)));
    paths.retain(|candidate| *candidate != absolute);
    paths
}

/// The debug file at `candidate`, or why it is not the one.
fn try_file(program: &Elf, candidate: &Path, sum: Option<u32>) -> Result<Found, String> {
    let bytes = file::read(candidate).map_err(|error| match error {
        ProgramError::Read { source, .. } => source.to_string(),
        other => other.to_string(),
    })?;
    let elf = Elf::parse_debug_file(bytes).map_err(|error| error.to_string())?;
    match (&program.build_id, &elf.build_id, sum) {
        (Some(own), Some(found), _) if own != found => {
            return Err(format!("of another build: expected build-id {}, found {}", hexadecimal(own), hexadecimal(found)));
        }
        (Some(_), Some(_), _) => {}
        (_, _, Some(sum)) => {
            let found = crc32fast::hash(&elf.bytes);
            if found != sum {
                return Err(format!("of another build: expected CRC32 {sum:08x}, found {found:08x}"));
            }
        }
        _ => return Err("without a build-id".to_owned()),
    }
    if !has_debug_info(&elf) {
        return Err("without .debug_info".to_owned());
    }
    Ok(Found { elf, path: candidate.to_owned() })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
