//! Small C programs compiled at test time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::build::{Build, DebugSearch};
use super::elf::Elf;

/// A directory with one compiled program or library in it.
pub(crate) struct Compiled {
    /// Holds the files; removed when dropped.
    pub(crate) directory: TempDir,
    /// The linked object.
    pub(crate) path: PathBuf,
}

impl Compiled {
    /// Compiles `source` as `name.c` with `cc FLAGS`.
    pub(crate) fn new(name: &str, source: &str, flags: &[&str]) -> Self {
        Self::files(&[(name, source)], flags)
    }

    /// Compiles several files, given as (name without `.c`, source), into a program called after the first.
    pub(crate) fn files(sources: &[(&str, &str)], flags: &[&str]) -> Self {
        Self::with("cc", sources, flags)
    }

    /// As [`Compiled::files`] with a certain compiler.
    pub(crate) fn with(compiler: &str, sources: &[(&str, &str)], flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory for the test");
        for (name, source) in sources {
            std::fs::write(directory.path().join(format!("{name}.c")), source).expect("source written");
        }
        let path = directory.path().join(sources[0].0);
        let mut cc = Command::new(compiler);
        cc.current_dir(directory.path())
            .arg("-o")
            .arg(&path)
            .args(sources.iter().map(|(name, _)| format!("{name}.c")))
            .args(flags);
        run(&mut cc);
        Self { directory, path }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).expect("compiled file")
    }

    /// Its ELF.
    pub(crate) fn elf(&self) -> Elf {
        Elf::parse(self.bytes().into()).expect("a compiler's output parses")
    }

    /// It with its debug information, looked for nowhere else.
    pub(crate) fn build(&self) -> Build {
        Build::open(&self.path, &DebugSearch { directories: Vec::new() }).expect("a compiler's output is read")
    }

    /// Runs a tool (`objcopy`, `strip`, …) in its directory.
    pub(crate) fn tool(&self, program: &str, arguments: &[&str]) -> String {
        run(Command::new(program).current_dir(self.directory.path()).args(arguments))
    }

    /// Runs a tool that may lack the feature; whether it succeeded.
    pub(crate) fn try_tool(&self, program: &str, arguments: &[&str]) -> bool {
        let output = Command::new(program).current_dir(self.directory.path()).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    }
}

/// Runs a command that has to succeed and gives its standard output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("the tool is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The ELF of a file that is installed.
pub(crate) fn installed(path: &str) -> Option<Elf> {
    let bytes: Arc<[u8]> = std::fs::read(Path::new(path)).ok()?.into();
    Some(Elf::parse(bytes).expect("an installed file parses"))
}
