//! A program under test: started, spoken to, waited for, and never left behind.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, id};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, mkfifo};
use tempfile::TempDir;

use crate::build::shared_library;
use crate::catalogue::{Library, Program};
use crate::{deadline, leaks};

/// What a program says, or that it has ended without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It waits: now is the time for what the flavour does.
    Ready,
    /// It found itself right and is about to end.
    Right,
    /// It found a difference: the line says which.
    Wrong(String),
    /// It cannot test its subject on this machine.
    Skipped(String),
    /// It ended.
    Ended(String),
}

/// A running program.
///
/// Its standard streams are a FIFO for reading, a FIFO for writing and a file, all with names, so that a cold restore finds
/// them again. Dropping it kills it and all that carries its mark.
pub struct Target {
    name: String,
    pid: Pid,
    marker: String,
    directory: TempDir,
    input: File,
    output: File,
    unread: Vec<u8>,
    end: Instant,
    reaped: bool,
}

impl Target {
    /// Starts `executable`, a build of `program`, as the leader of a process group of its own, in an empty directory.
    pub fn start(program: &Program, executable: &Path) -> Self {
        Self::start_as(program, executable, None)
    }

    /// As [`Target::start`], as the user `uid` if there is one.
    #[expect(clippy::zombie_processes, reason = "reaped by its number: a restored program is no child that std knows")]
    pub fn start_as(program: &Program, executable: &Path, uid: Option<u32>) -> Self {
        prepare_driver();
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let marker = format!("{}-{}-{}", program.name, id(), SERIAL.fetch_add(1, Ordering::Relaxed));
        let directory = tempfile::Builder::new().prefix("dsu-test-").tempdir().expect("a temporary directory");
        // Programs that change their user still have to reach their working directory.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("chmod of the temporary directory");
        let [input_path, output_path] = ["input", "output"].map(|name| {
            let path = directory.path().join(name);
            mkfifo(&path, Mode::from_bits_truncate(0o666)).expect("a FIFO");
            path
        });
        // Open for both directions: neither end then waits for the other, nor sees an end while the program is being restored.
        let open_both = |path: &Path| OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
        let input = open_both(&input_path).expect("the driver's end of the input");
        let output = open_both(&output_path).expect("the driver's end of the output");
        let work = directory.path().join("work");
        fs::create_dir(&work).expect("a working directory");
        let mut command = Command::new(executable);
        if program.unstoppable {
            // Its thread pointers cannot be read, so nothing can tell the word that the kernel writes the processor's number to.
            command = Command::new("taskset");
            command.args(["-c", "0"]).arg(executable);
        }
        command.current_dir(&work).process_group(0).env(leaks::MARKER, &marker).arg("last argument");
        command.stdin(File::open(&input_path).expect("the program's input"));
        command.stdout(OpenOptions::new().write(true).open(&output_path).expect("the program's output"));
        command.stderr(OpenOptions::new().create(true).append(true).open(directory.path().join("errors")).expect("a log"));
        if let Some(Library::Loaded(source)) = program.library {
            command.env("DSU_TEST_LIBRARY", shared_library(source));
        }
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("starting {}: {error}", executable.display()));
        let pid = Pid::from_raw(child.id() as i32);
        let end = Instant::now() + deadline::PROGRAM;
        let name = program.name.to_owned();
        Target { name, pid, marker, directory, input, output, unread: Vec::new(), end, reaped: false }
    }

    /// Process ID, the same for the whole life of the program.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// A path for a file of the test's, outside the program's working directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Waits for the next thing that the program says.
    pub fn event(&mut self) -> Event {
        loop {
            if let Some(line) = self.take_line() {
                return classify(line);
            }
            assert!(Instant::now() < self.end, "{}: nothing said in time; {}", self.name, self.log());
            self.wait_for_output(Duration::from_millis(20));
            if !self.receive() && self.has_ended() && !self.receive() {
                return Event::Ended(self.reap().unwrap_or_else(|| "it is gone".to_owned()));
            }
        }
    }

    /// Tells a waiting program to go on; its code must now be that of version `number`.
    pub fn go(&mut self, number: u32) {
        self.input.write_all(format!("go {number}\n").as_bytes()).expect("the FIFO takes a line");
    }

    /// Waits for the end of a program that found itself right: it must exit with 0 and leave nothing behind.
    pub fn finish(mut self) {
        let limit = self.end.saturating_duration_since(Instant::now());
        let status = deadline::until(limit, || self.reap());
        assert_eq!(status.as_deref(), Some("exit status 0"), "{}: {}", self.name, self.log());
        self.reaped = true;
        let mut left = Vec::new();
        let none_left = deadline::until(Duration::from_secs(5), || {
            left = leaks::find(&self.marker, self.pid);
            left.is_empty().then_some(())
        });
        assert!(none_left.is_some(), "{}: processes left behind: {left:?}", self.name);
    }

    /// Waits until the process is gone and takes its status, as after `dsu checkpoint --then kill`.
    pub fn await_end(&mut self) -> String {
        let limit = self.end.saturating_duration_since(Instant::now());
        deadline::until(limit, || self.reap()).unwrap_or_else(|| panic!("{}: does not end; {}", self.name, self.log()))
    }

    /// Whether the process is alive: there, and no zombie.
    pub fn is_alive(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .is_ok_and(|text| text.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
    }

    /// What the program wrote to its standard error, for messages.
    pub fn log(&self) -> String {
        let errors = fs::read_to_string(self.directory.path().join("errors")).unwrap_or_default();
        format!("process {}, alive: {}, its standard error: {errors:?}", self.pid, self.is_alive())
    }

    fn take_line(&mut self) -> Option<String> {
        let length = self.unread.iter().position(|&byte| byte == b'\n')?;
        let line = self.unread.drain(..=length).collect::<Vec<u8>>();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    fn wait_for_output(&self, limit: Duration) {
        let mut set = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
        // A signal or a time-out only leads to another look.
        let _ = poll(&mut set, PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO));
    }

    /// Takes what is in the FIFO; whether there was anything.
    fn receive(&mut self) -> bool {
        let mut bytes = [0; 4096];
        match self.output.read(&mut bytes) {
            Ok(length) => {
                self.unread.extend_from_slice(&bytes[..length]);
                length > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => false,
            Err(error) => panic!("{}: reading its output: {error}", self.name),
        }
    }

    /// Whether the process has ended and waits to be reaped, or is no child of ours and gone.
    fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.pid), flags) {
            Ok(status) => !matches!(status, WaitStatus::StillAlive),
            Err(_) => !self.is_alive(),
        }
    }

    /// Reaps the process if it has ended, and says how.
    fn reap(&mut self) -> Option<String> {
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => Some(format!("exit status {code}")),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(format!("killed by {signal}")),
            _ => None,
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.reaped {
            leaks::end(&self.marker, self.pid);
        }
    }
}

