//! The plugin for kvd: makes the list of spaces of 1.2.0 the hash table of 2.0.0; with `--back` makes the table a list again.

use std::process::ExitCode;

use dsu_formats::plugin::sdk::{self, NewObject, Object, Plugin, Process, Refusal};

/// The least number of buckets in 2.0.0.
const FIRST_SIZE: u64 = 16;

/// What is known of the spaces so far: they all come before what holds them.
#[derive(Default)]
struct Spaces {
    /// For each bucket the space that came last; a list is one bucket.
    buckets: Vec<u64>,
    seen: i64,
    back: bool,
}

impl Plugin for Spaces {
    fn rewrites(&self) -> Vec<(&'static str, &'static str)> {
        let holder = if self.back { ("space_table", "space_list") } else { ("space_list", "space_table") };
        vec![("space", "space"), holder]
    }

    fn rewrite(&mut self, old: &Object, new: &mut NewObject<'_>, process: &mut Process<'_>) -> Result<(), Refusal> {
        if old.layout().name == "space" { self.space(old, new, process) } else { self.holder(old, new, process) }
    }
}

impl Spaces {
    fn space(&mut self, old: &Object, new: &mut NewObject<'_>, process: &Process<'_>) -> Result<(), Refusal> {
        new.carry_all(old)?;
        let mut bucket = 0;
        if self.back {
            self.buckets.resize(1, 0);
        } else {
            self.buckets.resize(process.total().next_power_of_two().max(FIRST_SIZE) as usize, 0);
            let hash = hash(old.bytes("name")?);
            new.set("hash", hash as i64)?;
            bucket = hash as usize % self.buckets.len();
        }
        new.set("next", self.buckets[bucket] as i64)?;
        self.buckets[bucket] = old.address();
        self.seen += 1;
        Ok(())
    }

    fn holder(&self, old: &Object, new: &mut NewObject<'_>, process: &mut Process<'_>) -> Result<(), Refusal> {
        if old.get("count")? != self.seen {
            return Err(Refusal::new(format!("it counts {} spaces, and there are {}", old.get("count")?, self.seen)));
        }
        new.carry(old, "count")?;
        if self.back {
            return new.set("first", self.buckets.first().map_or(0, |first| *first as i64));
        }
        if self.buckets.is_empty() {
            return Ok(());
        }
        let mut block = process.allocate(8 * self.buckets.len() as u32);
        for (bucket, space) in self.buckets.iter().enumerate() {
            block.set_pointer(8 * bucket, *space)?;
        }
        new.set("buckets", block.address() as i64)?;
        new.set("size", self.buckets.len() as i64)
    }
}

/// FNV-1a, up to the terminating zero.
fn hash(name: &[u8]) -> u64 {
    let text = name.iter().take_while(|byte| **byte != 0);
    text.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn main() -> ExitCode {
    let back = std::env::args().any(|argument| argument == "--back");
    sdk::run("kvd-spaces", Spaces { back, ..Spaces::default() })
}
