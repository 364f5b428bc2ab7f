//! How long each step took, and how long the process stood still.

use std::time::{Duration, Instant};

use serde::Serialize;

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Name.
    pub name: &'static str,
    /// Duration in milliseconds.
    pub ms: f64,
    /// Whether the process stood still meanwhile.
    pub paused: bool,
}

/// Steps in the order in which they ended.
#[derive(Clone, Debug)]
pub struct Timeline {
    last: Instant,
    paused: bool,
    steps: Vec<Step>,
}

impl Timeline {
    /// Starts the clock; the process runs.
    pub fn start() -> Self {
        Self { last: Instant::now(), paused: false, steps: Vec::new() }
    }

    /// Ends a step now.
    pub fn mark(&mut self, name: &'static str) {
        let now = Instant::now();
        self.steps.push(Step { name, ms: milliseconds(now - self.last), paused: self.paused });
        self.last = now;
    }

    /// The process has been told to stop: what follows is its pause. Steps of an earlier pause are forgotten, since the
    /// process went on after it.
    pub fn pause(&mut self) {
        self.steps.retain(|step| !step.paused);
        self.last = Instant::now();
        self.paused = true;
    }

    /// The process goes on.
    pub fn resume(&mut self) {
        self.paused = false;
        self.last = Instant::now();
    }

    /// Length of the last pause in milliseconds.
    pub fn pause_ms(&self) -> f64 {
        self.steps.iter().filter(|step| step.paused).map(|step| step.ms).sum()
    }

    /// All steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_pause_counts() {
        let mut timeline = Timeline::start();
        timeline.mark("prepare");
        timeline.pause();
        timeline.mark("first try");
        timeline.resume();
        timeline.pause();
        timeline.mark("second try");
        timeline.resume();
        timeline.mark("tidy");
        let names: Vec<_> = timeline.steps().iter().map(|step| (step.name, step.paused)).collect();
        assert_eq!(names, [("prepare", false), ("second try", true), ("tidy", false)]);
    }
}
