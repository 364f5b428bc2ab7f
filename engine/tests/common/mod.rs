//! Programs in C that tests compile, start and talk to over pipes.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running program; killed and reaped when dropped.
pub struct Program {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Compiles `engine/tests/programs/NAME.c` into `directory`.
    pub fn compile(name: &str, directory: &Path, flags: &[&str]) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name).with_extension("c");
        let binary = directory.join(name);
        let status = Command::new("cc")
            .args(["-O2", "-g", "-pthread", "-o"])
            .arg(&binary)
            .arg(&source)
            .args(flags)
            .status()
            .expect("cc can be started");
        assert!(status.success(), "cc failed on {}", source.display());
        binary
    }

    pub fn start(binary: &Path) -> Self {
        Self::spawn(&mut Command::new(binary))
    }

    /// Starts what `command` says.
    pub fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program can be started");
        let input = child.stdin.take().expect("stdin is piped");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, input, output }
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends a line and returns the line that answers it. A program that does not answer is a failure, not a hang.
    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").expect("the program reads its input");
        self.line()
    }

    /// The next line that the program says by itself.
    pub fn line(&mut self) -> String {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd;
        // Lines that came together are in the buffer.
        if self.output.buffer().is_empty() {
            let mut ready = [PollFd::new(self.output.get_ref().as_fd(), PollFlags::POLLIN)];
            let answered = poll(&mut ready, PollTimeout::from(20_000u16)).expect("its output can be waited for");
            assert_eq!(answered, 1, "the program does not answer");
        }
        let mut answer = String::new();
        self.output.read_line(&mut answer).expect("the program answers");
        answer.trim_end().to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
