//! Finds what a test left running: every process that carries the test's mark in its environment, or is in its group.

use std::fs;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::deadline;

/// Name of the environment variable whose value is unique to one started program.
pub const MARKER: &str = "DSU_TEST_MARKER";

/// One process as `/proc` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Process ID.
    pub pid: i32,
    /// Name and state, for messages.
    pub description: String,
}

/// Processes that carry `marker` or are in the process group `group`; zombies that nobody has waited for included.
pub fn find(marker: &str, group: Pid) -> Vec<Found> {
    let wanted = format!("{MARKER}={marker}");
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let (description, process_group) = stat(pid)?;
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let marked = environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes());
        (marked || process_group == group.as_raw()).then_some(Found { pid, description })
    })
    .collect()
}

/// Command, state and process group of a process.
fn stat(pid: i32) -> Option<(String, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = text.rsplit_once(')')?;
    let mut fields = tail.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?;
    let group = fields.next()?.parse().ok()?;
    Some((format!("{head}) state {state}, parent {parent}"), group))
}

/// Kills the processes found by [`find`] one by one, and waits for those that are children of this process.
pub fn end(marker: &str, group: Pid) {
    let gone = deadline::until(Duration::from_secs(10), || {
        let left = find(marker, group);
        for found in &left {
            let pid = Pid::from_raw(found.pid);
            let _ = kill(pid, Signal::SIGKILL);
            while let Err(Errno::EINTR) = waitpid(pid, Some(WaitPidFlag::WNOHANG)) {}
        }
        left.is_empty().then_some(())
    });
    if gone.is_none() {
        eprintln!("processes that could not be ended: {:?}", find(marker, group));
    }
}
