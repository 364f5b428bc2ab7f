//! `/proc/PID/fdinfo/N`: position, flags, locks and the state of each kind of descriptor (fs/proc/fd.c, `show_fdinfo` of each).

use dsu_formats::model::latest::{EpollWatch, FileLock};

use super::super::proc;
use crate::tracee::error::TraceeError;

/// A parsed fdinfo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FdInfo {
    /// `pos`.
    pub(crate) position: u64,
    /// `flags`, O_CLOEXEC included.
    pub(crate) flags: u32,
    /// `lock` lines.
    pub(crate) locks: Vec<FileLock>,
    /// `tfd` lines.
    pub(crate) watches: Vec<EpollWatch>,
    /// Every other line.
    rest: Vec<String>,
    path: String,
}

impl FdInfo {
    pub(crate) fn read(pid: i32, number: i32) -> Result<Self, TraceeError> {
        let name = format!("fdinfo/{number}");
        Self::parse(&format!("/proc/{pid}/{name}"), &proc::text(pid, &name)?)
    }

    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, TraceeError> {
        let mut info = Self { path: path.to_owned(), ..Self::default() };
        let mut flags = None;
        for line in text.lines() {
            match line.split_once(':') {
                Some(("pos", value)) => info.position = proc::decimal::<i64>(path, "a file position", value)? as u64,
                Some(("flags", value)) => flags = Some(proc::octal(path, "octal flags", value)?),
                Some(("lock", value)) => info.locks.push(parse_lock(path, value)?),
                Some(("tfd", value)) => info.watches.push(parse_watch(path, value)?),
                _ => info.rest.push(line.to_owned()),
            }
        }
        info.flags = flags.ok_or_else(|| proc::unexpected(path, "a line `flags`", text))?;
        Ok(info)
    }

    /// The value behind `label:` in a line of its own.
    pub(crate) fn value(&self, label: &str) -> Option<&str> {
        self.rest.iter().find_map(|line| line.strip_prefix(label)?.strip_prefix(':')).map(str::trim)
    }

    /// The same for a value that must be there.
    pub(crate) fn required(&self, label: &'static str) -> Result<&str, TraceeError> {
        self.value(label).ok_or_else(|| proc::unexpected(self.path.as_str(), label, "no such line"))
    }

    pub(crate) fn decimal<T: std::str::FromStr>(&self, label: &'static str) -> Result<T, TraceeError> {
        proc::decimal(&self.path, label, self.required(label)?)
    }

    pub(crate) fn hexadecimal(&self, label: &'static str) -> Result<u64, TraceeError> {
        proc::hexadecimal(&self.path, label, self.required(label)?)
    }

    pub(crate) fn octal(&self, label: &'static str) -> Result<u32, TraceeError> {
        proc::octal(&self.path, label, self.required(label)?)
    }

    /// `(seconds, nanoseconds)` in nanoseconds.
    pub(crate) fn pair_ns(&self, label: &'static str) -> Result<u64, TraceeError> {
        let text = self.required(label)?;
        let wrong = || proc::unexpected(self.path.as_str(), "`(seconds, nanoseconds)`", text);
        let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(wrong)?;
        let (seconds, nanoseconds) = inner.split_once(',').ok_or_else(wrong)?;
        let seconds: u64 = proc::decimal(&self.path, "seconds", seconds)?;
        let nanoseconds: u64 = proc::decimal(&self.path, "nanoseconds", nanoseconds)?;
        Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
    }

    /// The lines that start with `word`.
    pub(crate) fn lines_of(&self, word: &str) -> Vec<String> {
        self.rest.iter().filter(|line| line.starts_with(word)).cloned().collect()
    }
}

/// ` 1: POSIX  ADVISORY  WRITE 1234 08:01:5678 0 EOF` (fs/locks.c, `lock_get_status`).
fn parse_lock(path: &str, text: &str) -> Result<FileLock, TraceeError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[_, class, _, access, _, _, start, end] = words.as_slice() else {
        return Err(proc::unexpected(path, "a lock of eight words", text));
    };
    Ok(FileLock {
        class: class.to_owned(),
        write: access == "WRITE",
        start: proc::decimal(path, "the first byte of a lock", start)?,
        end: if end == "EOF" { u64::MAX } else { proc::decimal(path, "the last byte of a lock", end)? },
    })
}

/// `        5 events:       19 data:     7ffe1234  pos:0 ino:3b sdev:8` (fs/eventpoll.c, `ep_show_fdinfo`).
fn parse_watch(path: &str, text: &str) -> Result<EpollWatch, TraceeError> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let wrong = || proc::unexpected(path, "`number events: mask data: word … ino:number`", text);
    let after = |label: &str| -> Result<&str, TraceeError> {
        let at = words.iter().position(|word| word.starts_with(label)).ok_or_else(wrong)?;
        let rest = words[at].strip_prefix(label).unwrap_or("");
        if rest.is_empty() { words.get(at + 1).copied().ok_or_else(wrong) } else { Ok(rest) }
    };
    Ok(EpollWatch {
        descriptor: proc::decimal(path, "the number of a watched descriptor", words.first().copied().unwrap_or(""))?,
        events: proc::hexadecimal(path, "hexadecimal events", after("events:")?)? as u32,
        data: proc::hexadecimal(path, "a hexadecimal word", after("data:")?)?,
        inode: proc::hexadecimal(path, "a hexadecimal inode", after("ino:")?)?,
        description: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_is_read() {
        let text = "pos:\t17\nflags:\t02100002\nmnt_id:\t15\nino:\t1057\n\
            lock:\t1: FLOCK  ADVISORY  WRITE 77 fe:00:1057 0 EOF\nlock:\t2: POSIX  ADVISORY  READ 77 fe:00:1057 5 9\n\
            tfd:        5 events: 80000019 data: ffffffff00000005  pos:0 ino:2f sdev:8\n\
            it_value: (3, 500)\nsettime flags: 01\n";
        let info = FdInfo::parse("fdinfo", text).unwrap();
        assert_eq!((info.position, info.flags), (17, 0o2100002));
        let lock = |class: &str, write, start, end| FileLock { class: class.to_owned(), write, start, end };
        assert_eq!(info.locks, [lock("FLOCK", true, 0, u64::MAX), lock("POSIX", false, 5, 9)]);
        let watch =
            EpollWatch { descriptor: 5, events: 0x8000_0019, data: 0xffff_ffff_0000_0005, inode: 0x2f, description: None };
        assert_eq!(info.watches, [watch]);
        assert_eq!(info.pair_ns("it_value").unwrap(), 3_000_000_500);
        assert_eq!(info.octal("settime flags").unwrap(), 1);
        assert!(info.decimal::<u64>("ticks").unwrap_err().to_string().contains("ticks"));
    }

    #[test]
    fn broken_lines_are_errors() {
        for text in
            ["pos:\t1\n", "flags:\t9\n", "flags:\t0\nlock:\t1: FLOCK\n", "flags:\t0\ntfd: x\n", "flags:\t0\ntfd: 5 events:\n"]
        {
            assert!(FdInfo::parse("fdinfo", text).is_err(), "{text:?}");
        }
    }
}
