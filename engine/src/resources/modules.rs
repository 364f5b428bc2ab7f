//! The ELF objects of an address space, from the loader's own list (`r_debug`, `link_map`, link.h) in the process's memory.
//!
//! Nothing is guessed from file names: what the loader does not list is no module, except the vdso.

use std::collections::HashMap;

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{Backing, Layout, Mapping, Module};
use object::elf::{Dyn64, FileHeader64, NT_GNU_BUILD_ID, PT_DYNAMIC, PT_LOAD, PT_NOTE, PT_PHDR, ProgramHeader64};
use object::read::elf::{NoteIterator, ProgramHeader};
use object::{LittleEndian, pod};

use super::error::ResourceError;
use super::scratch::{half, word};
use crate::tracee::error::TraceeError;
use crate::tracee::memory::RemoteMemory;

type Header = FileHeader64<LittleEndian>;
type Segment = ProgramHeader64<LittleEndian>;

const ENDIAN: LittleEndian = LittleEndian;
/// elf.h: where the loader leaves the address of its record.
const DT_DEBUG: u64 = 21;
/// Caps on what a damaged process can make the engine read.
const MOST_SEGMENTS: u64 = 1024;
const MOST_MODULES: usize = 16384;
const MOST_NAMESPACES: usize = 64;
const MOST_NOTE_BYTES: u64 = 1 << 16;
const MOST_DYNAMIC_BYTES: u64 = 1 << 16;

/// Finds the modules of address space `index`, the program first, in the loader's order; the vdso last if it is not listed.
pub fn capture_modules(
    memory: &RemoteMemory,
    layout: &Layout,
    mappings: &[Mapping],
    index: u32,
) -> Result<Vec<Module>, ResourceError> {
    let reader = Reader { memory, mappings, layout, index };
    let program = reader.program()?;
    let mut modules = reader.listed(&program)?;
    if modules.is_empty() {
        modules.push(program.module);
    }
    if let Some(mapping) = mappings.iter().find(|mapping| mapping.backing == Backing::Vdso)
        && !modules.iter().any(|module| module.range.overlaps(&mapping.range))
    {
        let found = reader.module(mapping.range.start, mapping.range.start, None)?;
        modules.push(Module { path: Vec::new(), ..found });
    }
    Ok(modules)
}

/// Whether the loader is in the middle of adding or removing a module (`r_state` is not RT_CONSISTENT).
pub fn is_loader_busy(memory: &RemoteMemory, layout: &Layout, mappings: &[Mapping]) -> Result<bool, ResourceError> {
    let reader = Reader { memory, mappings, layout, index: 0 };
    let program = reader.program()?;
    let Some(record) = program.record else { return Ok(false) };
    Ok(half(&reader.array::<4>(RunAddress(record.0.wrapping_add(24)))?, 0) != 0)
}

/// Writes the build-id of each module, and of each other ELF file that is mapped from its start, into the mappings of its file.
pub fn fill_build_ids(memory: &RemoteMemory, modules: &[Module], mappings: &mut [Mapping]) {
    let mut known: HashMap<(u64, u64), Option<Vec<u8>>> = HashMap::new();
    for mapping in mappings.iter() {
        let Backing::File { device, inode, offset: 0, .. } = mapping.backing else { continue };
        if known.contains_key(&(device, inode)) || !mapping.protection.read {
            continue;
        }
        let listed = modules.iter().find(|module| module.range.start == mapping.range.start);
        let build_id = match listed {
            Some(module) => module.build_id.clone(),
            // Not an ELF, or one whose notes are not mapped: then there is none to record.
            None => unlisted_build_id(memory, mapping),
        };
        known.insert((device, inode), build_id);
    }
    for mapping in mappings {
        if let Backing::File { device, inode, build_id, .. } = &mut mapping.backing {
            *build_id = known.get(&(*device, *inode)).cloned().flatten();
        }
    }
}

fn unlisted_build_id(memory: &RemoteMemory, mapping: &Mapping) -> Option<Vec<u8>> {
    let segments = read_segments(memory, mapping.range.start).ok()??;
    let first = segments.iter().find(|segment| segment.p_type(ENDIAN) == PT_LOAD)?;
    let bias = mapping.range.start.0.wrapping_sub(first.p_vaddr(ENDIAN).wrapping_sub(first.p_offset(ENDIAN)));
    build_id(memory, bias, &segments, Some(mapping.range))
}

/// The program as its auxiliary vector shows it.
struct Program {
    module: Module,
    /// Address of its `struct r_debug`, once the loader has filled it in.
    record: Option<RunAddress>,
}

