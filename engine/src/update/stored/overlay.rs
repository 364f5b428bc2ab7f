//! What a plan stores over carried pages: single words, then pieces of mappings that it made, then objects.

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};

use crate::plan::mappings;
use crate::plan::rewrite::{Patch, Rewrite};
use crate::update::shared;

/// Bytes and the address of the first.
type Piece<'a> = (u64, &'a [u8]);

/// Layers by ascending address, each without an overlap in itself; a later one lies over those before it, as in a vessel.
pub(super) struct Overlay<'a> {
    words: Vec<(u64, [u8; 8])>,
    layers: [Vec<Piece<'a>>; 2],
}

impl<'a> Overlay<'a> {
    /// Everything that `rewrite` stores and that needs no program to run.
    pub(super) fn of(rewrite: &'a Rewrite) -> Self {
        let patches = rewrite.patches.iter().copied().chain(shared::new_words(&rewrite.shared));
        let contents = rewrite.contents.iter().map(|part| (part.address.0, part.bytes.as_slice()));
        let objects = rewrite.allocations.stored.iter().filter_map(|stored| {
            let (from, to) = (usize::try_from(stored.offset).ok()?, usize::try_from(stored.offset + stored.length).ok()?);
            Some((stored.address.0, rewrite.allocations.bytes.get(from..to)?))
        });
        Self::new(patches, [contents.collect(), objects.collect()])
    }

    fn new(patches: impl Iterator<Item = Patch>, mut layers: [Vec<Piece<'a>>; 2]) -> Self {
        let mut words: Vec<(u64, [u8; 8])> = patches.map(|patch| (patch.address.0, patch.word.to_le_bytes())).collect();
        words.sort_by_key(|(address, _)| *address);
        layers.iter_mut().for_each(|layer| layer.sort_by_key(|(address, _)| *address));
        Self { words, layers }
    }

    /// Whether anything of it lies in `range`.
    pub(super) fn touches(&self, range: RunRange) -> bool {
        let starts_in = |address: Option<u64>| address.is_some_and(|address| address < range.end.0);
        let in_layer = |layer: &Vec<Piece<'_>>| starts_in(ending_after(layer, range.start.0).first().map(|piece| piece.0));
        starts_in(ending_after(&self.words, range.start.0).first().map(|word| word.0)) || self.layers.iter().any(in_layer)
    }

    /// Stores what belongs to the bytes that start at `start`.
    pub(super) fn apply(&self, start: RunAddress, bytes: &mut [u8]) {
        let end = start.0.saturating_add(bytes.len() as u64);
        for (address, word) in ending_after(&self.words, start.0).iter().take_while(|word| word.0 < end) {
            store(start.0, bytes, *address, word);
        }
        for layer in &self.layers {
            for (address, piece) in ending_after(layer, start.0).iter().take_while(|piece| piece.0 < end) {
                store(start.0, bytes, *address, piece);
            }
        }
    }

    /// Every page that something lies in: ranges apart from each other, ascending.
    pub(super) fn pages(&self) -> Vec<RunRange> {
        let words = self.words.iter().map(|(address, word)| (*address, word.len()));
        let pieces = self.layers.iter().flatten().map(|(address, piece)| (*address, piece.len()));
        mappings::pages(words.chain(pieces).map(|(address, length)| RunRange::new(address, address + length as u64)).collect())
    }
}

/// The pieces that end after `start`.
fn ending_after<B: AsRef<[u8]>>(pieces: &[(u64, B)], start: u64) -> &[(u64, B)] {
    let end = |piece: &(u64, B)| piece.0.saturating_add(piece.1.as_ref().len() as u64);
    &pieces[pieces.partition_point(|piece| end(piece) <= start)..]
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

    /// One word lies across the border of two pages, as in packed structures.
    fn overlay() -> Overlay<'static> {
        let patch = |(address, word)| Patch { address: RunAddress(address), word };
        let words = [(0x9000, 0x44), (0x1ffc, 0x2222_2222_3333_3333), (0x1008, 0x1111_1111_1111_1111)];
        let contents: Vec<Piece<'static>> = vec![(0x5ff0, &[5; 32]), (0x100c, &[6; 2])];
        Overlay::new(words.into_iter().map(patch), [contents, vec![(0x100d, &[7])]])
    }

    #[test]
    fn words_and_pieces_land_where_they_belong_and_later_layers_win() {
        let overlay = overlay();
        let mut page = [0; 0x1000];
        overlay.apply(RunAddress(0x1000), &mut page);
        assert_eq!(page[8..16], [0x11, 0x11, 0x11, 0x11, 6, 7, 0x11, 0x11]);
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
        let overlay = overlay();
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
