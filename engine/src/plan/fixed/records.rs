//! Records of the C library and the kernel's interface that hold addresses of the program: found by value, as everything of theirs.

use std::collections::HashSet;

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::Thread;

use super::Evidence;
use crate::plan::link::scope::LoadedLibrary;
use crate::plan::view::View;
use crate::program::address::LinkAddress;
use crate::program::unwind::Frame;

/// Bytes of `struct pthread` from the thread pointer on that are looked at; more than any release has.
const THREAD_RECORD: u64 = 0xa00;
/// Keys that a thread has room for in its record (PTHREAD_KEY_2NDLEVEL_SIZE), 16 bytes each.
const KEYS: u64 = 32;
/// `ef_on`, `ef_at`, `ef_cxa` (stdlib/exit.h): kinds of functions that are called at the end.
const EXIT_KINDS: std::ops::RangeInclusive<u64> = 1..=4;

/// Words that records explain.
#[derive(Debug, Default)]
pub struct Records {
    addresses: HashSet<u64>,
    numbers: Vec<RunRange>,
}

impl Records {
    /// What a record says of the word at `address`.
    pub(super) fn word(&self, address: RunAddress) -> Option<Evidence> {
        if self.addresses.contains(&address.0) {
            return Some(Evidence::Address(None));
        }
        self.numbers.iter().any(|range| range.contains(address)).then_some(Evidence::Number)
    }

    /// Notes that `range` holds no address of the program but those that are noted by themselves.
    pub fn numbers(&mut self, range: RunRange) {
        self.numbers.push(range);
    }

    /// The lists of functions to call at the end, in runs of words of the C library's: kind, mangled function, argument, module.
    pub fn exit_functions(&mut self, runs: &[(RunAddress, Vec<u64>)], is_code: impl Fn(u64) -> bool) {
        for (start, words) in runs {
            for (index, pair) in words.windows(2).enumerate() {
                if EXIT_KINDS.contains(&pair[0]) && is_code(pair[1]) {
                    let function = start.0 + (index as u64 + 1) * 8;
                    self.addresses.extend([function + 8, function + 16]);
                }
            }
        }
    }

    /// What follows `object` (first address, end, record) in runs of words of the loader's: `_dlfo_main` goes on with the tables for
    /// unwinding.
    pub fn found_object(&mut self, runs: &[(RunAddress, Vec<u64>)], object: [u64; 3]) {
        for (start, words) in runs {
            let found = words.windows(3).enumerate().filter(|(_, window)| **window == object);
            self.addresses.extend(found.map(|(index, _)| start.0 + (index as u64 + 3) * 8));
        }
    }

    /// The destructors of thread-specific data: pairs of a number and a function at the C library's `__pthread_keys`.
    pub fn key_destructors(&mut self, libraries: &[LoadedLibrary<'_>]) {
        for loaded in libraries {
            let elf = &loaded.library.elf;
            for symbol in elf.dynamic_symbols.iter().filter(|symbol| symbol.defined && symbol.name == "__pthread_keys") {
                let start = loaded.run(symbol.address.0).0;
                self.addresses.extend((8..symbol.size.min(1 << 20)).step_by(16).map(|offset| start + offset));
            }
        }
    }

    /// The record of one thread: where it began and with what, its robust list, its own data.
    pub fn thread(&mut self, view: &View<'_>, thread: &Thread, frames: &[Frame], word: impl Fn(u64) -> Option<u64>) {
        let head = thread.robust_list.head.0;
        if head != 0 {
            // `robust_prev` of glibc's lies before the kernel's list head, offset and pending operation.
            self.addresses.extend([head.wrapping_sub(8), head, head.wrapping_add(16)]);
        }
        let base = thread.registers.fs_base;
        let functions = &view.sides.old.functions;
        let outermost = frames.iter().rev().find_map(|frame| frame.module.filter(|(module, _)| *module == 0));
        let began = outermost.and_then(|(_, link)| functions.containing(link)).and_then(|(index, _)| functions.list().get(index));
        for at in (base..base.saturating_add(THREAD_RECORD)).step_by(8) {
            let Some(value) = word(at) else { break };
            if began.is_some_and(|function| function.entry == LinkAddress(value)) {
                // `start_routine` and `arg`.
                self.addresses.extend([at, at + 8]);
            }
            // `specific` begins with the address of the pairs (sequence number, data) right before it.
            if value == at.wrapping_sub(KEYS * 16) && value > base {
                self.addresses.extend((0..KEYS).map(|key| value + key * 16 + 8));
            }
        }
    }
}