struct Reader<'a> {
    memory: &'a RemoteMemory,
    mappings: &'a [Mapping],
    layout: &'a Layout,
    index: u32,
}

impl Reader<'_> {
    fn array<const N: usize>(&self, address: RunAddress) -> Result<[u8; N], TraceeError> {
        let mut bytes = [0; N];
        self.memory.read(address, &mut bytes)?;
        Ok(bytes)
    }

    fn auxiliary(&self, kind: u64) -> Option<u64> {
        self.layout.auxv.iter().find(|entry| entry.0 == kind).map(|entry| entry.1)
    }

    fn program(&self) -> Result<Program, ResourceError> {
        let wrong = |found: String| ResourceError::Unexpected {
            object: "the auxiliary vector".to_owned(),
            expected: "the address and number of the program's headers",
            found,
        };
        let (Some(address), Some(count)) = (self.auxiliary(libc::AT_PHDR), self.auxiliary(libc::AT_PHNUM)) else {
            return Err(wrong("no AT_PHDR or AT_PHNUM".to_owned()));
        };
        let segments = segments_at(self.memory, RunAddress(address), count)?;
        let bias = match segments.iter().find(|segment| segment.p_type(ENDIAN) == PT_PHDR) {
            Some(own) => address.wrapping_sub(own.p_vaddr(ENDIAN)),
            // Without PT_PHDR: the headers lie in the segment that maps the start of the file.
            None => {
                let home = self.mapping_at(RunAddress(address)).ok_or_else(|| wrong(format!("{address:#x}, not mapped")))?;
                let first = segments.iter().find(|s| s.p_type(ENDIAN) == PT_LOAD && s.p_offset(ENDIAN) == 0);
                home.range.start.0.wrapping_sub(first.map_or(0, |segment| segment.p_vaddr(ENDIAN)))
            }
        };
        let record = self.debug_record(bias, &segments)?;
        let path = strip_deleted(&self.layout.exe);
        let module = self.assemble(bias, &segments, path, None)?;
        Ok(Program { module, record })
    }

    /// DT_DEBUG of the program: `None` for a static program, or before the loader has run.
    fn debug_record(&self, bias: u64, segments: &[Segment]) -> Result<Option<RunAddress>, ResourceError> {
        let Some(dynamic) = segments.iter().find(|segment| segment.p_type(ENDIAN) == PT_DYNAMIC) else { return Ok(None) };
        let length = dynamic.p_memsz(ENDIAN).min(MOST_DYNAMIC_BYTES) as usize;
        let mut bytes = vec![0; length];
        self.memory.read(RunAddress(bias.wrapping_add(dynamic.p_vaddr(ENDIAN))), &mut bytes)?;
        for entry in bytes.as_chunks::<{ size_of::<Dyn64<LittleEndian>>() }>().0 {
            match (word(entry, 0), word(entry, 8)) {
                (0, _) => break,
                (tag, value) if tag == DT_DEBUG && value != 0 => return Ok(Some(RunAddress(value))),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The modules of all namespaces of the loader.
    fn listed(&self, program: &Program) -> Result<Vec<Module>, ResourceError> {
        let mut modules = Vec::new();
        let mut record = program.record;
        for _ in 0..MOST_NAMESPACES {
            let Some(address) = record else { return Ok(modules) };
            let bytes = self.array::<16>(address)?;
            self.namespace(RunAddress(word(&bytes, 8)), program, &mut modules)?;
            // Version 2 chains the records of further namespaces (dlmopen) behind the five fields of version 1.
            let next = if half(&bytes, 0) >= 2 { word(&self.array::<8>(RunAddress(address.0.wrapping_add(40)))?, 0) } else { 0 };
            record = (next != 0).then_some(RunAddress(next));
        }
        Err(too_many("namespaces of the loader", MOST_NAMESPACES))
    }

    fn namespace(&self, first: RunAddress, program: &Program, modules: &mut Vec<Module>) -> Result<(), ResourceError> {
        let mut address = first;
        while address.0 != 0 {
            if modules.len() >= MOST_MODULES {
                return Err(too_many("modules in the loader's list", MOST_MODULES));
            }
            let map = self.array::<40>(address)?;
            let module = if modules.is_empty() {
                Module { link_map: Some(address), ..program.module.clone() }
            } else {
                self.module(RunAddress(word(&map, 0)), RunAddress(word(&map, 16)), Some(address))?
            };
            // A namespace of dlmopen lists the loader a second time.
            if !modules.iter().any(|other| other.range == module.range) {
                modules.push(module);
            }
            address = RunAddress(word(&map, 24));
        }
        Ok(())
    }

    /// The module with `bias` that holds the address `inside`.
    fn module(&self, bias: RunAddress, inside: RunAddress, link_map: Option<RunAddress>) -> Result<Module, ResourceError> {
        let start = self.header_address(bias, inside)?;
        let segments = read_segments(self.memory, start)?.ok_or_else(|| no_header(start))?;
        let path = match self.mapping_at(start).map(|mapping| &mapping.backing) {
            Some(Backing::File { path, .. }) => path.clone(),
            _ => Vec::new(),
        };
        self.assemble(bias.0, &segments, path, link_map)
    }

    /// Where the ELF header of the module is mapped: the nearest start of the file below `inside`.
    fn header_address(&self, bias: RunAddress, inside: RunAddress) -> Result<RunAddress, ResourceError> {
        let home = self.mapping_at(inside).ok_or_else(|| no_header(inside))?;
        let Backing::File { device, inode, .. } = home.backing else {
            return Ok(home.range.start.min(bias.max(home.range.start)));
        };
        let is_start = |mapping: &&Mapping| {
            mapping.range.start <= inside
                && matches!(mapping.backing, Backing::File { device: d, inode: i, offset: 0, .. } if (d, i) == (device, inode))
        };
        self.mappings.iter().rev().find(is_start).map(|mapping| mapping.range.start).ok_or_else(|| no_header(inside))
    }

    fn mapping_at(&self, address: RunAddress) -> Option<&Mapping> {
        let index = self.mappings.partition_point(|mapping| mapping.range.end <= address);
        self.mappings.get(index).filter(|mapping| mapping.range.contains(address))
    }

    fn assemble(
        &self,
        bias: u64,
        segments: &[Segment],
        path: Vec<u8>,
        link_map: Option<RunAddress>,
    ) -> Result<Module, ResourceError> {
        let loads = || segments.iter().filter(|segment| segment.p_type(ENDIAN) == PT_LOAD);
        let start = loads().map(|segment| segment.p_vaddr(ENDIAN)).min();
        let end = loads().map(|segment| segment.p_vaddr(ENDIAN).saturating_add(segment.p_memsz(ENDIAN))).max();
        let (Some(start), Some(end)) = (start, end) else { return Err(no_header(RunAddress(bias))) };
        let range = RunRange {
            start: RunAddress(bias.wrapping_add(start)).page_floor(),
            end: RunAddress(bias.wrapping_add(end)).page_ceil(),
        };
        let build_id = build_id(self.memory, bias, segments, None);
        Ok(Module { address_space: self.index, path, build_id, bias: RunAddress(bias), range, link_map })
    }
}

fn strip_deleted(path: &[u8]) -> Vec<u8> {
    path.strip_suffix(b" (deleted)").unwrap_or(path).to_vec()
}

/// The program headers of the ELF at `start`; `None` when there is no x86-64 ELF.
fn read_segments(memory: &RemoteMemory, start: RunAddress) -> Result<Option<Vec<Segment>>, TraceeError> {
    let mut bytes = [0; size_of::<Header>()];
    memory.read(start, &mut bytes)?;
    let Ok((header, _)) = pod::from_bytes::<Header>(&bytes) else { return Ok(None) };
    let fits = header.e_ident.magic == object::elf::ELFMAG
        && header.e_ident.class == object::elf::ELFCLASS64
        && header.e_machine.get(ENDIAN) == object::elf::EM_X86_64
        && usize::from(header.e_phentsize.get(ENDIAN)) == size_of::<Segment>();
    if !fits {
        return Ok(None);
    }
    let table = RunAddress(start.0.wrapping_add(header.e_phoff.get(ENDIAN)));
    segments_at(memory, table, u64::from(header.e_phnum.get(ENDIAN))).map(Some)
}

fn segments_at(memory: &RemoteMemory, table: RunAddress, count: u64) -> Result<Vec<Segment>, TraceeError> {
    let count = count.min(MOST_SEGMENTS) as usize;
    let mut bytes = vec![0; count * size_of::<Segment>()];
    memory.read(table, &mut bytes)?;
    Ok(pod::slice_from_bytes::<Segment>(&bytes, count).map(|(segments, _)| segments.to_vec()).unwrap_or_default())
}

/// The GNU build-id in the notes of a mapped ELF; `within` restricts where notes are looked for.
fn build_id(memory: &RemoteMemory, bias: u64, segments: &[Segment], within: Option<RunRange>) -> Option<Vec<u8>> {
    let notes = segments.iter().filter(|segment| segment.p_type(ENDIAN) == PT_NOTE);
    for segment in notes {
        let address = RunAddress(bias.wrapping_add(segment.p_vaddr(ENDIAN)));
        if within.is_some_and(|range| !range.contains(address)) {
            continue;
        }
        let mut bytes = vec![0; segment.p_filesz(ENDIAN).min(MOST_NOTE_BYTES) as usize];
        if memory.read(address, &mut bytes).is_err() {
            continue;
        }
        if let Some(found) = build_id_note(&bytes, segment.p_align(ENDIAN)) {
            return Some(found);
        }
    }
    None
}

fn build_id_note(bytes: &[u8], alignment: u64) -> Option<Vec<u8>> {
    let mut notes = NoteIterator::<Header>::new(ENDIAN, alignment, bytes).ok()?;
    while let Ok(Some(note)) = notes.next() {
        if note.name() == object::elf::ELF_NOTE_GNU && note.n_type(ENDIAN) == NT_GNU_BUILD_ID {
            return Some(note.desc().to_vec());
        }
    }
    None
}

fn no_header(address: RunAddress) -> ResourceError {
    ResourceError::Unexpected {
        object: format!("memory at {address}"),
        expected: "an x86-64 ELF object that the loader lists",
        found: "no header of one".to_owned(),
    }
}

fn too_many(object: &str, most: usize) -> ResourceError {
    ResourceError::Unexpected { object: object.to_owned(), expected: "a list with an end", found: format!("more than {most}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::memory::{capture_mappings, read_layout};
    use crate::resources::testing::Target;

    const PROGRAM: &str = r#"
        #include <dlfcn.h>
        #include <link.h>
        extern struct r_debug _r_debug;
        int main(void) {
            CHECK(dlopen("libm.so.6", RTLD_NOW) ? 0 : -1);
            for (struct link_map *map = _r_debug.r_map; map; map = map->l_next) say("%p %lx", map, map->l_addr);
            say("end");
            wait_for_end();
        }"#;

    fn captured(target: &Target) -> (Vec<Module>, Vec<Mapping>) {
        let memory = RemoteMemory::open(target.pid()).unwrap();
        let mut mappings = capture_mappings(target.pid(), &[]).unwrap().mappings;
        let layout = read_layout(target.pid()).unwrap();
        let modules = capture_modules(&memory, &layout, &mappings, 0).unwrap();
        assert!(!is_loader_busy(&memory, &layout, &mappings).unwrap());
        fill_build_ids(&memory, &modules, &mut mappings);
        (modules, mappings)
    }

    #[test]
    fn modules_are_the_loaders_list_in_its_order() {
        let mut target = Target::start(PROGRAM);
        let lines: Vec<String> = std::iter::from_fn(|| Some(target.line()).filter(|line| line != "end")).collect();
        let (modules, _) = captured(&target);
        let found: Vec<_> =
            modules.iter().map(|m| format!("0x{:x} {:x}", m.link_map.map_or(0, |address| address.0), m.bias.0)).collect();
        assert_eq!(found, lines);
        assert_eq!(modules[0].path, target.program().as_os_str().as_encoded_bytes());
        assert_eq!(modules.iter().filter(|module| module.path.is_empty()).count(), 1, "the vdso");
        assert!(modules.iter().any(|module| module.path.windows(7).any(|window| window == b"libm.so")));
    }

    #[test]
    fn build_ids_are_those_of_the_files() {
        let mut target = Target::start(PROGRAM);
        while target.line() != "end" {}
        let (modules, mappings) = captured(&target);
        for module in modules.iter().filter(|module| !module.path.is_empty()) {
            let bytes = std::fs::read(String::from_utf8(module.path.clone()).unwrap()).unwrap();
            let file = object::File::parse(&*bytes).unwrap();
            let expected = object::Object::build_id(&file).unwrap().map(<[u8]>::to_vec);
            assert_eq!(module.build_id, expected, "{}", String::from_utf8_lossy(&module.path));
            let own = mappings.iter().filter(|mapping| module.range.contains(mapping.range.start));
            let files = own.filter_map(|mapping| match &mapping.backing {
                Backing::File { build_id, .. } => Some(build_id.clone()),
                _ => None,
            });
            assert!(files.clone().count() >= 3 && files.into_iter().all(|found| found == expected));
        }
    }

    #[test]
    fn a_static_program_is_one_module_and_the_vdso() {
        let mut target = Target::start_with("int main(void) { say(\"x\"); wait_for_end(); }", &["-static"]);
        target.line();
        let (modules, _) = captured(&target);
        assert_eq!(modules.len(), 2);
        assert_eq!(modules[0].bias, RunAddress(0));
        assert!(modules[1].path.is_empty());
    }
}
