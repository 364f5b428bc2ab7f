//! Builds that cannot be read.

use std::path::Path;

use dsu_engine::program::error::ProgramError;

use super::system::io_verdict;
use super::{Exit, Failure, Sorted, State, Subject, Verdict};

/// A program that a command only reads.
pub fn program_failure(error: &ProgramError, path: &Path) -> Failure {
    let mut failure = Failure::sorted(error, error.verdict(&Subject::File(path)), State::Nothing);
    failure.chain.insert(0, format!("the program {} cannot be used", path.display()));
    failure
}

impl Sorted for ProgramError {
    fn verdict(&self, subject: &Subject<'_>) -> Verdict {
        let (code, hint) = match self {
            ProgramError::Read { source, .. } => return io_verdict(source, subject),
            ProgramError::NotElf { .. } => {
                ("not-elf", "name the compiled program itself, not a script that starts it; `file FILE` shows what a file is")
            }
            ProgramError::Unsupported { .. } => (
                "unsupported-elf",
                "build the program for 64-bit x86-64 Linux, as the running one was; `readelf -h FILE` shows it",
            ),
            ProgramError::Corrupt { .. } => ("corrupt-elf", "the file is damaged or was cut short: build or install it again"),
            ProgramError::Dwarf { .. } | ProgramError::Compressed { .. } | ProgramError::Join { .. } => (
                "corrupt-debug-info",
                "build the program again with -g; `readelf --debug-dump=info FILE` shows whether others can read it",
            ),
            ProgramError::SplitDebug { .. } => (
                "split-debug-info",
                "keep the .dwo files, or the .dwp package, where the build left them or beside the program, and build without dwz",
            ),
            ProgramError::NoDebugInfo { .. } => (
                "no-debug-info",
                "build it with -g, install its debug package (NAME-dbgsym), or name a directory that holds the debug file with --debug-dir",
            ),
        };
        Verdict::new(Exit::Failed, code, hint)
    }
}
