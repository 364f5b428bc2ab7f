//! Fuzzes the reader of specs with texts as they come.
#![no_main]

#[path = "../src/spec.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|text: &str| {
    entry::exercise(text);
});
