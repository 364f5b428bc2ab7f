//! The plugin against kvd's own builds and specs: a list of spaces becomes a table in which each is found, and a list again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use dsu_engine::plan::compare::Comparison;
use dsu_engine::plan::data::change::TypeChanges;
use dsu_engine::plan::data::made::{Made, Wanted};
use dsu_engine::plan::source::{MemorySource, SourceError};
use dsu_engine::plugin::batches::{Plugins, Sides};
use dsu_engine::plugin::error::PluginError;
use dsu_engine::plugin::session::Launcher;
use dsu_engine::program::build::{Build, DebugSearch};
use dsu_engine::program::types::TypeId;
use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::spec::Spec;
use tempfile::TempDir;

/// Where the objects of a test lie, one every 128 bytes; what holds them comes first.
const START: u64 = 0x10_0000;
const STRIDE: u64 = 128;

struct Memory(Vec<u8>);

impl MemorySource for Memory {
    fn own_pages(&self) -> &[RunRange] {
        &[]
    }

    fn read(&self, address: RunAddress, buffer: &mut [u8]) -> Result<(), SourceError> {
        let start = address.0.wrapping_sub(START) as usize;
        let bytes = start.checked_add(buffer.len()).and_then(|end| self.0.get(start..end));
        let outside = || SourceError { address, length: buffer.len(), source: "nothing is there".into() };
        buffer.copy_from_slice(bytes.ok_or_else(outside)?);
        Ok(())
    }
}

/// Two releases of kvd and what leads from one to the other.
struct Step {
    _directory: TempDir,
    folder: PathBuf,
    spec: Spec,
    old: Build,
    new: Build,
}

impl Step {
    fn new(from: &str, to: &str) -> Self {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let directory = tempfile::tempdir().unwrap();
        let made = Command::new("make").arg("-s").arg("-C").arg(&sources).args([from, to]).env("OUT", directory.path()).status();
        assert!(made.unwrap().success());
        let build =
            |version: &str| Build::open(&directory.path().join(format!("kvd-{version}")), &DebugSearch::default()).unwrap();
        let spec = Spec::open(&sources.join(format!("{from}-to-{to}.toml"))).unwrap();
        let (old, new) = (build(from), build(to));
        let folder = Path::new(env!("CARGO_BIN_EXE_kvd-spaces")).parent().unwrap().to_owned();
        Self { _directory: directory, folder, spec, old, new }
    }

    fn kind(&self, name: &str) -> TypeId {
        dsu_engine::plugin::layout::find(&self.old.debug.types, name).unwrap()
    }

    /// What the plugin makes of the objects in `memory`, of which the first is `holder` and `count` spaces follow.
    fn make(&self, holder: &str, count: u64, memory: &Memory) -> Result<Made, PluginError> {
        let comparison = Comparison::answered(&self.old, &self.new, &self.spec).unwrap();
        let rules = &comparison.bound.rules;
        let tables = (&self.old.debug.types, &self.new.debug.types);
        let changes = TypeChanges::new(tables.0, tables.1, rules, &[]);
        let launcher = Launcher { program: dsu_tests::dsu::binary(), arguments: vec![OsString::from("plugin-sandbox")] };
        let plugins = Plugins::new(launcher, (&comparison.bound.plugins, &self.folder), rules);
        let maker = plugins.maker(Sides { tables, changes: &changes });
        maker.prepare()?;
        let holder = Wanted { kind: self.kind(holder), address: RunAddress(START) };
        let space = self.kind("space");
        let spaces = (1..=count).map(|position| Wanted { kind: space, address: RunAddress(START + position * STRIDE) });
        maker.make_all(&[holder].into_iter().chain(spaces).collect::<Vec<_>>(), memory)
    }

