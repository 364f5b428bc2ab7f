//! The inner loop: which words can be pointers into what is looked for.
//!
//! Nearly all words are none. A wide net in 32 bits, four words to a vector register of any x86-64, lets them through sixteen at a
//! time; what it catches is looked at one by one.

use std::ops::Range;

use dsu_formats::address::RunRange;

/// Bytes that are looked at together.
const BLOCK: usize = 128;
/// Bits of an address that the net does not look at: the 32 above are all that a user address has with four-level page tables.
const UNIT: u32 = 16;
/// How far a mangled word is rotated (`PTR_MANGLE`, sysdeps/unix/sysv/linux/x86_64/pointer_guard.h).
const ROTATION: u32 = 17;

/// Ranges that are looked for, and the guard that mangled addresses are under.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Around the old program and its literals.
    near: Envelope,
    /// All else that moves, ascending.
    others: Vec<RunRange>,
    /// The program alone, for mangled words.
    program: Envelope,
    /// Stacks that are made anew, for mangled words, ascending.
    stacks: Vec<RunRange>,
    guard: u64,
    nets: Nets,
    /// Whether words in the middle between two aligned ones are looked at.
    halfway: bool,
}

/// Addresses from here on have bits in both halves: two small numbers beside each other cannot look like one.
pub const FOUR_GIB: u64 = 1 << 32;

/// A net for each kind of word; the far one, around everything else that moves, is used only if something does.
#[derive(Clone, Copy, Debug)]
struct Nets {
    near: Net,
    far: Net,
    program: Net,
    /// Over stacks, for mangled words.
    stacks: Net,
    /// Over the upper halves of addresses that are near.
    upper: Net,
}

/// First unit (of 64 KiB, but for upper halves), and distance to the last that counts.
#[derive(Clone, Copy, Debug)]
struct Net {
    first: u32,
    span: u32,
}

impl Net {
    /// Catches every word.
    const ALL: Self = Self { first: 0, span: u32::MAX };

    /// Catches at least every word of `envelope`.
    fn over(envelope: Envelope) -> Self {
        let last = envelope.start.saturating_add(envelope.span);
        match u32::try_from((last >> UNIT) - (envelope.start >> UNIT)) {
            Ok(span) => Self { first: (envelope.start >> UNIT) as u32, span },
            Err(_) => Self::ALL,
        }
    }

    /// Catches the upper half of every word of `envelope`.
    fn over_upper_halves(envelope: Envelope) -> Self {
        let (first, last) = (envelope.start >> 32, envelope.start.saturating_add(envelope.span) >> 32);
        Self { first: first as u32, span: (last - first) as u32 }
    }

    /// As [`Net::over`], for units of 31 bits: all that the rotation leaves in one piece.
    fn over_mangled(envelope: Envelope) -> Self {
        let last = envelope.start.saturating_add(envelope.span);
        if last >> (UNIT + 31) == 0 { Self::over(envelope) } else { Self::ALL }
    }

