//! Takes an image apart and puts it together again with other sections, every checksum right: what a hostile writer does.

use dsu_formats::image::SectionKind;

use super::mend::mend;

const HEADER_LEN: usize = 4096;
const ENTRY_LEN: usize = 48;

/// A section with its entry.
#[derive(Clone)]
pub struct Part {
    pub number: u32,
    pub version: u32,
    pub flags: u32,
    pub name: [u8; 16],
    pub contents: Vec<u8>,
    pub padding: Vec<u8>,
}

impl Part {
    /// A section that no version knows.
    pub fn unknown(number: u32, flags: u32, name: &str) -> Self {
        let mut padded = [0; 16];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        Self { number, version: 3, flags, name: padded, contents: vec![5; 9], padding: vec![0; 7] }
    }
}

/// The sections of a right image.
pub fn take_apart(image: &[u8]) -> Vec<Part> {
    let (table, len) = (number(image, 32), number(image, 40));
    let entries: Vec<&[u8]> = image[table..table + len].chunks_exact(ENTRY_LEN).collect();
    let part = |(index, entry): (usize, &&[u8])| {
        let (start, len) = (number(entry, 16), number(entry, 24));
        let end = entries.get(index + 1).map_or(table, |next| number(next, 16));
        Part {
            number: number(entry, 0) as u32,
            version: number(entry, 4) as u32,
            flags: number(entry, 8) as u32,
            name: entry[32..48].try_into().expect("16 bytes"),
            contents: image[start..start + len].to_vec(),
            padding: image[start + len..end].to_vec(),
        }
    };
    entries.iter().enumerate().map(part).collect()
}

/// An image of these sections, with the header of `image`.
pub fn put_together(image: &[u8], parts: &[Part]) -> Vec<u8> {
    let mut bytes = image[..HEADER_LEN].to_vec();
    let mut table = Vec::new();
    for part in parts {
        let offset = bytes.len() as u64;
        table.extend_from_slice(&part.number.to_le_bytes());
        table.extend_from_slice(&part.version.to_le_bytes());
        table.extend_from_slice(&part.flags.to_le_bytes());
        table.extend_from_slice(&[0; 4]);
        table.extend_from_slice(&offset.to_le_bytes());
        table.extend_from_slice(&(part.contents.len() as u64).to_le_bytes());
        table.extend_from_slice(&part.name);
        bytes.extend_from_slice(&part.contents);
        bytes.extend_from_slice(&part.padding);
    }
    let offset = bytes.len() as u64;
    bytes.extend_from_slice(&table);
    let total = bytes.len() as u64;
    bytes[24..32].copy_from_slice(&total.to_le_bytes());
    bytes[32..40].copy_from_slice(&offset.to_le_bytes());
    bytes[40..48].copy_from_slice(&(table.len() as u64).to_le_bytes());
    mend(&mut bytes);
    bytes
}

/// The image with other contents of one section.
pub fn with_contents(image: &[u8], kind: SectionKind, contents: Vec<u8>) -> Vec<u8> {
    let mut parts = take_apart(image);
    let part = find(&mut parts, kind);
    part.padding = vec![0; contents.len().next_multiple_of(8) - contents.len()];
    part.contents = contents;
    put_together(image, &parts)
}

/// The section of a kind.
pub fn find(parts: &mut [Part], kind: SectionKind) -> &mut Part {
    parts.iter_mut().find(|part| part.number == kind.number()).expect("every kind is in the golden image")
}

/// Where in `image` the entry of a kind starts.
pub fn entry_at(image: &[u8], kind: SectionKind) -> usize {
    let parts = take_apart(image);
    let index = parts.iter().position(|part| part.number == kind.number()).expect("every kind is in the golden image");
    number(image, 32) + index * ENTRY_LEN
}

/// A number in the image; its upper half is the next field where the field is of four bytes.
pub fn number(image: &[u8], at: usize) -> usize {
    u64::from_le_bytes(image[at..at + 8].try_into().expect("8 bytes")) as usize
}
