//! The inner loop: which words can be pointers into what is looked for.

use dsu_formats::address::RunRange;

/// Ranges that are looked for, and the guard that mangled addresses are under.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Around the old program and its literals.
    near: Envelope,
    /// Around everything else that moves.
    far: Envelope,
    /// All that the second envelope is around, ascending.
    others: Vec<RunRange>,
    /// The program alone, for mangled words.
    program: Envelope,
    guard: u64,
    /// Whether words in the middle between two aligned ones are looked at.
    halfway: bool,
}

/// Addresses from here on have bits in both halves: two small numbers beside each other cannot look like one.
pub const FOUR_GIB: u64 = 1 << 32;

/// First address, and distance to the last that counts.
#[derive(Clone, Copy, Debug)]
struct Envelope {
    start: u64,
    span: u64,
}

impl Envelope {
    fn around<'r>(ranges: impl Iterator<Item = &'r RunRange> + Clone) -> Self {
        let start = ranges.clone().map(|range| range.start.0).min();
        let end = ranges.map(|range| range.end.0).max();
        match start.zip(end) {
            Some((start, end)) => Self { start, span: end - start },
            // No word is as far above this as this itself.
            None => Self { start: u64::MAX, span: 0 },
        }
    }

    #[inline(always)]
    fn holds(self, word: u64) -> bool {
        word.wrapping_sub(self.start) <= self.span
    }
}

impl Filter {
    /// A filter for the old program, whose end counts as its own, for `literals` near it, and for `others` anywhere.
    pub fn new(program: RunRange, literals: &[RunRange], mut others: Vec<RunRange>, guard: u64) -> Self {
        others.sort_unstable();
        Self {
            near: Envelope::around(std::iter::once(&program).chain(literals)),
            far: Envelope::around(others.iter()),
            program: Envelope { start: program.start.0, span: program.len() },
            others,
            guard,
            halfway: program.start.0 >= FOUR_GIB,
        }
    }

    /// Whether [`Filter::find`] also gives pointers into the program at four bytes from an aligned word, as packed structures
    /// have them: an array of `struct epoll_event`, which the kernel has filled and the program is about to read.
    pub fn looks_halfway(&self) -> bool {
        self.halfway
    }

    /// Whether a word in the middle between two aligned ones points into the program.
    pub fn passes_halfway(&self, word: u64) -> bool {
        self.halfway && self.near.holds(word)
    }

    /// Appends (offset, word) for every word of `bytes` that passes: all aligned ones are looked at, and those halfway between.
    pub fn find(&self, bytes: &[u8], hits: &mut Vec<(u64, u64)>) {
        let (near, far, program, guard) = (self.near, self.far, self.program, self.guard);
        let passes = |word: u64| near.holds(word) | far.holds(word) | program.holds(word.rotate_right(17) ^ guard);
        // The upper half of a word halfway is the lower half of the aligned one that it ends in.
        let (upper, uppers) = self.upper_halves();
        let may_end = |word: u64| (word as u32).wrapping_sub(upper) < uppers;
        let wanted = |word: u64| passes(word) && self.is_wanted(word);
        // Sixteen words at a time without a branch: hits are rare.
        for (block, part) in (0u64..).zip(bytes.chunks(128)) {
            if !part.chunks_exact(8).map(to_word).fold(false, |any, word| any | passes(word) | may_end(word)) {
                continue;
            }
            for (offset, word) in (block * 128..).step_by(8).zip(part.chunks_exact(8).map(to_word)) {
                if wanted(word) {
                    hits.push((offset, word));
                } else if may_end(word)
                    && let Some(found) = self.halfway_before(bytes, offset, wanted)
                {
                    hits.push(found);
                }
            }
        }
    }

    /// The first upper half of an address that is looked for halfway between words, and how many there are.
    fn upper_halves(&self) -> (u32, u32) {
        let (start, end) = (self.near.start >> 32, self.near.start.saturating_add(self.near.span) >> 32);
        if self.halfway { (start as u32, (end - start + 1) as u32) } else { (0, 0) }
    }

