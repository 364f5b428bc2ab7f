//! One build of a program with its debug information, wherever that is; and libraries, which need none.

mod complete;
mod file;
mod fixed;
mod lookup;
mod search;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use lookup::CodeAt;
pub use search::DebugSearch;

use super::dwarf::{self, DebugInfo, DebugSections, Lines};
use super::elf::Elf;
use super::error::ProgramError;

/// A program with its debug information.
#[derive(Debug)]
pub struct Build {
    /// The program's file. `symbols` are the debug file's when the program is stripped. `relocations` of a fixed-address program name the
    /// words that hold its own addresses, too, although the file has them as they are.
    pub elf: Elf,
    /// What DWARF says of it.
    pub debug: DebugInfo,
    /// Where the program was opened.
    pub path: PathBuf,
    /// The file that the debug information came from, if not the program itself.
    pub debug_path: Option<PathBuf>,
    sections: DebugSections,
    lines: Lines,
    index: lookup::Index,
    /// The functions of units that were asked about.
    functions: Mutex<HashMap<usize, FunctionEntries>>,
}

/// Functions as (start, end, entry of the unit), ascending.
type FunctionEntries = Arc<Vec<(u64, u64, gimli::UnitOffset)>>;

impl Build {
    /// Opens a program and finds its debug information: inside, by build-id, or by `.gnu_debuglink`.
    ///
    /// # Errors
    /// A file that cannot be read or is no supported ELF program, or debug information that is nowhere (the error says where it was
    /// looked for) or cannot be decoded.
    pub fn open(path: &Path, search: &DebugSearch) -> Result<Self, ProgramError> {
        Self::from_bytes(file::read(path)?, path, search)
    }

    /// As [`Build::open`], for a file that is open already (such as `/proc/PID/map_files/…` of a deleted program). `path` is where it is
    /// or was: debug files are looked for beside it.
    ///
    /// # Errors
    /// As [`Build::open`].
    pub fn from_file(file: &File, path: &Path, search: &DebugSearch) -> Result<Self, ProgramError> {
        Self::from_bytes(file::read_open(file, path)?, path, search)
    }

    /// As [`Build::open`], for a program in memory.
    ///
    /// # Errors
    /// As [`Build::open`].
    pub fn from_bytes(bytes: Arc<[u8]>, path: &Path, search: &DebugSearch) -> Result<Self, ProgramError> {
        let mut elf = Elf::parse(bytes)?;
        let found = search::find(&elf, path, search)?;
        let sections = DebugSections::load(found.as_ref().map_or(&elf, |found| &found.elf))?;
        let sections = dwarf::join(sections, &search::split_search(path, found.as_ref(), search))?;
        let debug_path = found.map(|found| {
            if elf.symbols.is_empty() {
                elf.symbols = found.elf.symbols;
            }
            found.path
        });
        let dwarf::Reading { mut debug, bodiless, lines } = dwarf::read(&elf, &sections)?;
        complete::name_owners(&elf, &mut debug);
        complete::add_folded_functions(&elf, &mut debug, &bodiless);
        if elf.is_fixed_address() {
            let addresses = fixed::relocations(&elf, &debug);
            elf.relocations.extend(addresses);
        }
        let index = lookup::Index::new(&elf, &debug);
        Ok(Self { elf, debug, path: path.to_owned(), debug_path, sections, lines, index, functions: Mutex::default() })
    }

    /// The debug sections, for whoever reads more of DWARF than [`DebugInfo`] holds.
    pub fn sections(&self) -> &DebugSections {
        &self.sections
    }

    /// The entries of the functions of the unit at `base` in `.debug_info`; read once.
    pub(in crate::program) fn functions_of_unit(
        &self,
        base: usize,
        dwarf: &gimli::Dwarf<dwarf::Reader<'_>>,
        unit: &gimli::Unit<dwarf::Reader<'_>>,
    ) -> gimli::Result<FunctionEntries> {
        // What a thread that panicked left there is whole: entries are added in one piece.
        let known = |map: &HashMap<usize, FunctionEntries>| map.get(&base).map(Arc::clone);
        if let Some(found) = known(&self.functions.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(found);
        }
        let found: FunctionEntries = Arc::new(super::variables::function_entries(dwarf, unit)?);
        self.functions.lock().unwrap_or_else(PoisonError::into_inner).insert(base, Arc::clone(&found));
        Ok(found)
    }

    /// Offset in `.debug_info` of the unit whose code holds `address`.
    pub fn unit_at(&self, address: super::address::LinkAddress) -> Option<usize> {
        self.lines.unit_at(address)
    }
}

/// A shared library, the loader, the vdso: ELF without need of debug information.
#[derive(Debug)]
pub struct Library {
    /// Its file.
    pub elf: Elf,
    /// Where it was opened.
    pub path: PathBuf,
}

impl Library {
    /// Opens a library.
    ///
    /// # Errors
    /// A file that cannot be read or is no supported ELF object.
    pub fn open(path: &Path) -> Result<Self, ProgramError> {
        Ok(Self { elf: Elf::parse(file::read(path)?)?, path: path.to_owned() })
    }

    /// As [`Library::open`], for a file that is open already.
    ///
    /// # Errors
    /// As [`Library::open`].
    pub fn from_file(file: &File, path: &Path) -> Result<Self, ProgramError> {
        Ok(Self { elf: Elf::parse(file::read_open(file, path)?)?, path: path.to_owned() })
    }
}
