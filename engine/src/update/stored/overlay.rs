//! What a plan stores over carried pages: single words, then whole pieces.

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};

use crate::plan::mappings;
use crate::plan::rewrite::{Contents, Patch};

/// Words and pieces by ascending address.
pub(super) struct Overlay<'a> {
    words: Vec<(u64, [u8; 8])>,
    contents: Vec<&'a Contents>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(patches: impl Iterator<Item = Patch>, contents: &'a [Contents]) -> Self {
        let mut words: Vec<(u64, [u8; 8])> = patches.map(|patch| (patch.address.0, patch.word.to_le_bytes())).collect();
        words.sort_by_key(|(address, _)| *address);
        let mut contents: Vec<&Contents> = contents.iter().collect();
        contents.sort_by_key(|part| part.address);
        Self { words, contents }
    }

    /// Whether anything of it lies in `range`.
    pub(super) fn touches(&self, range: RunRange) -> bool {
        let pieces = self.pieces(range.start.0).next();
        pieces.is_some_and(|(address, _)| address < range.end.0)
            || self.words_from(range.start.0).first().is_some_and(|(address, _)| *address < range.end.0)
    }

    /// Stores what belongs to the bytes that start at `start`.
    pub(super) fn apply(&self, start: RunAddress, bytes: &mut [u8]) {
        let end = start.0.saturating_add(bytes.len() as u64);
        let words = self.words_from(start.0).iter().map(|(address, word)| (*address, &word[..]));
        // Pieces after words, as a vessel stores them.
        words.take_while(|(address, _)| *address < end).for_each(|(address, word)| store(start.0, bytes, address, word));
        let pieces = self.pieces(start.0).take_while(|(address, _)| *address < end);
        pieces.for_each(|(address, piece)| store(start.0, bytes, address, piece));
    }

    /// Every page that something lies in: ranges apart from each other, ascending.
    pub(super) fn pages(&self) -> Vec<RunRange> {
        let words = self.words.iter().map(|(address, word)| (*address, word.len()));
        let pieces = self.contents.iter().map(|part| (part.address.0, part.bytes.len()));
        mappings::pages(words.chain(pieces).map(|(address, length)| RunRange::new(address, address + length as u64)).collect())
    }

    /// Words that end after `start`.
    fn words_from(&self, start: u64) -> &[(u64, [u8; 8])] {
        let first = self.words.partition_point(|(address, word)| address.saturating_add(word.len() as u64) <= start);
        &self.words[first..]
    }

    /// Pieces that end after `start`.
    fn pieces(&self, start: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let end = |part: &Contents| part.address.0.saturating_add(part.bytes.len() as u64);
        let first = self.contents.partition_point(|part| end(part) <= start);
        self.contents[first..].iter().map(|part| (part.address.0, part.bytes.as_slice()))
    }
}

/// Stores the part of `piece` (at `address`) that lies in `bytes` (at `start`).
fn store(start: u64, bytes: &mut [u8], address: u64, piece: &[u8]) {
    let skipped = start.saturating_sub(address) as usize;
    let at = address.saturating_sub(start) as usize;
    let (Some(from), Some(to)) = (piece.get(skipped..), bytes.get_mut(at..)) else { return };
    let length = from.len().min(to.len());
    to[..length].copy_from_slice(&from[..length]);
}

/// `range` in steps of at most `bytes`.
pub(super) fn steps(range: RunRange, bytes: u64) -> impl Iterator<Item = RunRange> {
    debug_assert!(bytes.is_multiple_of(PAGE_SIZE), "steps are whole pages");
    (range.start.0..range.end.0)
        .step_by(bytes as usize)
        .map(move |start| RunRange::new(start, start.saturating_add(bytes).min(range.end.0)))
}

#[cfg(test)]
mod tests {
    use dsu_formats::address::RunAddress;

    use super::*;

    fn contents() -> Vec<Contents> {
        let part = |address, bytes| Contents { address: RunAddress(address), bytes };
        vec![part(0x5ff0, vec![5; 32]), part(0x100c, vec![6; 2])]
    }

    fn overlay(contents: &[Contents]) -> Overlay<'_> {
        let patch = |(address, word)| Patch { address: RunAddress(address), word };
        // One word lies across the border of two pages, as in packed structures.
        let words = [(0x9000, 0x44), (0x1ffc, 0x2222_2222_3333_3333), (0x1008, 0x1111_1111_1111_1111)];
        Overlay::new(words.into_iter().map(patch), contents)
    }

    #[test]
    fn words_and_pieces_land_where_they_belong_and_pieces_win() {
        let contents = contents();
        let overlay = overlay(&contents);
        let mut page = [0; 0x1000];
        overlay.apply(RunAddress(0x1000), &mut page);
        assert_eq!(page[8..16], [0x11, 0x11, 0x11, 0x11, 6, 6, 0x11, 0x11]);
        assert_eq!(page[0xffc..], [0x33; 4]);
        assert!(page[16..0xffc].iter().chain(&page[..8]).all(|byte| *byte == 0));
        let mut next = [0; 0x1000];
        overlay.apply(RunAddress(0x2000), &mut next);
        assert_eq!((&next[..4], next[4]), (&[0x22; 4][..], 0));
        let mut cut = [0; 8];
        overlay.apply(RunAddress(0x5ffc), &mut cut);
        assert_eq!(cut, [5; 8]);
    }

    #[test]
    fn what_is_touched_is_told_to_the_byte_and_by_the_page() {
        let contents = contents();
        let overlay = overlay(&contents);
        let touches = |start, end| overlay.touches(RunRange::new(start, end));
        assert!(touches(0x1000, 0x1009) && touches(0x2000, 0x3000) && touches(0x6000, 0x6001) && touches(0x9000, 0x9001));
        assert!(!touches(0x1010, 0x1ffc) && !touches(0x2004, 0x5ff0) && !touches(0x6010, 0x9000) && !touches(0x9008, 0xa000));
        let pages = [RunRange::new(0x1000, 0x3000), RunRange::new(0x5000, 0x7000), RunRange::new(0x9000, 0xa000)];
        assert_eq!(overlay.pages(), pages);
    }

    #[test]
    fn steps_cover_a_range_once() {
        let found: Vec<RunRange> = steps(RunRange::new(0x1000, 0x6000), 0x2000).collect();
        assert_eq!(found, [RunRange::new(0x1000, 0x3000), RunRange::new(0x3000, 0x5000), RunRange::new(0x5000, 0x6000)]);
    }
}
