//! Random numbers that every run repeats: the same seed gives the same load.

/// A small generator (xorshift64*); good enough to choose what to ask next.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator for one client, or for one object that must be made again later.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number, all 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// Text of `length` letters and digits.
    pub fn text(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
        (0..length).map(|_| char::from(LETTERS[(self.number() >> 59) as usize])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_text_and_another_one_does_not() {
        assert_eq!(Random::new(7).text(40), Random::new(7).text(40));
        assert_ne!(Random::new(7).text(40), Random::new(8).text(40));
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut random = Random::new(1);
        assert!((0..10_000).all(|_| random.below(13) < 13));
    }
}
