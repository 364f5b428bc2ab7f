//! The inner loop: which words can be pointers into what is looked for.

use dsu_formats::address::RunRange;

/// Ranges that are looked for, and the guard that mangled addresses are under.
#[derive(Clone, Debug)]
pub struct Filter {
    /// One range around all: first address, and distance to the last that counts.
    start: u64,
    span: u64,
    /// The program alone, for mangled words.
    program: (u64, u64),
    guard: u64,
}

impl Filter {
    /// A filter for the old program, whose end counts as its own, and for `others`.
    pub fn new(program: RunRange, others: &[RunRange], guard: u64) -> Self {
        let start = others.iter().map(|range| range.start.0).fold(program.start.0, u64::min);
        let end = others.iter().map(|range| range.end.0).fold(program.end.0, u64::max);
        Self { start, span: end - start, program: (program.start.0, program.len()), guard }
    }

    /// Appends (offset, word) for every aligned word of `bytes` that passes.
    pub fn find(&self, bytes: &[u8], hits: &mut Vec<(u64, u64)>) {
        let (start, span, (low, length), guard) = (self.start, self.span, self.program, self.guard);
        // Sixteen words at a time without a branch: hits are rare.
        for (block, part) in bytes.chunks(128).enumerate() {
            let mut any = false;
            for word in part.chunks_exact(8) {
                let word = to_word(word);
                let plain = word.rotate_right(17) ^ guard;
                any |= (word.wrapping_sub(start) <= span) | (plain.wrapping_sub(low) <= length);
            }
            if !any {
                continue;
            }
            for (index, word) in part.chunks_exact(8).enumerate() {
                let word = to_word(word);
                let plain = word.rotate_right(17) ^ guard;
                if word.wrapping_sub(start) <= span || plain.wrapping_sub(low) <= length {
                    hits.push((block as u64 * 128 + index as u64 * 8, word));
                }
            }
        }
    }
}

#[inline]
fn to_word(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_mangled_words_are_found_and_others_not() {
        let filter = Filter::new(RunRange::new(0x5000, 0x6000), &[RunRange::new(0x9000, 0xa000)], 0xdead_beef_1234_5678);
        let mangled = (0x5010u64 ^ 0xdead_beef_1234_5678).rotate_left(17);
        let words = [0u64, 0x4fff, 0x5000, 0x6000, 0x9008, 0xa001, mangled, u64::MAX];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut hits = Vec::new();
        filter.find(&bytes, &mut hits);
        let found: Vec<u64> = hits.iter().map(|hit| hit.1).collect();
        assert_eq!(found, [0x5000, 0x6000, 0x9008, mangled]);
        assert_eq!(hits[0].0, 16);
    }
}