    #[inline(always)]
    fn holds(self, unit: u32) -> bool {
        unit.wrapping_sub(self.first) <= self.span
    }
}

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
        let near = Envelope::around(std::iter::once(&program).chain(literals));
        let program = Envelope { start: program.start.0, span: program.len() };
        let far = Net::over(Envelope::around(others.iter()));
        let upper = Net::over_upper_halves(near);
        let stacks = Net::over(Envelope::around(std::iter::empty()));
        let nets = Nets { near: Net::over(near), far, program: Net::over_mangled(program), stacks, upper };
        Self { near, others, program, stacks: Vec::new(), guard, nets, halfway: program.start >= FOUR_GIB }
    }

    /// The same, also for mangled words that lead into `stacks`, which are among the others that are looked for.
    pub fn and_mangled(mut self, mut stacks: Vec<RunRange>) -> Self {
        stacks.sort_unstable();
        self.nets.stacks = Net::over_mangled(Envelope::around(stacks.iter()));
        Self { stacks, ..self }
    }

    /// The same, also halfway: whoever is given a word knows of types.
    pub fn and_halfway(self) -> Self {
        Self { halfway: true, ..self }
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
        if self.others.is_empty() { self.sift::<false>(bytes, hits) } else { self.sift::<true>(bytes, hits) }
    }

    fn sift<const FAR: bool>(&self, bytes: &[u8], hits: &mut Vec<(u64, u64)>) {
        let (Nets { near, far, program, stacks, upper }, halfway) = (self.nets, self.halfway);
        let guard = (self.guard >> UNIT) as u32 & (u32::MAX >> 1);
        let may_pass = |word: u64| {
            let unit = (word >> UNIT) as u32;
            let demangled = (word >> (UNIT + ROTATION)) as u32 ^ guard;
            // The upper half of a word halfway is the lower half of the aligned one that it ends in.
            let other = FAR & (far.holds(unit) | stacks.holds(demangled));
            near.holds(unit) | other | program.holds(demangled) | (halfway & upper.holds(word as u32))
        };
        // Without a branch in the block: that is what makes vectors of it.
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for (block, part) in (0u64..).zip(blocks) {
            if part.as_chunks::<8>().0.iter().fold(false, |any, word| any | may_pass(u64::from_le_bytes(*word))) {
                let start = block as usize * BLOCK;
                self.pick(bytes, start..start + BLOCK, hits);
            }
        }
        self.pick(bytes, bytes.len() - rest.len()..bytes.len(), hits);
    }

    /// Appends what passes in `part` of `bytes`.
    fn pick(&self, bytes: &[u8], part: Range<usize>, hits: &mut Vec<(u64, u64)>) {
        let start = part.start as u64;
        for (index, word) in (0u64..).zip(bytes.get(part).unwrap_or_default().as_chunks::<8>().0) {
            let (offset, word) = (start + index * 8, u64::from_le_bytes(*word));
            if self.is_wanted(word) {
                hits.push((offset, word));
            } else if let Some(found) = self.halfway_before(bytes, offset) {
                hits.push(found);
            }
        }
    }

    /// The word that ends in the middle of the aligned one at `offset`, if it is a pointer. Half of a word that is a pointer
    /// itself is no half of another.
    fn halfway_before(&self, bytes: &[u8], offset: u64) -> Option<(u64, u64)> {
        let at = |offset: u64| Some(u64::from_le_bytes(*bytes.get(offset as usize..)?.first_chunk()?));
        let start = offset.checked_sub(4)?;
        let (before, word) = (at(offset.checked_sub(8)?)?, at(start)?);
        (self.passes_halfway(word) && !self.is_wanted(before)).then_some((start, word))
    }

    /// Whether a word points into what is looked for, plain or mangled.
    pub fn is_wanted(&self, word: u64) -> bool {
        if self.near.holds(word) || self.program.holds(word.rotate_right(ROTATION) ^ self.guard) {
            return true;
        }
        let within = |ranges: &[RunRange], word: u64| {
            let index = ranges.partition_point(|range| range.start.0 <= word);
            index.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|range| word <= range.end.0)
        };
        within(&self.others, word) || within(&self.stacks, word.rotate_right(ROTATION) ^ self.guard)
    }
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

    /// The net must let nothing through that a look at the word itself would keep.
    #[test]
    fn the_net_misses_no_word_at_any_border_or_address() {
        let guard = 0x7c3f_91d2_0b8e_64a5;
        for base in [0x5000, 0x40_0000, 0x5555_5555_4000, 0x7fff_ffff_0000, 0xffff_ffff_f000, 0x00ff_ffff_ffff_0000u64] {
            let program = RunRange::new(base, base + 0x23_0000);
            let others = [vec![], vec![RunRange::new(0x1000, 0x2000), RunRange::new(0x7ffe_0000_0000, 0x7ffe_0000_8000)]];
            for others in others {
                let filter = Filter::new(program, &[], others.clone(), guard);
                let borders = others.iter().chain([&program]).flat_map(|range| [range.start.0, range.end.0]);
                let steps = [-0x1_0000, -8, -1, 0, 1, 8, 0x1_0000];
                let near: Vec<u64> = borders.flat_map(|at| steps.map(|step| at.wrapping_add_signed(step))).collect();
                let mangled = near.iter().map(|word| (word ^ guard).rotate_left(17));
                let words: Vec<u64> = near.iter().copied().chain(mangled).chain([0, u64::MAX, 1 << 47, 1 << 63]).collect();
                // Each word alone in a block, and all in a row.
                let alone = words.iter().flat_map(|word| [[0; 15].as_slice(), &[*word]].concat());
                let bytes: Vec<u8> = alone.chain(words.iter().copied()).flat_map(u64::to_le_bytes).collect();
                let mut hits = Vec::new();
                filter.find(&bytes, &mut hits);
                hits.retain(|(offset, _)| offset % 8 == 0);
                let all = (0u64..).zip(bytes.as_chunks::<8>().0).map(|(index, word)| (index * 8, u64::from_le_bytes(*word)));
                let expected: Vec<(u64, u64)> = all.filter(|(_, word)| filter.is_wanted(*word)).collect();
                assert_eq!(hits, expected, "program at {base:#x}");
            }
        }
    }
}
