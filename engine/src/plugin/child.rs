//! A plugin's process, and the pipes to it: every byte has a deadline.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::sandbox::Limits;
use super::session::Launcher;

/// How much of standard error a message quotes.
const QUOTED: u64 = 2048;
/// Bytes that a pipe holds, where it may: the most that any user is given.
const PIPE_SIZE: i32 = 1 << 20;
/// A killed process ends at once.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A plugin that runs. Dropping it kills it.
#[derive(Debug)]
pub(super) struct PluginProcess {
    child: Child,
    to: Option<File>,
    from: File,
    stderr: File,
    /// When the step in progress must be over.
    pub(super) deadline: Instant,
}

impl PluginProcess {
    /// Starts `path` with `arguments` through the launcher.
    pub(super) fn start(launcher: &Launcher, path: &Path, arguments: &[OsString], limits: Limits) -> io::Result<Self> {
        // The child starts elsewhere.
        let path = std::path::absolute(path)?;
        let stderr = tempfile::tempfile()?;
        let mut child = Command::new(&launcher.program)
            .args(&launcher.arguments)
            .arg(path)
            .arg(limits.processor_s.to_string())
            .arg(limits.memory.to_string())
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone()?)
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let (to, from) = (File::from(OwnedFd::from(stdin)), File::from(OwnedFd::from(stdout)));
        fcntl(&to, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // A batch goes through in few pieces. Where a user has no room left for pipes, small ones do, too.
        let _ = fcntl(&to, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE)).and_then(|_| fcntl(&from, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE)));
        Ok(Self { child, to: Some(to), from, stderr, deadline: Instant::now() })
    }

    /// Waits for its end, kills it if that does not come, and says how it ended and what it last said.
    pub(super) fn end(&mut self) -> (String, String) {
        self.to = None;
        self.deadline = Instant::now() + END_LIMIT;
        // Its end closes its output, and what is still in the pipe is of no use any more.
        let mut rest = [0; 4096];
        loop {
            match self.read(&mut rest) {
                Ok(1..) => {}
                // While a process is stopped, a tick interrupts every wait of this thread.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        // A process that has ended keeps the status that it ended with.
        let _ = self.child.kill();
        let status = match self.child.wait() {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit code {code}"),
                (None, signal) => format!("signal {}", signal.unwrap_or_default()),
            },
            Err(error) => error.to_string(),
        };
        (status, self.last_words().unwrap_or_default())
    }

    fn last_words(&mut self) -> io::Result<String> {
        let length = self.stderr.seek(SeekFrom::End(0))?;
        self.stderr.seek(SeekFrom::Start(length.saturating_sub(QUOTED)))?;
        let mut words = Vec::new();
        Read::by_ref(&mut self.stderr).take(QUOTED).read_to_end(&mut words)?;
        Ok(String::from_utf8_lossy(&words).trim().to_owned())
    }
}

impl Drop for PluginProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Read for PluginProcess {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        await_ready(&self.from, PollFlags::POLLIN, self.deadline)?;
        self.from.read(buffer)
    }
}

impl Write for PluginProcess {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(to) = &mut self.to else { return Err(io::ErrorKind::BrokenPipe.into()) };
        loop {
            await_ready(to, PollFlags::POLLOUT, self.deadline)?;
            match to.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn await_ready(file: &File, flags: PollFlags, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(file.as_fd(), flags)], timeout) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) => Ok(()),
        Err(nix::errno::Errno::EINTR) => Err(io::ErrorKind::Interrupted.into()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracee::ticker::Ticker;

    #[test]
    fn ticks_do_not_cut_its_end_short() {
        let script = "read line; for turn in 1 2 3 4 5 6 7 8 9 10; do sleep 0.02; done; exit 7";
        let launcher = Launcher { program: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] };
        let _ticker = Ticker::start().unwrap();
        let mut process = PluginProcess::start(&launcher, Path::new("/"), &[], Limits::default()).unwrap();
        assert_eq!(process.end().0, "exit code 7");
    }
}
