//! `/proc/PID/task/TID/status`: credentials, signal sets, seccomp of one thread (Documentation/filesystems/proc.rst).

use std::collections::HashMap;

use dsu_formats::model::latest::Capabilities;

use super::proc;
use crate::tracee::error::TraceeError;

/// The fields of one thread's status that the engine uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The thread's name; `None` for one that the file shows with escapes.
    pub name: Option<Vec<u8>>,
    /// Real, effective, saved and file-system user.
    pub uids: [u32; 4],
    /// Real, effective, saved and file-system group.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Capability sets.
    pub capabilities: Capabilities,
    /// Whether new privileges are refused.
    pub no_new_privs: bool,
    /// Seccomp mode: 0 none, 1 strict, 2 filter.
    pub seccomp_mode: u8,
    /// Number of seccomp filters; zero on kernels before 5.9, which do not tell.
    pub seccomp_filters: u32,
    /// File-mode creation mask.
    pub umask: u32,
    /// Signals that are ignored, bit `n - 1` for signal `n`.
    pub ignored: u64,
    /// Signals with a handler, likewise.
    pub caught: u64,
    /// Parent.
    pub ppid: i32,
}

impl Status {
    /// Reads the status of thread `tid` of process `pid`.
    pub fn read(pid: i32, tid: i32) -> Result<Self, TraceeError> {
        let name = format!("task/{tid}/status");
        Self::parse(&format!("/proc/{pid}/{name}"), &proc::text(pid, &name)?)
    }

    /// Parses the text of a status file; `path` is for messages.
    pub fn parse(path: &str, text: &str) -> Result<Self, TraceeError> {
        let fields = Fields { path, values: text.lines().filter_map(|line| line.split_once(':')).collect() };
        Ok(Self {
            name: fields.plain_name(),
            uids: fields.four("Uid", "four user IDs")?,
            gids: fields.four("Gid", "four group IDs")?,
            groups: fields.list("Groups", "group IDs")?,
            capabilities: Capabilities {
                effective: fields.mask("CapEff")?,
                permitted: fields.mask("CapPrm")?,
                inheritable: fields.mask("CapInh")?,
                bounding: fields.mask("CapBnd")?,
                ambient: fields.mask("CapAmb")?,
            },
            no_new_privs: fields.number::<u8>("NoNewPrivs", "0 or 1")? != 0,
            seccomp_mode: fields.optional("Seccomp", "a seccomp mode")?.unwrap_or(0),
            seccomp_filters: fields.optional("Seccomp_filters", "a number of filters")?.unwrap_or(0),
            umask: proc::octal(path, "an octal Umask", fields.word("Umask", "an octal Umask")?)?,
            ignored: fields.mask("SigIgn")?,
            caught: fields.mask("SigCgt")?,
            ppid: fields.number("PPid", "a parent")?,
        })
    }
}

/// Lines `Name: value` of one file.
struct Fields<'a> {
    path: &'a str,
    values: HashMap<&'a str, &'a str>,
}

impl<'a> Fields<'a> {
    fn word(&self, name: &str, expected: &'static str) -> Result<&'a str, TraceeError> {
        self.values.get(name).copied().ok_or_else(|| proc::unexpected(self.path, expected, &format!("no line {name}")))
    }

    /// The kernel escapes newlines and backslashes; bytes that are no UTF-8 were replaced when the file was read.
    fn plain_name(&self) -> Option<Vec<u8>> {
        let name = self.values.get("Name")?.strip_prefix('\t')?;
        (!name.contains(['\\', char::REPLACEMENT_CHARACTER])).then(|| name.as_bytes().to_vec())
    }

    fn number<T: std::str::FromStr>(&self, name: &str, expected: &'static str) -> Result<T, TraceeError> {
        proc::decimal(self.path, expected, self.word(name, expected)?)
    }

    fn optional<T: std::str::FromStr>(&self, name: &str, expected: &'static str) -> Result<Option<T>, TraceeError> {
        self.values.get(name).map(|word| proc::decimal(self.path, expected, word)).transpose()
    }

    fn list(&self, name: &str, expected: &'static str) -> Result<Vec<u32>, TraceeError> {
        self.word(name, expected)?.split_whitespace().map(|word| proc::decimal(self.path, expected, word)).collect()
    }

    fn four(&self, name: &str, expected: &'static str) -> Result<[u32; 4], TraceeError> {
        let list = self.list(name, expected)?;
        list.try_into().map_err(|list: Vec<u32>| proc::unexpected(self.path, expected, &format!("{list:?}")))
    }

    fn mask(&self, name: &str) -> Result<u64, TraceeError> {
        proc::hexadecimal(self.path, "a hexadecimal mask", self.word(name, "a hexadecimal mask")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_status_agrees_with_the_system_calls() {
        let pid = std::process::id() as i32;
        let status = Status::read(pid, pid).unwrap();
        assert_eq!(status.uids[0], nix::unistd::getuid().as_raw());
        assert_eq!(status.gids[1], nix::unistd::getegid().as_raw());
        assert_eq!(status.ppid, nix::unistd::getppid().as_raw());
        // The Rust runtime ignores SIGPIPE.
        assert_ne!(status.ignored & (1 << (libc::SIGPIPE - 1)), 0);
    }

    #[test]
    fn a_missing_line_is_named() {
        let error = Status::parse("status", "Uid:\t0\t0\t0\t0\n").unwrap_err();
        assert!(error.to_string().contains("no line Gid"), "{error}");
    }

    #[test]
    fn three_users_are_refused() {
        assert!(Status::parse("status", "Uid:\t0\t0\t0\n").unwrap_err().to_string().contains("four user IDs"));
    }
}
