//! Plugins: honest work is done, everything else is an error that says what it is about.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use dsu_engine::plan::source::{MemorySource, SourceError};
use dsu_engine::plugin::error::PluginError;
use dsu_engine::plugin::sandbox::Limits;
use dsu_engine::plugin::session::{Launcher, Session, Terms};
use dsu_engine::program::build::{Build, DebugSearch};
use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::plugin::message::{Batch, NEW_BLOCKS};
use tempfile::TempDir;

const OLD: &str = "struct order { long what; char note[16]; struct order *next; } first; int main(void) { return first.what; }";
const NEW: &str =
    "struct order { int what; char note[24]; long extra; struct order *next; } first; int main(void) { return first.what; }";
const NEW_SIZE: usize = 48;
/// Where the objects of a test lie.
const START: u64 = 0x7000;

/// Objects one after the other.
struct Objects(Vec<u8>);

impl MemorySource for Objects {
    fn own_pages(&self) -> &[RunRange] {
        &[]
    }

    fn read(&self, address: RunAddress, buffer: &mut [u8]) -> Result<(), SourceError> {
        let start = address.0.wrapping_sub(START) as usize;
        let bytes = start.checked_add(buffer.len()).and_then(|end| self.0.get(start..end));
        let outside = || SourceError { address, length: buffer.len(), source: "nothing is there".into() };
        let bytes = bytes.ok_or_else(outside)?.to_vec();
        buffer.copy_from_slice(&bytes);
        Ok(())
    }
}

struct Bench {
    directory: TempDir,
    old: Build,
    new: Build,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let build = |name: &str, source: &str| {
            let (file, program) = (directory.path().join(name).with_extension("c"), directory.path().join(name));
            std::fs::write(&file, source).unwrap();
            assert!(Command::new("cc").args(["-g", "-o"]).arg(&program).arg(&file).status().unwrap().success());
            Build::open(&program, &DebugSearch::default()).unwrap()
        };
        let (old, new) = (build("old", OLD), build("new", NEW));
        Self { directory, old, new }
    }

    fn start(&self, plugin: &Path, limits: Limits) -> Result<Session, PluginError> {
        let launcher = Launcher { program: dsu_tests::dsu::binary(), arguments: vec![OsString::from("plugin-sandbox")] };
        let terms = Terms { limits, ..Terms::default() };
        Session::start(&launcher, plugin, &terms, (&self.old.debug.types, &self.new.debug.types))
    }

    /// What becomes of objects with these orders, each pointing to the next.
    fn rewrite(&self, orders: &[i64]) -> Result<(Vec<u8>, Vec<Vec<u8>>), PluginError> {
        let memory = objects(orders);
        let mut session = self.start(&honest(), Limits { processor_s: 1, memory: 512 << 20 })?;
        let addresses: Vec<u64> = (0..orders.len() as u64).map(|index| START + index * 32).collect();
        let batch = Batch { kind: 0, total: addresses.len() as u64, addresses, bytes: memory.0.clone() };
        let rewritten = session.rewrite(batch, &memory, || ())?;
        session.end()?;
        Ok((rewritten.bytes, rewritten.blocks.into_iter().map(|block| block.bytes).collect()))
    }

    fn failure(&self, order: i64) -> String {
        self.rewrite(&[order]).expect_err("the plugin misbehaves").to_string()
    }

    fn compile(&self, name: &str, body: &str) -> PathBuf {
        let (file, program) = (self.directory.path().join(name).with_extension("c"), self.directory.path().join(name));
        std::fs::write(&file, format!("#include <unistd.h>\nint main(void) {{ {body} }}\n")).unwrap();
        assert!(Command::new("cc").arg("-o").arg(&program).arg(&file).status().unwrap().success());
        program
    }
}

fn honest() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_order-plugin"))
}