    /// The word that ends in the middle of the aligned one at `offset`, if it is a pointer. Half of a word that is a pointer
    /// itself is no half of another.
    fn halfway_before(&self, bytes: &[u8], offset: u64, wanted: impl Fn(u64) -> bool) -> Option<(u64, u64)> {
        let start = offset.checked_sub(4)?;
        let word = to_word(bytes.get(start as usize..)?);
        let before = offset.checked_sub(8).and_then(|before| bytes.get(before as usize..)).map_or(0, to_word);
        (self.near.holds(word) && !wanted(before)).then_some((start, word))
    }

    /// The second envelope is wide: most words in it point between the ranges.
    fn is_wanted(&self, word: u64) -> bool {
        if self.near.holds(word) || self.program.holds(word.rotate_right(17) ^ self.guard) {
            return true;
        }
        let index = self.others.partition_point(|range| range.start.0 <= word);
        index.checked_sub(1).and_then(|index| self.others.get(index)).is_some_and(|range| word <= range.end.0)
    }
}

#[inline(always)]
fn to_word(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_mangled_words_are_found_and_others_not() {
        let guard = 0xdead_beef_1234_5678;
        let others = vec![RunRange::new(0x7_0000, 0x7_1000), RunRange::new(0x9_0000, 0x9_1000)];
        let filter = Filter::new(RunRange::new(0x5000, 0x6000), &[RunRange::new(0x9000, 0xa000)], others, guard);
        let mangled = (0x5010u64 ^ guard).rotate_left(17);
        let words = [0u64, 0x4fff, 0x5000, 0x6000, 0x9008, 0xa001, mangled, u64::MAX, 0x7_0800, 0x8_0000];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut hits = Vec::new();
        filter.find(&bytes, &mut hits);
        let found: Vec<u64> = hits.iter().map(|hit| hit.1).collect();
        assert_eq!(found, [0x5000, 0x6000, 0x9008, mangled, 0x7_0800]);
        assert_eq!(hits[0].0, 16);
    }

    #[test]
    fn a_pointer_halfway_between_words_is_found_once() {
        let program = RunRange::new(0x5555_0000_0000, 0x5555_0001_0000);
        let filter = Filter::new(program, &[], Vec::new(), 0x1111_2222_3333_4444);
        let mut bytes = vec![0u8; 272];
        for offset in [4usize, 20, 124, 132, 252] {
            bytes[offset..offset + 8].copy_from_slice(&(program.start.0 + offset as u64).to_le_bytes());
        }
        bytes[160..168].copy_from_slice(&(program.start.0 + 160).to_le_bytes());
        let mut hits = Vec::new();
        filter.find(&bytes, &mut hits);
        hits.sort_unstable();
        let expected = [4u64, 20, 124, 132, 160, 252].map(|offset| (offset, program.start.0 + offset));
        assert_eq!(hits, expected);
        // Two numbers side by side look like an address below four gigabytes.
        let low = Filter::new(RunRange::new(0x40_0000, 0x41_0000), &[], Vec::new(), 0x1111_2222_3333_4444);
        let numbers: Vec<u8> = [7u32, 0x40_1000, 0, 9].iter().flat_map(|number| number.to_le_bytes()).collect();
        hits.clear();
        low.find(&numbers, &mut hits);
        assert_eq!(hits, []);
    }

    #[test]
    fn without_moves_only_the_program_is_looked_for() {
        let filter = Filter::new(RunRange::new(0x5000, 0x6000), &[], Vec::new(), 0);
        let mut hits = Vec::new();
        filter.find(&[u64::MAX.to_le_bytes(), 0x5008u64.to_le_bytes()].concat(), &mut hits);
        assert_eq!(hits, [(8, 0x5008)]);
    }
}
