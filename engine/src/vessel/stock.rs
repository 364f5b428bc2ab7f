//! Huge pages set aside while the program still runs, and set free one by one while its new memory is made.
//!
//! To find a huge page the kernel may have to move others out of the way, and the machine below a virtual one may have to provide
//! it first: that takes milliseconds a page, so it is done before the stop.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::Mapping;
use memmap2::{Advice, MmapMut};

use super::huge::{self, HUGE_PAGE, WORTH_IT};

/// Bytes that are set free at a time.
const BLOCK: usize = 32 << 20;

/// Memory of the engine's own that only waits to be set free; dropping it sets all of it free.
#[derive(Debug, Default)]
pub struct Stock {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    blocks: Vec<MmapMut>,
    /// Bytes that were set free and not asked for yet.
    ahead: u64,
}

impl Stock {
    /// Bytes that a process with `own_pages` in `mappings` can have in huge pages; zero when they are not worth it.
    pub fn wanted(mappings: &[Mapping], own_pages: &[RunRange]) -> u64 {
        if !huge::are_allowed() {
            return 0;
        }
        let bytes = huge::whole_pieces(mappings, own_pages).iter().map(RunRange::len).sum();
        if bytes < WORTH_IT { 0 } else { bytes }
    }

    /// Sets `bytes` aside, or as much as the kernel gives within `limit`.
    pub fn of(bytes: u64, limit: Duration) -> Self {
        let deadline = Instant::now() + limit;
        let count = bytes.div_ceil(BLOCK as u64) as usize;
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let share = count.div_ceil(threads);
        let blocks = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..count)
                .step_by(share.max(1))
                .map(|from| scope.spawn(move || make(share.min(count - from), deadline)))
                .collect();
            let made = makers.into_iter().map(|maker| maker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            made.flatten().collect()
        });
        Self { state: RefCell::new(State { blocks, ahead: 0 }) }
    }

    /// Bytes that are still set aside.
    pub fn bytes(&self) -> u64 {
        (self.state.borrow().blocks.len() * BLOCK) as u64
    }

    /// Sets at least `bytes` free. `false` when there are not as many.
    pub(super) fn release(&self, bytes: u64) -> bool {
        let mut state = self.state.borrow_mut();
        while state.ahead < bytes && state.blocks.pop().is_some() {
            state.ahead += BLOCK as u64;
        }
        let enough = state.ahead >= bytes;
        state.ahead = state.ahead.saturating_sub(bytes);
        enough
    }
}

/// Up to `count` blocks, fewer when the kernel refuses or the deadline passes.
fn make(count: usize, deadline: Instant) -> Vec<MmapMut> {
    let blocks = (0..count).take_while(|_| Instant::now() < deadline).map_while(|_| {
        let mut block = MmapMut::map_anon(BLOCK).ok()?;
        block.advise(Advice::HugePage).ok()?;
        // One byte makes the whole huge page; where there is none, it makes one small page and no more.
        block.iter_mut().step_by(HUGE_PAGE as usize).for_each(|byte| *byte = 1);
        Some(block)
    });
    blocks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stock_is_set_free_as_it_is_asked_for() {
        let block = BLOCK as u64;
        let stock = Stock::of(3 * block - 1, Duration::from_secs(600));
        assert_eq!(stock.bytes(), 3 * block);
        assert!(stock.release(block / 4));
        assert_eq!(stock.bytes(), 2 * block);
        assert!(stock.release(block / 2) && stock.release(block / 4));
        assert_eq!(stock.bytes(), 2 * block, "what was set free before counts");
        assert!(stock.release(block + 1));
        assert_eq!(stock.bytes(), 0);
        assert!(!stock.release(block));
        assert_eq!(Stock::of(block, Duration::ZERO).bytes(), 0);
        assert_eq!(Stock::of(0, Duration::from_secs(600)).bytes(), 0);
    }
}
