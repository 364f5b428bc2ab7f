//! Fuzzes the reader and the verifier with bytes as they come.
#![no_main]

#[path = "../src/entry.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    entry::exercise(bytes);
});
