//! Sessions in threads: each steps until it fails or is asked to stop; what all of them reached becomes an event.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::json;

use crate::{LoadError, Stop, Tally};

/// Steps after which a session counts as warmed up, and as settled with a version that is new to it.
const READY_AFTER_STEPS: u64 = 20;

/// One connection with the model of what it should see.
pub trait Session: Send {
    /// Makes one exchange, or a few that belong together, and tallies what came of it.
    ///
    /// # Errors
    /// Only what ends the session; wrong values are the tally's.
    fn step(&mut self, tally: &mut Tally) -> Result<(), LoadError>;
}

/// Says so whenever all sessions have reached something, again when they do so again: `{"event":"reached","what":…,"clients":…}`.
struct Milestones {
    clients: usize,
    reached: Mutex<HashMap<String, usize>>,
}

impl Milestones {
    fn reach(&self, what: &str) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let count = reached.entry(what.to_owned()).or_default();
        *count += 1;
        if count.is_multiple_of(self.clients) {
            println!("{}", json!({ "event": "reached", "what": what, "clients": self.clients }));
        }
    }
}

/// Runs every session in a thread of its own until `stop`, and returns what they saw together.
pub fn run_sessions<S: Session>(sessions: Vec<S>, stop: &Stop) -> Tally {
    let milestones = Milestones { clients: sessions.len(), reached: Mutex::default() };
    let mut total = Tally::default();
    thread::scope(|scope| {
        let running: Vec<_> =
            sessions.into_iter().map(|session| scope.spawn(|| run_session(session, stop, &milestones))).collect();
        for session in running {
            match session.join() {
                Ok(tally) => total.merge(tally),
                Err(_) => total.error("a session of the load client panicked"),
            }
        }
    });
    total
}

fn run_session<S: Session>(mut session: S, stop: &Stop, milestones: &Milestones) -> Tally {
    let mut tally = Tally::default();
    let (mut steps, mut versions) = (0, 0);
    let mut settling = 0;
    while !stop.requested() {
        if let Err(error) = session.step(&mut tally) {
            println!("{}", json!({ "event": "lost", "error": error.to_string() }));
            tally.error(error);
            break;
        }
        steps += 1;
        if steps == READY_AFTER_STEPS {
            milestones.reach("ready");
        }
        settling += 1;
        for version in tally.versions().iter().skip(versions) {
            milestones.reach(version);
            settling = 0;
        }
        versions = tally.versions().len();
        if let (READY_AFTER_STEPS, Some(version)) = (settling, tally.versions().last()) {
            milestones.reach(&format!("settled {version}"));
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Counting(u64, Stop);

    impl Session for Counting {
        fn step(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
            self.0 += 1;
            tally.answered(Duration::ZERO);
            match self.0 {
                50 => self.1.request(),
                90.. => return Err(LoadError::Closed { request: "x".into() }),
                _ => {}
            }
            Ok(())
        }
    }

    #[test]
    fn sessions_end_when_asked_and_a_lost_one_is_an_error() {
        let stop = Stop::default();
        let tally = run_sessions(vec![Counting(0, stop.clone())], &stop);
        assert_eq!(tally.requests(), 50);
        let tally = run_sessions(vec![Counting(100, Stop::default())], &Stop::default());
        assert_eq!(tally.summary(1).errors, 1);
    }
}
