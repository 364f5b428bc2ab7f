//! Telling string literals from other unnamed constants. The linker keeps no record of which is which.

use super::layout::Layout;

/// Strings of this length and more, terminator included, are aligned by compilers, so that zeros may follow them.
const ALIGNED_LENGTH: usize = 31;

/// Zeros that alignment may put behind a string.
const MAX_PADDING: usize = 63;

/// The string literal at `address` without its terminator: text that ends in a zero byte, in constant data that is not relocated, with
/// nothing but more strings between it and the next place that something refers to.
pub(super) fn literal<'a>(layout: &Layout<'a>, address: u64) -> Option<&'a [u8]> {
    let section = layout.section(address).filter(|_| layout.is_read_only(address))?;
    let end = section.address.0.saturating_add(section.size);
    let bytes = layout.bytes(address, end.checked_sub(address)?)?;
    let length = bytes.iter().position(|byte| *byte == 0)?;
    let text = bytes.get(..length)?;
    let reach = usize::try_from(layout.next_edge(address).checked_sub(address)?).ok()?;
    // A reference to a later part of the same string (`"x" + 1`, or a literal that is its tail) makes an edge inside it.
    let rest = bytes.get(length + 1..reach.max(length + 1))?;
    let relocated = !layout.slots.relocations(address, (length + 1).max(reach) as u64).is_empty();
    let plausible = match text {
        // The tail of another string, or of nothing.
        [] => address.checked_sub(1).and_then(|before| layout.bytes(before, 1)).is_some_and(is_text),
        text => is_text(text),
    };
    (!relocated && plausible && only_strings(rest, length + 1, address.wrapping_add(length as u64 + 1))).then_some(text)
}

/// Whether the bytes behind a string of `previous` bytes are strings, and zeros where alignment explains them.
fn only_strings(mut rest: &[u8], mut previous: usize, mut address: u64) -> bool {
    loop {
        let zeros = rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
        if zeros == rest.len() {
            return zeros <= MAX_PADDING;
        }
        let aligned = (address + zeros as u64).is_multiple_of(8) && previous >= ALIGNED_LENGTH && zeros <= MAX_PADDING;
        if zeros > 0 && !aligned {
            return false;
        }
        let Some(text) = rest.get(zeros..) else { return false };
        // The last one may go on behind the edge: a reference to its tail.
        let length = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        if !is_text(text.get(..length).unwrap_or_default()) {
            return false;
        }
        previous = length + 1;
        address += (zeros + previous) as u64;
        rest = text.get(previous..).unwrap_or_default();
    }
}

/// Printable text as programs have it: UTF-8 without control characters but those that C has an escape for.
fn is_text(bytes: &[u8]) -> bool {
    let control = |byte: &u8| *byte < 0x20 && !matches!(byte, 7..=13 | 0x1b) || *byte == 0x7f;
    !bytes.is_empty() && !bytes.iter().any(control) && std::str::from_utf8(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_small_numbers_are_no_strings() {
        let ints: Vec<u8> = [104i32, 105, 106].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert!(!only_strings(&ints[2..], 2, 0x1002));
        let longs: Vec<u8> = [104i64, 105].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert!(!only_strings(&longs[2..], 2, 0x1002));
        assert!(only_strings(b"next\0another\0", 2, 0x1002));
        assert!(only_strings(b"", 2, 0x1002));
        assert!(only_strings(b"\0\0\0", 5, 0x1005));
        let mut padded = vec![0; 7];
        padded.extend_from_slice(b"a long string that its compiler aligned\0");
        assert!(only_strings(&padded, 33, 0x1021));
        assert!(!only_strings(&padded, 20, 0x1021));
    }

    #[test]
    fn text_is_utf8_with_the_usual_escapes() {
        assert!(is_text("grüß\tdich\n".as_bytes()) && is_text(b"\x1b[1m"));
        assert!(!is_text(b"\x01\x02") && !is_text(b"\xff\xfe") && !is_text(b""));
    }
}
