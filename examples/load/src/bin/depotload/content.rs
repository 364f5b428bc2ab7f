//! What files hold: bytes that a seed gives, and the sum that depot tells of them.

use dsu_load::Random;

/// The sum of no bytes (FNV-1a, 32 bits).
const EMPTY: u32 = 2_166_136_261;

/// `length` bytes that look like nothing else.
pub fn bytes(random: &mut Random, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.number().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// What depot says of bytes that it has moved.
pub fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(EMPTY, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(16_777_619))
}

/// The reply to a transfer of these bytes.
pub fn done(bytes: &[u8]) -> String {
    format!("226 {} bytes, sum {}", bytes.len(), sum(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_fnv_1a() {
        assert_eq!((sum(b""), sum(b"a"), sum(b"foobar")), (0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968));
    }

    #[test]
    fn other_seeds_give_other_bytes() {
        let make = |seed| bytes(&mut Random::new(seed), 1001);
        assert_eq!((make(1).len(), make(1) == make(1), make(1) == make(2)), (1001, true, false));
    }
}
