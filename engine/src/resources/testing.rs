//! Real processes for the tests of this module: small C programs, compiled on the spot, that say when they are ready.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::tracee::borrowed::Borrowed;

/// What every program starts with: `say` writes one line to the test, `wait_for_end` blocks until the test closes the pipe.
const PRELUDE: &str = r#"
    #define _GNU_SOURCE
    #include <stdarg.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <unistd.h>
    #define CHECK(e) do { if ((long)(e) == -1L) { perror(#e); exit(99); } } while (0)
    static void say(const char *format, ...) {
        va_list list;
        va_start(list, format);
        vdprintf(1, format, list);
        va_end(list);
        if (write(1, "\n", 1) != 1) exit(98);
    }
    static void wait_for_end(void) {
        char byte;
        while (read(0, &byte, 1) > 0) {}
    }
"#;

/// A running program; killed and reaped when dropped.
pub(crate) struct Target {
    child: Child,
    /// Open as long as the program may run: it ends when it reads the end of this pipe.
    _input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    program: PathBuf,
    directory: Option<tempfile::TempDir>,
}

impl Target {
    /// Compiles and starts a program with `source`, linked with pthreads.
    pub(crate) fn start(source: &str) -> Self {
        Self::start_with(source, &[])
    }

    /// A program that only waits, whatever becomes of its descriptors; it ends with the test.
    pub(crate) fn idle() -> Self {
        let mut target = Self::start(
            r#"
            #include <signal.h>
            #include <sys/prctl.h>
            int main(void) {
                CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL));
                say("ready");
                for (;;) pause();
            }"#,
        );
        target.line();
        target
    }

    /// Like [`Target::start`], with further options for the compiler.
    pub(crate) fn start_with(source: &str, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("target.c");
        std::fs::write(&file, format!("{PRELUDE}\n{source}")).unwrap();
        let program = directory.path().canonicalize().unwrap().join("target");
        let compiler = Command::new("cc")
            .args(["-O1", "-g", "-w", "-pthread", "-o"])
            .arg(&program)
            .arg(&file)
            .args(options)
            .output()
            .unwrap();
        assert!(compiler.status.success(), "cc: {}", String::from_utf8_lossy(&compiler.stderr));
        let mut child =
            Command::new(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir(directory.path()).spawn().unwrap();
        let _input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, _input, output, program, directory: Some(directory) }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Stops the program and makes its threads able to run injected calls; dropping the result lets it go on.
    pub(crate) fn borrow(&self) -> Borrowed {
        let deadline = Instant::now() + Duration::from_secs(10);
        crate::tracee::target::Target::open(self.pid()).unwrap().stop(deadline).unwrap().borrow().unwrap()
    }

    /// The next line that the program says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the program ended before it said a whole line: {line:?}");
        line.trim_end().to_owned()
    }

    /// The next line, a hexadecimal address.
    pub(crate) fn address(&mut self) -> u64 {
        let line = self.line();
        u64::from_str_radix(line.trim_start_matches("0x"), 16).unwrap()
    }

    /// Ends the program and returns the directory that it ran in.
    pub(crate) fn end(mut self) -> tempfile::TempDir {
        self.kill();
        self.directory.take().unwrap()
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.kill();
    }
}
