//! Finding a known run of bytes in the loader's record.

/// A field layout with known content: bytes that must be equal, with gaps that may hold anything.
#[derive(Clone, Debug, Default)]
pub struct Signature {
    parts: Vec<Option<Vec<u8>>>,
    gaps: Vec<usize>,
}

impl Signature {
    /// An empty signature.
    pub fn new() -> Self {
        Self::default()
    }

    /// A word that must follow.
    pub fn word(self, value: u64) -> Self {
        self.bytes(value.to_le_bytes().to_vec())
    }

    /// Four bytes that must follow.
    pub fn half(self, value: u32) -> Self {
        self.bytes(value.to_le_bytes().to_vec())
    }

    /// Two bytes that must follow.
    pub fn quarter(self, value: u16) -> Self {
        self.bytes(value.to_le_bytes().to_vec())
    }

    /// `length` bytes of any content.
    pub fn any(mut self, length: usize) -> Self {
        self.parts.push(None);
        self.gaps.push(length);
        self
    }

    fn bytes(mut self, bytes: Vec<u8>) -> Self {
        self.gaps.push(bytes.len());
        self.parts.push(Some(bytes));
        self
    }

    fn matches(&self, record: &[u8], mut at: usize) -> bool {
        self.parts.iter().zip(&self.gaps).all(|(part, length)| {
            let found = record.get(at..at + length);
            at += length;
            match part {
                Some(part) => found == Some(part.as_slice()),
                None => found.is_some(),
            }
        })
    }

    /// The one offset (a multiple of 4) in `record` where it matches.
    ///
    /// # Errors
    /// The number of matches when it is not one.
    pub fn find(&self, record: &[u8]) -> Result<usize, usize> {
        let mut found = (0..record.len()).step_by(4).filter(|at| self.matches(record, *at));
        match (found.next(), found.count()) {
            (Some(at), 0) => Ok(at),
            (None, _) => Err(0),
            (Some(_), more) => Err(more + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_must_match_once() {
        let mut record = vec![0; 64];
        record[16..24].copy_from_slice(&7u64.to_le_bytes());
        record[28..32].copy_from_slice(&9u32.to_le_bytes());
        let signature = Signature::new().word(7).any(4).half(9);
        assert_eq!(signature.find(&record), Ok(16));
        record[40..48].copy_from_slice(&7u64.to_le_bytes());
        assert_eq!(signature.find(&record), Ok(16));
        record[52..56].copy_from_slice(&9u32.to_le_bytes());
        assert_eq!(signature.find(&record), Err(2));
        assert_eq!(Signature::new().word(8).find(&record), Err(0));
    }
}
