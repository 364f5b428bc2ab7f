//! Threads that were stopped where they cannot go on in the new code, let on by single instructions to where they can.
//!
//! They go on one at a time, so that one that has come to such a point stays there. One that does not come to any may be waiting for another:
//! then the others go on for a while, too. Nothing is taken back: what threads do on the way they would have done anyway.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use dsu_formats::model::latest::Snapshot;

use super::error::UpdateError;
use super::planner::Planner;
use super::prepare::Builds;
use crate::tracee::error::TraceeError;
use crate::tracee::step::{Stepped, Stepping};
use crate::tracee::stopped::Stopped;

/// A thread goes on by no more instructions before it is another's turn.
const TURN: u32 = 64;
/// How long the first search may take; each further one twice as long as the last.
const FIRST_LIMIT: Duration = Duration::from_millis(50);
/// No search takes longer.
const MOST: Duration = Duration::from_millis(400);
/// How long threads may run at first to where their functions return, all together.
const FIRST_RUN: Duration = Duration::from_millis(20);
/// After so many runs that came to nothing there are no more: the functions do not return.
const MOST_RUNS: u32 = 4;

/// A search for a moment at which all threads are where they can go on.
pub(super) struct Search<'a> {
    pub(super) planner: &'a Planner,
    pub(super) builds: &'a Builds,
    /// The process as an earlier stop found it.
    pub(super) earlier: &'a mut Snapshot,
    /// How long it may take.
    pub(super) limit: Duration,
    /// How often threads were let run to where their functions return, and did not come there.
    pub(super) runs: &'a mut u32,
    /// When it ends at the latest.
    pub(super) until: Instant,
}

/// How long a search may take after so many that found nothing.
pub(super) fn limit(searches: u32) -> Duration {
    FIRST_LIMIT.saturating_mul(1 << searches.min(8)).min(MOST)
}

impl Search<'_> {
    /// Gives the process back, stopped, and whether its threads are where they can go on.
    pub fn run(mut self, stopped: Stopped) -> Result<(Stopped, bool), UpdateError> {
        let was_deferring = self.planner.defer_more();
        let searched = self.search(stopped);
        if !was_deferring {
            self.planner.defer(false);
        }
        searched
    }

    fn search(&mut self, stopped: Stopped) -> Result<(Stopped, bool), UpdateError> {
        let stuck = self.planner.stuck((stopped.threads(), stopped.memory()), self.earlier, self.builds);
        tracing::debug!(?stuck, "threads are where they cannot go on");
        let Some(stuck) = stuck.filter(|_| stopped.can_step()) else { return Ok((stopped, false)) };
        let is_near = stuck.iter().all(|thread| thread.near.is_some());
        let may_run = *self.runs < MOST_RUNS && stuck.iter().all(|thread| thread.way_out.is_some());
        if !is_near && !may_run {
            return Ok((stopped, false));
        }
        let mut stepping = stopped.step()?;
        let started = Instant::now();
        let most = self.until;
        self.until = most.min(started + FIRST_RUN.saturating_mul(1 + *self.runs));
        let mut found = may_run && self.run_out(&mut stepping)?;
        if !found && is_near {
            self.until = most.min(Instant::now() + self.limit);
            found = self.go_on(&mut stepping)?;
        }
        tracing::debug!(found, steps = stepping.steps(), elapsed = ?started.elapsed(), "let threads on");
        let stopped = stepping.finish()?;
        // Signals that came meanwhile have been delivered.
        let found = found && !self.planner.is_active(&stopped, self.earlier, self.builds);
        Ok((stopped, found))
    }

    /// Lets each thread that cannot go on run to where the outermost function that it cannot go on in returns. Nothing else is looked for on
    /// the way: whoever comes there stays there.
    fn run_out(&mut self, stepping: &mut Stepping) -> Result<bool, TraceeError> {
        let stuck = self.planner.stuck((stepping.threads(), stepping.memory()), self.earlier, self.builds);
        for thread in stuck.iter().flatten() {
            let Some(way_out) = thread.way_out else { return Ok(false) };
            if stepping.run_out(thread.tid, way_out, self.until)? != Stepped::On {
                *self.runs += 1;
                return Ok(false);
            }
        }
        Ok(stuck.is_some())
    }

    fn go_on(&mut self, stepping: &mut Stepping) -> Result<bool, TraceeError> {
        let mut held = HashSet::new();
        let mut reach = 1;
        loop {
            let Some(stuck) = self.planner.stuck((stepping.threads(), stepping.memory()), self.earlier, self.builds) else {
                return Ok(false);
            };
            if stuck.is_empty() {
                return Ok(true);
            }
            if Instant::now() >= self.until || stuck.iter().any(|thread| held.contains(&thread.tid)) {
                return Ok(false);
            }
            let stuck: HashSet<i32> = stuck.into_iter().map(|thread| thread.tid).collect();
            let mut all_come = true;
            for tid in &stuck {
                match self.turn(stepping, *tid, None)? {
                    Turn::Come => {}
                    Turn::Over => all_come = false,
                    Turn::Held => drop(held.insert(*tid)),
                }
            }
            if !all_come {
                let others: Vec<i32> =
                    stepping.threads().iter().map(|thread| thread.tid).filter(|tid| !stuck.contains(tid)).collect();
                for tid in others {
                    self.turn(stepping, tid, Some(reach))?;
                }
                reach = if reach >= TURN { 1 } else { reach * 2 };
            }
        }
    }

    /// Lets a thread on to where it may be able to go on in the new code; one that can already by `least` instructions before.
    fn turn(&self, stepping: &mut Stepping, tid: i32, least: Option<u32>) -> Result<Turn, TraceeError> {
        let start = stepping.place(tid).map(|place| self.planner.place_of(self.earlier, self.builds, place).function);
        for done in 1..=TURN + least.unwrap_or(0) {
            if stepping.step(tid)? != Stepped::On {
                return Ok(Turn::Held);
            }
            let Some(place) = stepping.place(tid) else { return Ok(Turn::Held) };
            let place = self.planner.place_of(self.earlier, self.builds, place);
            let is_elsewhere = start != Some(place.function);
            let may_go_on = place.is_point || if least.is_some() { !place.changes } else { is_elsewhere };
            if may_go_on && done >= least.unwrap_or(1) {
                return Ok(Turn::Come);
            }
        }
        Ok(Turn::Over)
    }
}

/// How a thread's turn ended.
enum Turn {
    /// It may be where it can go on: it is at a point that is known, or in another function.
    Come,
    /// It has had its instructions.
    Over,
    /// It cannot be let on further.
    Held,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_that_find_nothing_take_longer_up_to_a_limit() {
        let limits: Vec<u128> = [0, 1, 2, 3, 4, 100].map(|searches| limit(searches).as_millis()).to_vec();
        assert_eq!(limits, [50, 100, 200, 400, 400, 400]);
    }
}
