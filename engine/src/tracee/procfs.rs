//! The few files of `/proc` that taking and letting go of a process needs. Resources read theirs through [`read`].

use std::cell::RefCell;
use std::fs;
use std::io::Read;

use super::error::TraceeError;

/// Reads `/proc/PID/NAME` whole.
pub fn read(pid: i32, name: &str) -> Result<Vec<u8>, TraceeError> {
    let path = format!("/proc/{pid}/{name}");
    read_path(&path).map_err(|source| TraceeError::Proc { path, source })
}

/// Reads a file of `/proc` whole. The kernel says nothing of its length, so that `std::fs::read` would start with a few bytes
/// and come back for more and more; some hundred such files are read while a process stands still.
fn read_path(path: &str) -> std::io::Result<Vec<u8>> {
    const ROOM: usize = 64 * 1024;
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; ROOM]);
    }
    let mut file = fs::File::open(path)?;
    BUFFER.with_borrow_mut(|buffer| {
        let mut bytes = Vec::new();
        loop {
            match file.read(buffer) {
                Ok(0) => return Ok(bytes),
                Ok(length) => bytes.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    })
}

/// Reads `/proc/PID/NAME` as text; bytes that are no UTF-8 are replaced.
pub fn read_text(pid: i32, name: &str) -> Result<String, TraceeError> {
    read(pid, name).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Value of a `Key:` line of `/proc/PID/status`, trimmed.
pub fn status_field<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

/// IDs of the live threads of a process, ascending.
pub fn thread_ids(pid: i32) -> Result<Vec<i32>, TraceeError> {
    numbers_in(format!("/proc/{pid}/task"))
}

/// Numbers of the open descriptors of a process, ascending.
pub fn descriptor_numbers(pid: i32) -> Result<Vec<i32>, TraceeError> {
    numbers_in(format!("/proc/{pid}/fd"))
}

fn numbers_in(path: String) -> Result<Vec<i32>, TraceeError> {
    let failed = |source| TraceeError::Proc { path: path.clone(), source };
    let mut ids = Vec::new();
    for entry in fs::read_dir(&path).map_err(failed)? {
        if let Some(tid) = entry.map_err(failed)?.file_name().to_str().and_then(|name| name.parse().ok()) {
            ids.push(tid);
        }
    }
    ids.sort_unstable();
    Ok(ids)
}

/// State letter of a task (`R`, `S`, `D`, `T`, `t`, `Z`, …), if it exists.
pub fn state(tid: i32) -> Option<char> {
    let stat = read_text(tid, "stat").ok()?;
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Start time of a process in clock ticks since boot (field 22 of `/proc/PID/stat`): tells it from a later one with its ID.
pub fn start_time(pid: i32) -> Result<u64, TraceeError> {
    let text = read_text(pid, "stat")?;
    let field = text.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    field.and_then(|word| word.parse().ok()).ok_or_else(|| TraceeError::ProcText {
        path: format!("/proc/{pid}/stat"),
        expected: "a start time in field 22",
        found: text.clone(),
    })
}

/// Whether a task waits in a system call other than an exec, or is stopped (`/proc/PID/syscall`: the number of the call, -1 outside of
/// one, or `running`).
pub fn is_at_rest(tid: i32) -> bool {
    let text = read_text(tid, "syscall").unwrap_or_default();
    let number = text.split_whitespace().next().and_then(|word| word.parse::<i64>().ok());
    number.is_some_and(|number| ![libc::SYS_execve, libc::SYS_execveat].contains(&number))
}

/// Whether a task is gone or waits to be reaped.
pub fn has_ended(tid: i32) -> bool {
    matches!(state(tid), None | Some('Z' | 'X'))
}

/// Whether a task has been sent SIGKILL, or is on its way out already (PF_EXITING, `include/linux/sched.h`).
pub fn is_killed(tid: i32) -> bool {
    const SIGKILL_BIT: u64 = 1 << (libc::SIGKILL - 1);
    const PF_EXITING: u64 = 0x4;
    let pending = |status: &str, key| status_field(status, key).and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let Ok(status) = read_text(tid, "status") else { return true };
    if ["SigPnd", "ShdPnd"].iter().any(|key| pending(&status, key).is_some_and(|mask| mask & SIGKILL_BIT != 0)) {
        return true;
    }
    let Ok(stat) = read_text(tid, "stat") else { return true };
    let flags = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & PF_EXITING != 0)
}

/// Words for messages about a thread that does not react.
pub fn describe_state(tid: i32) -> String {
    let wait = read_text(tid, "wchan").unwrap_or_default();
    match state(tid) {
        None => "it is gone".to_owned(),
        Some(letter) if wait.is_empty() || wait == "0" => format!("state {letter}"),
        Some(letter) => format!("state {letter}, in {wait}"),
    }
}

/// One line of `/proc/PID/maps`, as far as the search for code needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapLine {
    /// First address.
    pub start: u64,
    /// First address past it.
    pub end: u64,
    /// `rwxp` field.
    pub access: String,
    /// Offset in the file.
    pub offset: u64,
    /// Inode; 0 for anonymous memory.
    pub inode: u64,
    /// Path or bracketed name; may be empty.
    pub name: String,
}

/// Parses `/proc/PID/maps`.
pub fn maps(pid: i32) -> Result<Vec<MapLine>, TraceeError> {
    let text = read_text(pid, "maps")?;
    text.lines()
        .map(|line| {
            parse_map_line(line).ok_or_else(|| TraceeError::ProcText {
                path: format!("/proc/{pid}/maps"),
                expected: "a line of the form START-END rwxp OFFSET DEV INODE PATH",
                found: line.to_owned(),
            })
        })
        .collect()
}

fn parse_map_line(line: &str) -> Option<MapLine> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let access = fields.next()?.to_owned();
    let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
    let _device = fields.next()?;
    let inode = fields.next()?.parse().ok()?;
    Some(MapLine {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        access,
        offset,
        inode,
        name: fields.next().unwrap_or("").trim_start().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_line_with_spaces_in_its_path_is_read_whole() {
        let line = parse_map_line("7f00-8f00 r-xp 00001000 08:01 42                     /a b (deleted)").unwrap();
        assert_eq!((line.start, line.end, line.offset, line.inode), (0x7f00, 0x8f00, 0x1000, 42));
        assert_eq!(line.name, "/a b (deleted)");
        assert_eq!(line.access, "r-xp");
    }

    #[test]
    fn a_map_line_without_a_path_has_an_empty_name() {
        assert_eq!(parse_map_line("1000-2000 rw-p 00000000 00:00 0 ").unwrap().name, "");
        assert_eq!(parse_map_line("nonsense"), None);
    }

    #[test]
    fn own_state_is_running() {
        assert_eq!(state(std::process::id() as i32).map(|letter| "RS".contains(letter)), Some(true));
    }
}
