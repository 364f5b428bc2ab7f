//! Runs the `dsu` binary and reads its answer.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::build::profile_directory;
use crate::deadline;
use crate::target::to_file;

/// The exit codes of `dsu`.
pub mod code {
    /// Done, or already up to date.
    pub const DONE: i32 = 0;
    /// Failed; nothing changed.
    pub const FAILED: i32 = 1;
    /// Wrong usage.
    pub const USAGE: i32 = 2;
    /// Blocked; nothing changed.
    pub const BLOCKED: i32 = 3;
    /// Rolled back; the old version runs.
    pub const ROLLED_BACK: i32 = 4;
    /// This machine or user lacks something.
    pub const LACKING: i32 = 5;
    /// Updated, but a later step failed.
    pub const LATER_STEP: i32 = 6;
    /// Parked: `dsu recover` is needed.
    pub const PARKED: i32 = 7;
}

/// How a run of `dsu` ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit code; `None` when it was killed.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Both streams.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Panics with everything that `dsu` said unless it exited with `expected`.
    pub fn assert_code(&self, expected: i32, what: &str) {
        assert_eq!(self.code, Some(expected), "{what}: exit code of dsu, its words:\n{}", self.text());
    }
}

/// Path of the binary: `DSU` in the environment, or beside the tests.
pub fn binary() -> PathBuf {
    let path = std::env::var_os("DSU").map_or_else(|| profile_directory().join("dsu"), PathBuf::from);
    assert!(path.exists(), "{} is not there; build it: cargo build -p dsu-engine --bin dsu", path.display());
    path
}

/// One run of `dsu` being put together.
pub struct Run {
    command: Command,
}

impl Run {
    /// `dsu COMMAND`.
    pub fn new(command: &str) -> Self {
        let mut run = Run { command: Command::new(binary()) };
        run.command.arg(command).env_remove("DSU_FAULT");
        run
    }

    /// `dsu update --pid PID --program NEW`.
    pub fn update(pid: Pid, program: &Path) -> Self {
        Run::new("update").pid(pid).option("--program", program)
    }

    /// `dsu checkpoint --pid PID --output IMAGE --then kill`.
    pub fn checkpoint_and_kill(pid: Pid, image: &Path) -> Self {
        Run::new("checkpoint").pid(pid).option("--output", image).option("--then", Path::new("kill"))
    }

    /// `dsu restore IMAGE`.
    pub fn restore(image: &Path) -> Self {
        Run::new("restore").argument(image)
    }

    /// `dsu transform IMAGE --program NEW --output OUTPUT`.
    pub fn transform(image: &Path, program: &Path, output: &Path) -> Self {
        Run::new("transform").argument(image).option("--program", program).option("--output", output)
    }

    /// `dsu recover --pid PID`.
    pub fn recover(pid: Pid) -> Self {
        Run::new("recover").pid(pid)
    }

    /// Adds `--pid PID`.
    pub fn pid(self, pid: Pid) -> Self {
        self.option("--pid", Path::new(&pid.to_string()))
    }

    /// Adds an option with its value.
    pub fn option(mut self, name: &str, value: &Path) -> Self {
        self.command.arg(name).arg(value);
        self
    }

    /// Adds bare options.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.command.args(options);
        self
    }

    /// Adds a bare argument.
    pub fn argument(mut self, value: &Path) -> Self {
        self.command.arg(value);
        self
    }

    /// Makes the engine fail, or die, at a step.
    pub fn fault(mut self, fault: &str) -> Self {
        self.command.env("DSU_FAULT", fault);
        self
    }

    /// Runs another copy of the binary, with the same arguments.
    pub fn binary(self, path: &Path) -> Self {
        let mut command = Command::new(path);
        command.args(self.command.get_args()).env_remove("DSU_FAULT");
        Run { command }
    }

    /// Runs `dsu` as another user.
    pub fn as_user(mut self, uid: u32) -> Self {
        use std::os::unix::process::CommandExt;
        self.command.uid(uid).gid(uid);
        self
    }

    /// Runs it to its end; a run that takes longer than the deadline is killed and fails the test.
    pub fn run(mut self) -> Outcome {
        let streams = TempDir::new().expect("a temporary directory");
        let [out, errors] = ["out", "errors"].map(|name| streams.path().join(name));
        self.command.stdin(std::process::Stdio::null()).stdout(to_file(&out)).stderr(to_file(&errors));
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("running {:?}: {error}", self.command));
        let status = deadline::until(deadline::COMMAND, || child.try_wait().expect("waiting for dsu"));
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let Some(status) = status else {
            let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
            let _ = child.wait();
            panic!("{:?} did not end in time:\n{}{}", self.command, read(&out), read(&errors));
        };
        let code = status.code();
        assert!(code.is_some() || status.signal() == Some(Signal::SIGKILL as i32), "{:?}: {status}", self.command);
        let outcome = Outcome { code, stdout: read(&out), stderr: read(&errors) };
        assert!(!outcome.stderr.contains("panicked at"), "{:?} panicked:\n{}", self.command, outcome.text());
        outcome
    }
}