fn classify(line: String) -> Event {
    match line.as_str() {
        "ready" => Event::Ready,
        "ok" => Event::Right,
        _ => match line.strip_prefix("skip: ") {
            Some(reason) => Event::Skipped(reason.to_owned()),
            None => Event::Wrong(line),
        },
    }
}

/// Makes this process the parent of every descendant that loses its own (restored programs, and whatever is left over), and
/// closes what it inherited beyond the standard streams: a program that had a pipe of the shell's could not be restored.
fn prepare_driver() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        nix::sys::prctl::set_child_subreaper(true).expect("PR_SET_CHILD_SUBREAPER");
        let entries = fs::read_dir("/proc/self/fd").expect("the driver's own descriptors");
        let numbers: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        for number in numbers.into_iter().filter(|number| *number > 2 && is_inherited(*number)) {
            nix::unistd::close(number).expect("an inherited descriptor is closed");
        }
    });
}

/// Whether a program would inherit the descriptor. What this process opens itself, it would not.
fn is_inherited(number: i32) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| i32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
    flags.is_some_and(|flags| flags & nix::libc::O_CLOEXEC == 0)
}

/// Standard streams for a command whose output goes to files of the test's.
pub(crate) fn to_file(path: &Path) -> Stdio {
    Stdio::from(File::create(path).unwrap_or_else(|error| panic!("creating {}: {error}", path.display())))
}
