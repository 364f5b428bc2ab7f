//! Shows on a terminal what a long command is doing, and keeps a key press from ending dsu while a process stands still.
//!
//! The process may be paused while steps are announced, so announcing never waits: a thread of its own draws, since a
//! terminal may block (Ctrl-S, a slow connection).

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dsu_engine::plan::blocker::Blocker;
use dsu_engine::update::operation::Observer;
use indicatif::ProgressBar;
use nix::sys::signal::{SigSet, Signal};

use super::output::human;

/// Between two frames.
const FRAME: Duration = Duration::from_millis(100);
/// What is over sooner shows nothing.
const PATIENCE: Duration = Duration::from_millis(300);

/// What a command does on behalf of the user while it runs.
pub struct Progress {
    drawing: Option<(Sender<String>, JoinHandle<()>)>,
    interrupts: Interrupts,
}

impl Progress {
    /// Draws when stderr is a terminal and nothing else (a log) is written there.
    pub fn new(quiet: bool) -> Self {
        let drawing = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let (sender, receiver) = mpsc::channel();
            (sender, std::thread::spawn(move || draw(&receiver)))
        });
        Self { drawing, interrupts: Interrupts::new() }
    }

    /// Takes the drawing away. Interrupts stay off: what was done is still to be told.
    pub fn finish(self) {
        if let Some((sender, thread)) = self.drawing {
            drop(sender);
            // A panic in the drawing has spoilt nothing but the drawing.
            let _ = thread.join();
        }
    }

    fn show(&self, text: String) {
        if let Some((sender, _)) = &self.drawing {
            let _ = sender.send(text);
        }
    }
}

impl Observer for Progress {
    fn step(&mut self, name: &'static str) {
        if name != "read programs" {
            self.interrupts.hold();
        }
        self.show(words(name).to_owned());
    }

    fn waiting(&mut self, blockers: &[Blocker]) {
        self.interrupts.release();
        let first = blockers.iter().find(|blocker| blocker.is_transient()).map(ToString::to_string);
        self.show(format!("waiting: {}", human::printable(&first.unwrap_or_default())));
    }
}

/// What a step is called on the terminal.
fn words(step: &'static str) -> &'static str {
    match step {
        "read programs" => "reading and comparing both programs",
        "stop" => "looking at the stopped process",
        "update" => "moving the process",
        "write image" => "writing the image",
        "restore the old program" => "putting the old version back",
        other => other,
    }
}

fn draw(receiver: &mpsc::Receiver<String>) {
    Interrupts::new().hold();
    let begin = Instant::now();
    let bar = ProgressBar::new_spinner();
    let mut text = String::new();
    loop {
        match receiver.recv_timeout(FRAME) {
            Ok(next) => text = next,
            Err(RecvTimeoutError::Timeout) if begin.elapsed() >= PATIENCE => {
                bar.set_message(text.clone());
                bar.tick();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    bar.finish_and_clear();
}

/// Signals that a terminal or a closing session sends. Held while a process stands still: it would be let go or parked, but
/// nobody would be told.
struct Interrupts(SigSet);

impl Interrupts {
    fn new() -> Self {
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP] {
            signals.add(signal);
        }
        Self(signals)
    }

    /// The call cannot fail with a set of valid signals.
    fn hold(&self) {
        let _ = self.0.thread_block();
    }

    fn release(&self) {
        let _ = self.0.thread_unblock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_are_held_from_the_stop_until_the_process_goes_on() {
        let mut progress = Progress::new(true);
        let held = || SigSet::thread_get_mask().unwrap().contains(Signal::SIGINT);
        progress.step("read programs");
        assert!(!held());
        progress.step("stop");
        assert!(held());
        progress.waiting(&[]);
        assert!(!held());
    }
}
