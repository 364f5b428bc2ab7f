//! What the sessions know together: the version that runs, and how many of them hold still.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use dsu_load::Stop;
use serde_json::json;

/// How often one that holds still looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
struct State {
    version: u32,
    holding: usize,
}

/// Shared by all sessions.
#[derive(Debug)]
pub struct World {
    holders: usize,
    stop: Stop,
    state: Mutex<State>,
    changed: Condvar,
}

impl World {
    /// A world in which `holders` sessions hold still now and then.
    pub fn new(holders: usize, stop: Stop) -> Self {
        Self { holders, stop, state: Mutex::default(), changed: Condvar::new() }
    }

    /// A session has seen that `version` runs.
    pub fn saw(&self, version: u32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if version > state.version {
            state.version = version;
            self.changed.notify_all();
        }
    }

    /// Holds still until a later version than `version` runs, or all is to stop. Says so when all hold still.
    pub fn hold(&self, version: u32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.holding += 1;
        if state.holding == self.holders {
            println!("{}", json!({ "event": "reached", "what": format!("held {version}"), "clients": self.holders }));
        }
        while state.version <= version && !self.stop.requested() {
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.holding -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_until_another_version_is_seen() {
        let world = World::new(1, Stop::default());
        world.saw(1);
        std::thread::scope(|scope| {
            let holder = scope.spawn(|| world.hold(1));
            world.saw(1);
            world.saw(2);
            assert!(holder.join().is_ok());
        });
    }

    #[test]
    fn nobody_holds_when_all_is_to_stop() {
        let stop = Stop::default();
        stop.request();
        World::new(2, stop).hold(1);
    }
}
