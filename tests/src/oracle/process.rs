//! A process of the oracle: brought to a point, looked at or updated there, and let run to its end.
//!
//! Its descriptor 3 is a FIFO with one byte less than the point's number: it waits in the read of that call, and nowhere before.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use tempfile::TempDir;

use super::program::Program;
use crate::target::to_file;
use crate::{deadline, leaks};

/// How long a program may take to its point, or from there to its end.
const LIMIT: Duration = Duration::from_secs(20);

/// A started program. Dropping it ends it.
pub struct Process {
    child: Child,
    marker: String,
    directory: TempDir,
    /// The driver's end of descriptor 3; the program reads on when it is closed.
    gate: Option<File>,
    has_ended: bool,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Exit status or signal.
    pub status: String,
    /// What it said after its point.
    pub said: String,
}

impl Process {
    /// Starts `executable` without address randomisation and waits until it is at its point; none if it ends before.
    pub fn at_point(program: &Program, executable: &Path) -> Option<Self> {
        let mut process = Self::start(program, executable);
        let at_point = deadline::until(LIMIT, || {
            if process.is_waiting() {
                return Some(true);
            }
            process.child.try_wait().expect("waiting for a child").map(|_| false)
        });
        match at_point {
            Some(true) => Some(process),
            Some(false) => {
                process.has_ended = true;
                None
            }
            None => panic!("{}: not at its point in time", program.name),
        }
    }

    fn start(program: &Program, executable: &Path) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        // As long for every process: the environment lies on the stack.
        let marker = format!("oracle-{:08}-{:08}", id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let directory = tempfile::Builder::new().prefix("dsu-oracle-").tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        mkfifo(&path("gate"), Mode::from_bits_truncate(0o600)).expect("a FIFO");
        let open_both = OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NONBLOCK).open(path("gate"));
        let mut gate = open_both.expect("the driver's end of the gate");
        std::io::Write::write_all(&mut gate, &vec![b'.'; program.point - 1]).expect("the FIFO takes some bytes");
        fs::write(path("input"), &program.input).expect("the input is written");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec setarch -R \"$1\" 3<gate", "sh"]).arg(executable);
        command
            .current_dir(directory.path())
            .process_group(0)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env(leaks::MARKER, &marker);
        command.stdin(File::open(path("input")).expect("the input"));
        command.stdout(to_file(&path("output"))).stderr(to_file(&path("errors")));
        let child = command.spawn().unwrap_or_else(|error| panic!("starting {}: {error}", executable.display()));
        Process { child, marker, directory, gate: Some(gate), has_ended: false }
    }

    /// Process ID.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Whether a thread sleeps in a read from descriptor 3, which happens only when the FIFO is empty, and all others wait for threads.
    fn is_waiting(&self) -> bool {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.child.id())) else { return false };
        // `running`, or the number of the call and its arguments: read is 0, futex 202.
        let calls = tasks.flatten().map(|task| fs::read_to_string(task.path().join("syscall")).unwrap_or_default());
        let calls: Vec<String> = calls.collect();
        let at_gate = |text: &String| text.starts_with("0 0x3 ");
        calls.iter().any(at_gate) && calls.iter().all(|text| at_gate(text) || text.starts_with("202 "))
    }

    /// What the program has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(self.directory.path().join("output")).expect("the output")
    }

    /// Lets the program go on to its end; tells how it ended, and what it said beyond `before`.
    pub fn finish(mut self, before: &str) -> End {
        drop(self.gate.take());
        let status = deadline::until(LIMIT, || self.child.try_wait().expect("waiting for a child"));
        self.has_ended = status.is_some();
        let said = self.said();
        let said = said.strip_prefix(before).map_or_else(|| format!("(what was said before is gone) {said}"), str::to_owned);
        End { status: status.map_or_else(|| "does not end".to_owned(), describe), said }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "an unknown end".to_owned(),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended {
            leaks::end(&self.marker, self.pid());
            let _ = self.child.wait();
        }
    }
}
