//! Reads words of the target page-wise: the slots of neighbouring frames share pages, and each read may be a system call.

use dsu_formats::address::{PAGE_SIZE, RunAddress};

/// An error of the caller's reader.
pub(super) type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// The caller's reader.
pub(super) type Reader<'r> = dyn FnMut(RunAddress, &mut [u8]) -> Result<(), ReadError> + 'r;

/// Pages kept; a signal stack, the thread's stack and a register set are in use at a time.
const PAGES: usize = 4;

/// Memory of a stopped thread, for the time of one walk.
pub(super) struct Memory<'r> {
    read: &'r mut Reader<'r>,
    pages: Vec<(u64, Box<[u8; PAGE_SIZE as usize]>)>,
    victim: usize,
}

impl<'r> Memory<'r> {
    pub(super) fn new(read: &'r mut Reader<'r>) -> Self {
        Self { read, pages: Vec::with_capacity(PAGES), victim: 0 }
    }

    /// The word at `address`, aligned or not.
    pub(super) fn word(&mut self, address: RunAddress) -> Result<u64, ReadError> {
        let within = (address.0 % PAGE_SIZE) as usize;
        if within + 8 > PAGE_SIZE as usize {
            return self.word_uncached(address);
        }
        if let Some(word) = self.cached(address.page_floor().0, within) {
            return Ok(word);
        }
        match self.load(address.page_floor()) {
            Ok(()) => match self.cached(address.page_floor().0, within) {
                Some(word) => Ok(word),
                None => self.word_uncached(address),
            },
            // A source may hold part of a page only.
            Err(_) => self.word_uncached(address),
        }
    }

    fn cached(&self, page: u64, within: usize) -> Option<u64> {
        let (_, bytes) = self.pages.iter().find(|(start, _)| *start == page)?;
        Some(u64::from_le_bytes(bytes.get(within..within + 8)?.try_into().ok()?))
    }

    fn load(&mut self, page: RunAddress) -> Result<(), ReadError> {
        let mut bytes = Box::new([0; PAGE_SIZE as usize]);
        (self.read)(page, &mut bytes[..])?;
        if self.pages.len() < PAGES {
            self.pages.push((page.0, bytes));
        } else if let Some(slot) = self.pages.get_mut(self.victim) {
            *slot = (page.0, bytes);
            self.victim = (self.victim + 1) % PAGES;
        }
        Ok(())
    }

    fn word_uncached(&mut self, address: RunAddress) -> Result<u64, ReadError> {
        let mut word = [0; 8];
        (self.read)(address, &mut word)?;
        Ok(u64::from_le_bytes(word))
    }
}
