//! Threads of a vessel beyond those of its image, for work that several do side by side.

use super::emptied::Emptied;
use super::error::TraceeError;

impl Emptied {
    /// Makes threads until `wanted` park in all. They get any free ID, so the image's own must be there already.
    ///
    /// Fewer are there after an error. [`Emptied::keep_only`] ends them.
    pub fn hire(&mut self, wanted: usize) -> Result<(), TraceeError> {
        while self.tids.len() < wanted {
            self.create_any()?;
        }
        Ok(())
    }

    /// Ends every thread that is not among `tids`; the leader stays in any case.
    pub fn keep_only(&mut self, tids: &[i32]) -> Result<(), TraceeError> {
        let strangers: Vec<i32> = self.tids.iter().copied().filter(|tid| *tid != self.pid && !tids.contains(tid)).collect();
        strangers.into_iter().try_for_each(|tid| self.end_thread(tid))
    }
}
