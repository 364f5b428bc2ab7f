//! Between a capture and the planner: obstacles first, then the plan over the stopped process's memory.

use super::capture::{self, Captured};
use super::error::UpdateError;
use super::prepare::Builds;
use crate::plan::rewrite::{Report, Rewrite};
use crate::tracee::borrowed::Borrowed;

/// What the planner can know before the stop.
#[derive(Debug)]
pub struct Planner {
    same: bool,
}

impl Planner {
    /// Compares the builds.
    pub fn new(builds: &Builds) -> Result<Self, UpdateError> {
        Ok(Self { same: builds.are_same() })
    }

    /// Plans the move of a captured process.
    pub fn plan(&self, _borrowed: &Borrowed, captured: &Captured, _builds: &Builds) -> Result<Rewrite, UpdateError> {
        let mut obstacles = captured.obstacles.clone();
        obstacles.extend(capture::unrestartable(&captured.snapshot.threads));
        if !obstacles.is_empty() {
            return Err(UpdateError::Blocked { blockers: Vec::new(), obstacles });
        }
        if self.same {
            return Ok(identity(captured));
        }
        Err(UpdateError::Blocked { blockers: Vec::new(), obstacles })
    }
}

/// The plan that changes nothing, for a process that goes through the vessel onto the build that it runs.
fn identity(captured: &Captured) -> Rewrite {
    Rewrite {
        snapshot: captured.snapshot.clone(),
        patches: Vec::new(),
        contents: Vec::new(),
        dropped: Vec::new(),
        resolvers: Vec::new(),
        protect_after: Vec::new(),
        report: Report::default(),
    }
}