fn objects(orders: &[i64]) -> Objects {
    let mut bytes = Vec::new();
    for (index, order) in orders.iter().enumerate() {
        bytes.extend(order.to_le_bytes());
        bytes.extend(format!("note {index:011}").as_bytes());
        bytes.extend((START + (index as u64 + 1) * 32).to_le_bytes());
    }
    Objects(bytes)
}

#[test]
fn an_honest_plugin_rewrites_objects_and_looks_at_others() {
    let (bytes, blocks) = Bench::new().rewrite(&[0, 1, 0]).unwrap();
    assert_eq!(bytes.len(), 3 * NEW_SIZE);
    assert_eq!(&bytes[4..20], b"note 00000000000");
    assert_eq!(bytes[32..40], 7i64.to_le_bytes());
    assert_eq!(bytes[40..48], (START + 32).to_le_bytes());
    assert_eq!(&bytes[NEW_SIZE + 4..NEW_SIZE + 20], b"note 00000000002", "it reads the object after it");
    assert!(blocks.is_empty());
}

#[test]
fn new_blocks_have_addresses_of_their_own() {
    let (bytes, blocks) = Bench::new().rewrite(&[2, 2]).unwrap();
    assert_eq!(blocks.iter().map(Vec::len).collect::<Vec<_>>(), [20, 16, 20, 16]);
    assert_eq!(bytes[40..48], (NEW_BLOCKS + 32).to_le_bytes());
    assert_eq!(bytes[NEW_SIZE + 40..NEW_SIZE + 48], (NEW_BLOCKS + 80).to_le_bytes());
    assert_eq!(blocks[3][..8], (NEW_BLOCKS + 48).to_le_bytes());
    assert_eq!(blocks[3][8..], (START + 32).to_le_bytes());
}

#[test]
fn a_plugin_that_fails_is_an_error_that_says_how() {
    let bench = Bench::new();
    assert_eq!(bench.failure(3), "the plugin order-plugin refuses `order` at 0x7000: this one never");
    assert!(bench.failure(1).contains("0x7020: cannot read 32 bytes"), "{}", bench.failure(1));
    assert!(bench.failure(4).contains("(signal "), "{}", bench.failure(4));
    assert!(bench.failure(5).contains("(signal "), "{}", bench.failure(5));
    assert!(bench.failure(6).contains("(exit code 0)"), "{}", bench.failure(6));
    assert!(bench.failure(8).contains("ended while it had to rewrite objects"), "{}", bench.failure(8));
}

#[test]
fn a_plugin_that_lies_is_found_out() {
    let bench = Bench::new();
    assert!(bench.failure(9).contains("cannot be understood"), "{}", bench.failure(9));
    assert!(bench.failure(10).contains("expected 48, found 5"), "{}", bench.failure(10));
    assert!(bench.failure(11).contains("the pointers of a new block"), "{}", bench.failure(11));
}

#[test]
fn a_plugin_can_reach_nothing_but_its_pipes() {
    Bench::new().rewrite(&[7]).unwrap();
}

#[test]
fn what_is_no_plugin_is_told_apart() {
    let bench = Bench::new();
    let start = |program: &Path| bench.start(program, Limits::default()).expect_err("no plugin").to_string();
    let script = bench.directory.path().join("script");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    assert!(start(&script).contains("ELF"), "{}", start(&script));
    assert!(start(Path::new("/nonexistent")).contains("No such file"), "{}", start(Path::new("/nonexistent")));
    let silent = start(&bench.compile("ends", "return 3;"));
    assert!(silent.contains("(exit code 3)"), "{silent}");
    let garbage = start(&bench.compile("garbage", "write(1, \"\\3\\0\\0\\0xyz\", 7); pause(); return 0;"));
    assert!(garbage.contains("cannot be understood"), "{garbage}");
    let huge = start(&bench.compile("huge", "write(1, \"\\377\\377\\377\\377\", 4); pause(); return 0;"));
    assert!(huge.contains("cannot be understood"), "{huge}");
}
