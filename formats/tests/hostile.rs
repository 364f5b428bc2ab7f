//! What the fuzz targets do, on a stable toolchain and for a bounded time: the golden image, damaged in many ways.
//!
//! A test binary of its own, so that the memory it takes is that of reading images.

#[path = "../fuzz/src/entry.rs"]
mod entry;
#[path = "../fuzz/src/mend.rs"]
mod mend;

use std::fs;
use std::path::Path;

/// Damaged images to read; a second or two.
const ROUNDS: u32 = 60_000;

/// Most memory in KiB that reading images of some 30 KiB may take, everything that the test itself needs included.
const MEMORY_KIB: u64 = 64 * 1024;

/// A fixed sequence of numbers without pattern (Marsaglia's xorshift64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Flips, overwrites, removes, doubles or cuts something; numbers that lengths could be are preferred.
fn damage(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    let at = numbers.below(bytes.len());
    match numbers.below(6) {
        0 => bytes[at] ^= 1 << numbers.below(8),
        1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)],
        2 => {
            let value = [0, 1, 4096, u64::MAX, 1 << 63, bytes.len() as u64][numbers.below(6)];
            let to = at & !7;
            bytes.iter_mut().skip(to).zip(value.to_le_bytes()).for_each(|(byte, value)| *byte = value);
        }
        3 => {
            // A long number in postcard, where lists have their lengths.
            bytes.iter_mut().skip(at).take(1 + numbers.below(9)).for_each(|byte| *byte = 0xff);
        }
        4 => {
            let (from, len) = (numbers.below(bytes.len()), 1 + numbers.below(64));
            let copied: Vec<u8> = bytes.iter().skip(from).take(len).copied().collect();
            bytes.splice(at..at, copied);
        }
        _ if numbers.below(8) == 0 => bytes.truncate(at),
        _ => _ = bytes.drain(at..(at + 1 + numbers.below(16)).min(bytes.len())),
    }
}

/// Where damage is worth doing: the page store is not, mostly.
fn small_images() -> [Vec<u8>; 2] {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    ["v1.dsu", "v1-work.dsu"].map(|name| fs::read(golden.join(name)).expect("the golden file"))
}

fn peak_memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("the status of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak memory");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

#[test]
fn damaged_images_are_read_without_panic_loop_or_much_memory() {
    let images = small_images();
    assert!(images.iter().all(|image| entry::exercise(image)));
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut opened, mut refused) = (0u32, 0u32);
    for round in 0..ROUNDS {
        let mut bytes = images[round as usize % images.len()].clone();
        for _ in 0..1 + numbers.below(4) {
            damage(&mut bytes, &mut numbers);
        }
        if round % 16 > 1 {
            fit_lengths(&mut bytes);
            mend::mend(&mut bytes);
        }
        if entry::exercise(&bytes) { opened += 1 } else { refused += 1 }
    }
    // Both kinds must occur, or the damage is of no use.
    assert!(opened > ROUNDS / 50 && refused > ROUNDS / 50, "{opened} opened, {refused} refused");
    let peak = peak_memory_kib();
    assert!(peak < MEMORY_KIB, "{peak} KiB of memory for images of {} bytes", images[0].len());
}

/// Makes the header's lengths those of the file again; the table was at its end.
fn fit_lengths(bytes: &mut Vec<u8>) {
    if bytes.len() < 8192 {
        bytes.resize(8192, 0);
    }
    let total = bytes.len() as u64;
    let mut len = [0; 8];
    len.copy_from_slice(&bytes[40..48]);
    let table = total.saturating_sub(u64::from_le_bytes(len));
    bytes[24..32].copy_from_slice(&total.to_le_bytes());
    bytes[32..40].copy_from_slice(&table.to_le_bytes());
}
