//! One line in the system log for every update: who, which process, from which build to which, and how it ended.
//!
//! Best effort: an update never fails, and never waits long, because of the log.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ReadCache};
use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

use super::failure::Exit;
use super::output::{human, json};

/// A log that takes longer is left alone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Build-ids of the programs on both sides of an update, as far as they can be read.
#[derive(Clone, Debug, Default)]
pub struct BuildIds {
    old: Option<Vec<u8>>,
    new: Option<Vec<u8>>,
}

impl BuildIds {
    /// Reads them before the update: afterwards the old one may be gone.
    pub fn before(pid: i32, program: &Path) -> Self {
        Self { old: build_id(Path::new(&format!("/proc/{pid}/exe"))), new: build_id(program) }
    }
}

fn build_id(path: &Path) -> Option<Vec<u8>> {
    // Opening a FIFO would wait for its other end.
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let cache = ReadCache::new(std::fs::File::open(path).ok()?);
    let elf: ElfFile64<'_, Endianness, _> = ElfFile64::parse(&cache).ok()?;
    elf.build_id().ok()?.map(<[u8]>::to_vec)
}

/// One line.
pub struct Entry {
    /// What was done.
    pub action: &'static str,
    /// To which process.
    pub pid: i32,
    /// From which build to which.
    pub build_ids: Option<BuildIds>,
    /// How it counts.
    pub exit: Exit,
    /// How it ended, in words.
    pub result: String,
}

impl Entry {
    /// Writes the line, or gives up.
    pub fn write(self) {
        let (done, waiting) = mpsc::channel();
        std::thread::spawn(move || {
            if let Err(error) = self.send() {
                tracing::info!(%error, "nothing was written to the system log");
            }
            let _ = done.send(());
        });
        // Disconnected or late: either way nobody waits any longer.
        let _ = waiting.recv_timeout(PATIENCE);
    }

    fn send(&self) -> syslog::Result<()> {
        let formatter =
            Formatter3164 { facility: Facility::LOG_DAEMON, hostname: None, process: "dsu".to_owned(), pid: std::process::id() };
        let mut logger: Logger<LoggerBackend, Formatter3164> = match std::env::var_os("DSU_SYSLOG_SOCKET") {
            Some(path) => syslog::unix_custom(formatter, path)?,
            None => syslog::unix(formatter)?,
        };
        let line = self.line();
        match self.exit {
            Exit::Done => logger.notice(line),
            Exit::Parked => logger.err(line),
            _ => logger.warning(line),
        }
    }

    fn line(&self) -> String {
        let build_id = |id: &Option<Vec<u8>>| id.as_deref().map_or_else(|| "unknown".to_owned(), json::hex);
        let builds =
            self.build_ids.as_ref().map_or(String::new(), |ids| format!(", {} to {}", build_id(&ids.old), build_id(&ids.new)));
        let line =
            format!("{} of process {} by {}{builds}: exit {}, {}", self.action, self.pid, who(), self.exit.code(), self.result);
        human::printable(&line)
    }
}

/// The user that runs dsu, and the one that sudo was called by.
fn who() -> String {
    let uid = nix::unistd::getuid();
    let name = nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(String::new, |user| format!(" ({})", user.name));
    let sudo = std::env::var("SUDO_USER").map_or_else(|_| String::new(), |user| format!(", sudo from {user}"));
    format!("user {uid}{name}{sudo}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_who_what_from_where_to_where_and_how_it_ended() {
        let build_ids = Some(BuildIds { old: Some(vec![0xab, 0xcd]), new: None });
        let entry = Entry { action: "update", pid: 42, build_ids, exit: Exit::Blocked, result: "blocked:\nx".to_owned() };
        let line = entry.line();
        for fact in ["update of process 42", "by user ", "abcd to unknown", "exit 3", "blocked:\\nx"] {
            assert!(line.contains(fact), "`{fact}` is not in: {line}");
        }
    }

    #[test]
    fn build_ids_are_read_from_programs_only() {
        assert_eq!(build_id(Path::new("/")), None);
        assert_eq!(build_id(Path::new("/etc/passwd")), None);
        assert_eq!(build_id(Path::new("/proc/self/exe")), build_id(&std::env::current_exe().unwrap()));
    }
}