    /// Offset of a field.
    fn at(build: &Build, kind: &str, field: &str) -> usize {
        let types = &build.debug.types;
        let layout = dsu_engine::plugin::layout::find(types, kind).unwrap();
        let layout = dsu_engine::plugin::layout::of(types, layout, kind).unwrap();
        layout.field(field).unwrap_or_else(|| panic!("`{kind}` has no {field}")).offset as usize
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn name(position: u64) -> String {
    format!("space-{position}")
}

/// The memory of 1.2.0 with a list of spaces, of which its head says that there are `counted`.
fn list(step: &Step, count: u64, counted: u32) -> Memory {
    let at = |field| Step::at(&step.old, "space", field);
    let (next, keys, text) = (at("next"), at("keys"), at("name"));
    let mut bytes = vec![0; ((count + 1) * STRIDE) as usize];
    bytes[..8].copy_from_slice(&(START + STRIDE).to_le_bytes());
    bytes[8..12].copy_from_slice(&counted.to_le_bytes());
    for position in 1..=count {
        let space = &mut bytes[(position * STRIDE) as usize..][..STRIDE as usize];
        let following = if position == count { 0 } else { START + (position + 1) * STRIDE };
        space[next..next + 8].copy_from_slice(&following.to_le_bytes());
        space[keys..keys + 4].copy_from_slice(&(position as u32 * 3).to_le_bytes());
        space[text..text + name(position).len()].copy_from_slice(name(position).as_bytes());
    }
    Memory(bytes)
}

/// Looks a space up as 2.0.0 does: its position and number of keys.
fn find(step: &Step, made: &Made, wanted: &str) -> Option<(u64, u64)> {
    let at = |kind, field| Step::at(&step.new, kind, field);
    let table = made.object(step.kind("space_list"), RunAddress(START)).unwrap().bytes;
    let (block, start) = made.locate(word(table, at("space_table", "buckets"))).unwrap();
    assert_eq!(start, 0);
    let size = u64::from(half(table, at("space_table", "size")));
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(1_099_511_628_211);
    let hash = wanted.as_bytes().iter().fold(14_695_981_039_346_656_037, fold);
    let block = &made.blocks()[block];
    assert_eq!((block.bytes.len() as u64, block.pointers.len() as u64), (8 * size, size));
    let mut space = word(&block.bytes, (8 * (hash & (size - 1))) as usize);
    while space != 0 {
        let bytes = made.object(step.kind("space"), RunAddress(space)).unwrap().bytes;
        let text = &bytes[at("space", "name")..];
        if word(bytes, at("space", "hash")) == hash && text.starts_with(wanted.as_bytes()) && text[wanted.len()] == 0 {
            return Some(((space - START) / STRIDE, word(bytes, at("space", "keys"))));
        }
        space = word(bytes, at("space", "next"));
    }
    None
}

#[test]
fn each_space_of_the_list_is_found_in_the_table() {
    let step = Step::new("v3", "v4");
    for count in [0, 1, 16, 20_000] {
        let made = step.make("space_list", count, &list(&step, count, count as u32)).unwrap();
        assert_eq!(made.len() as u64, count + 1);
        for position in 1..=count {
            assert_eq!(find(&step, &made, &name(position)), Some((position, 3 * position)), "of {count}");
        }
        if count > 0 {
            assert_eq!(find(&step, &made, "another"), None);
        }
    }
}

#[test]
fn a_list_that_counts_wrongly_is_refused_by_its_address() {
    let step = Step::new("v3", "v4");
    let error = step.make("space_list", 5, &list(&step, 5, 6)).expect_err("one is missing").to_string();
    assert_eq!(error, "the plugin kvd-spaces refuses `space_list` at 0x100000: it counts 6 spaces, and there are 5");
}

#[test]
fn spaces_of_a_table_are_a_list_again() {
    let step = Step::new("v4", "v3");
    let at = |kind, field| Step::at(&step.old, kind, field);
    let mut bytes = vec![0; 4 * STRIDE as usize];
    let count = at("space_table", "count");
    bytes[count] = 3;
    for position in 1..=3usize {
        bytes[position * STRIDE as usize + at("space", "keys")] = 10 + position as u8;
    }
    let made = step.make("space_table", 3, &Memory(bytes)).unwrap();
    let list = made.object(step.kind("space_table"), RunAddress(START)).unwrap().bytes;
    assert_eq!(half(list, Step::at(&step.new, "space_list", "count")), 3);
    let mut keys = Vec::new();
    let mut space = word(list, Step::at(&step.new, "space_list", "first"));
    while space != 0 {
        let bytes = made.object(step.kind("space"), RunAddress(space)).unwrap().bytes;
        keys.push(half(bytes, Step::at(&step.new, "space", "keys")));
        space = word(bytes, Step::at(&step.new, "space", "next"));
    }
    keys.sort_unstable();
    assert_eq!(keys, [11, 12, 13]);
    assert!(made.blocks().is_empty());
}
