//! The shared libraries of a process, read and indexed while it still runs.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use dsu_formats::model::latest::Module;

use crate::plan::link::symbols::IndexedLibrary;
use crate::program::build::Library;
use crate::program::elf::Elf;
use crate::resources::memory::{MappedFile, open_line, read_mapping_lines};
use crate::tracee::error::TraceeError;
use crate::tracee::memory::RemoteMemory;

/// The bytes of the vdso among the mappings `lines` of `pid`.
pub(super) fn vdso(pid: i32, lines: &[MappedFile]) -> Result<Option<Vec<u8>>, TraceeError> {
    let Some(line) = lines.iter().find(|line| line.path == b"[vdso]") else { return Ok(None) };
    let mut bytes = vec![0; line.range.len() as usize];
    RemoteMemory::open(pid)?.read(line.range.start, &mut bytes)?;
    Ok(Some(bytes))
}

/// What is mapped executable, but the program.
#[derive(Debug, Default)]
pub struct Libraries {
    list: Vec<IndexedLibrary>,
}

impl Libraries {
    /// Reads every file that `pid` maps executable, and its vdso. What is no ELF is left out: no symbol can be bound to it.
    pub fn read(pid: i32, program_inode: u64) -> Result<Self, TraceeError> {
        let lines = read_mapping_lines(pid)?;
        let code = lines.iter().filter(|line| line.protection.execute && line.inode != 0 && line.inode != program_inode);
        let mut seen = Vec::new();
        let mut list = Vec::new();
        for line in code {
            if seen.contains(&(line.device, line.inode)) {
                continue;
            }
            seen.push((line.device, line.inode));
            let path = String::from_utf8_lossy(&line.path).into_owned();
            let library = open_line(pid, line).ok().and_then(|file| Library::from_file(&file, Path::new(&path)).ok());
            list.extend(library.map(|library| IndexedLibrary::new(library.elf)));
        }
        if let Some(bytes) = vdso(pid, &lines)? {
            list.extend(Elf::parse(Arc::from(bytes)).ok().map(IndexedLibrary::new));
        }
        Ok(Self { list })
    }

    /// Indexes libraries that are open already, and a vdso. What is no ELF is left out.
    pub fn of_files<'a>(files: impl Iterator<Item = (&'a File, &'a Path)>, vdso: Option<&[u8]>) -> Self {
        let libraries = files.filter_map(|(file, path)| Library::from_file(file, path).ok()).map(|library| library.elf);
        let vdso = vdso.and_then(|bytes| Elf::parse(Arc::from(bytes)).ok());
        Self { list: libraries.chain(vdso).map(IndexedLibrary::new).collect() }
    }

    /// For each of `modules` its library.
    pub fn of_modules(&self, modules: &[Module]) -> Vec<Option<&IndexedLibrary>> {
        let find = |module: &Module| {
            let same = |library: &&IndexedLibrary| library.elf.build_id == module.build_id;
            let file = module.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let named = |library: &&IndexedLibrary| library.elf.soname.as_deref().map(str::as_bytes) == Some(file);
            let found = self.list.iter().find(|library| module.build_id.is_some() && same(library));
            found.or_else(|| self.list.iter().find(|library| module.build_id.is_none() && same(library) && named(library)))
        };
        modules.iter().map(find).collect()
    }
}
