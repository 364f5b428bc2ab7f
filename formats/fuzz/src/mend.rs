//! Makes the checksums of a damaged image right again, so that what lies behind them is reached too.
//!
//! Knows the layout only as documented in `dsu_formats::image`, and nothing of that crate's code.

const HEADER_LEN: usize = 4096;
const ENTRY_LEN: usize = 48;

/// Recomputes every checksum whose place and extent can be found; leaves alone what cannot.
pub fn mend(image: &mut [u8]) {
    mend_sections(image);
    mend_table_and_header(image);
}

/// Recomputes the checksums of the table and of the header, not those of the sections.
pub fn mend_table_and_header(image: &mut [u8]) {
    if image.len() < HEADER_LEN {
        return;
    }
    if let Some(table) = table(image) {
        let crc = crc32fast::hash(&image[table]);
        image[48..52].copy_from_slice(&crc.to_le_bytes());
    }
    let crc = crc32fast::hash(&image[..HEADER_LEN - 4]);
    image[HEADER_LEN - 4..HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
}

fn mend_sections(image: &mut [u8]) {
    let Some(table) = table(image) else { return };
    let count = table.len() / ENTRY_LEN;
    let entry = |index: usize| table.start + index * ENTRY_LEN;
    // A section's checksum covers the bytes up to the next section, or to the table.
    for index in 0..count {
        let start = number(image, entry(index) + 16);
        let end = if index + 1 < count { number(image, entry(index + 1) + 16) } else { table.start };
        if let Some(span) = image.get(start..end) {
            let crc = crc32fast::hash(span);
            image[entry(index) + 12..entry(index) + 16].copy_from_slice(&crc.to_le_bytes());
        }
    }
}

/// Where the table is, when it is inside the image.
fn table(image: &[u8]) -> Option<std::ops::Range<usize>> {
    if image.len() < HEADER_LEN {
        return None;
    }
    let (start, len) = (number(image, 32), number(image, 40));
    let end = start.checked_add(len)?;
    (start >= HEADER_LEN && end <= image.len()).then_some(start..end)
}

fn number(image: &[u8], at: usize) -> usize {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&image[at..at + 8]);
    usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}
