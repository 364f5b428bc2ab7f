//! Fuzzes what lies behind the checksums: they are made right before the bytes are read.
#![no_main]

#[path = "../src/entry.rs"]
mod entry;
#[path = "../src/mend.rs"]
mod mend;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    mend::mend(&mut bytes);
    entry::exercise(&bytes);
});
