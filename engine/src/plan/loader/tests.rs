//! The loader of the test process itself is the reference: what it left in memory is what the rules must give.

use dsu_formats::address::RunAddress;

use super::dynamic::OldDynamic;
use super::record::Record;
use super::versions::VersionTable;
use crate::plan::image::DataImage;
use crate::plan::source::{MemorySource, read_bytes, read_word};
use crate::plan::testing::SelfMemory;
use crate::program::elf::Elf;

struct Process {
    elf: Elf,
    bias: u64,
    memory: SelfMemory,
}

fn process() -> Process {
    let path = std::fs::read_link("/proc/self/exe").unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let first = maps.lines().find(|line| line.ends_with(path.to_str().unwrap())).unwrap();
    let bias = u64::from_str_radix(first.split('-').next().unwrap(), 16).unwrap();
    let elf = Elf::parse(std::fs::read(path).unwrap().into()).unwrap();
    Process { elf, bias, memory: SelfMemory::open() }
}

impl Process {
    fn dynamic(&self) -> OldDynamic {
        let data = DataImage::captured(&self.elf, self.bias, &self.memory).unwrap();
        OldDynamic::read(&self.elf, self.bias, &data).unwrap()
    }

    fn record(&self) -> Record {
        let debug = self.dynamic().debug.unwrap();
        let address = RunAddress(read_word(&self.memory, RunAddress(debug.0 + 8)).unwrap());
        Record::read(&self.memory, address, 0x4a8, &self.elf, self.bias).unwrap()
    }
}

#[test]
fn moving_a_program_onto_itself_changes_nothing_in_its_record() {
    let process = process();
    let record = process.record();
    let versions = record.old_versions().map(|(table, length)| (table, (length / 24) as u32));
    assert_eq!(record.rewrite(&process.elf, process.bias, versions, None).unwrap(), []);
}

#[test]
fn a_move_changes_every_word_that_points_into_the_program() {
    let process = process();
    let record = process.record();
    let (low, high) = process.elf.load_range();
    let moved = process.bias - 0x1000_0000;
    let patches = record.rewrite(&process.elf, moved, Some((RunAddress(moved), 1)), None).unwrap();
    let inside = |word: u64| process.bias + low.0 <= word && word <= process.bias + high.0;
    let left = record.words().filter(|(address, word)| inside(*word) && patches.iter().all(|patch| patch.address != *address));
    // l_lookup_cache.sym is the one word that the rules leave alone.
    assert!(left.count() <= 1);
    assert!(patches.iter().all(|patch| !inside(patch.word)));
}

#[test]
fn the_version_table_is_the_loader_s() {
    let process = process();
    let (address, length) = process.record().old_versions().unwrap();
    let theirs = read_bytes(&process.memory, address, length as usize).unwrap();
    assert_eq!(VersionTable::read(&process.elf).unwrap().bytes(process.bias), theirs);
}

#[test]
fn the_dynamic_section_is_the_loader_s() {
    let process = process();
    let theirs = DataImage::captured(&process.elf, process.bias, &process.memory).unwrap();
    let mut ours = DataImage::initial(&process.elf).unwrap();
    let dynamic = process.dynamic();
    assert!(dynamic.write(&process.elf, process.bias, dynamic.is_lazy(), &mut ours));
    let start = process.elf.dynamic_address.unwrap();
    let length = process.elf.dynamic.len() as u64 * 16;
    assert_eq!(ours.slice(start, length), theirs.slice(start, length));
}

#[test]
fn another_program_s_record_is_refused() {
    let process = process();
    let address = process.record().address();
    let error = Record::read(&process.memory, address, 0x4a8, &process.elf, process.bias + 0x1000).unwrap_err();
    assert_eq!(error.part, "l_addr");
    assert!(process.memory.own_pages().is_empty());
}
