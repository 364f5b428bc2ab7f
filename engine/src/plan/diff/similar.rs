//! How much things of two builds are alike: what was renamed looks much as before.

use std::collections::HashMap;

use dsu_formats::spec::place::likeness;
use iced_x86::{Decoder, DecoderOptions, Mnemonic};

use super::names::Candidate;
use crate::plan::compare::functions::Code;
use crate::program::elf::Elf;

/// Most pairs that are looked at for one kind of thing.
const MAX_PAIRS: usize = 40_000;
/// Candidates that are shown for one thing.
const SHOWN: usize = 3;
/// What is less alike than this is no candidate.
const LEAST: f64 = 0.5;

/// What each of the things that are gone may be now: `score` says how much one is like one of the new things, from 0 to 1.
pub(super) fn candidates(gone: usize, come: &[String], score: impl Fn(usize, usize) -> f64) -> Vec<Vec<Candidate>> {
    if gone.saturating_mul(come.len()) > MAX_PAIRS {
        return vec![Vec::new(); gone];
    }
    let of = |old: usize| {
        let mut found: Vec<(f64, &String)> = come.iter().enumerate().map(|(new, name)| (score(old, new), name)).collect();
        found.retain(|(score, _)| *score >= LEAST);
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        found.truncate(SHOWN);
        found.into_iter().map(|(score, name)| Candidate { name: name.clone(), alike: (score * 100.0).round() as u8 }).collect()
    };
    (0..gone).map(of).collect()
}

/// How much two names are alike.
pub(super) fn names(old: &str, new: &str) -> f64 {
    likeness(old, new)
}

/// Pairs of instructions that follow each other, with how often.
pub(super) type Outline = HashMap<(Mnemonic, Mnemonic), u32>;

/// The outline of a function's code.
pub(super) fn outline(elf: &Elf, code: &Code) -> Outline {
    let mut outline = Outline::new();
    for (start, length) in &code.ranges {
        let Some(bytes) = elf.file_bytes(*start, *length) else { continue };
        let mut last = Mnemonic::INVALID;
        for instruction in &mut Decoder::with_ip(64, bytes, start.0, DecoderOptions::NONE) {
            let mnemonic = instruction.mnemonic();
            if mnemonic == Mnemonic::Nop {
                continue;
            }
            *outline.entry((last, mnemonic)).or_default() += 1;
            last = mnemonic;
        }
    }
    outline
}

/// How much two outlines are alike: twice what they share, of all.
pub(super) fn outlines(old: &Outline, new: &Outline) -> f64 {
    let shared: u32 = old.iter().map(|(pair, count)| *count.min(new.get(pair).unwrap_or(&0))).sum();
    let all: u32 = old.values().chain(new.values()).sum();
    if all == 0 { 0.0 } else { 2.0 * f64::from(shared) / f64::from(all) }
}

/// How much two lists of names are alike: what they share, of all.
pub(super) fn lists<'a>(old: &[&'a str], new: &[&'a str]) -> f64 {
    let shared = old.iter().filter(|name| new.contains(name)).count();
    let all = old.len() + new.len() - shared;
    if all == 0 { 0.0 } else { shared as f64 / all as f64 }
}
