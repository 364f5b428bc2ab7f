//! `/proc/PID/smaps`: mappings with what lies under them and their flags (fs/proc/task_mmu.c).

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::{Backing, Mapping, MappingFlags, Protection, Sharing};

use super::super::error::{Obstacle, ResourceError};
use super::super::proc;
use crate::tracee::error::TraceeError;

/// The mark that the kernel puts behind a path that no longer names the file.
const DELETED: &[u8] = b" (deleted)";

/// What a capture of the mappings found.
#[derive(Clone, Debug, Default)]
pub struct MemoryCapture {
    /// Mappings by ascending address, without the engine's own.
    pub mappings: Vec<Mapping>,
    /// Whether `mlockall(MCL_FUTURE)` is in force: what the engine mapped is locked.
    pub lock_future: bool,
    /// Flags of mappings that the saved types have no place for.
    pub unsupported: Vec<Unsupported>,
}

/// A flag of `VmFlags` that is known to change how memory behaves, or is not known at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The mapping.
    pub range: RunRange,
    /// The two letters in `VmFlags`.
    pub flag: String,
}

/// Reads the mappings of `pid`, whose ranges `engine` were mapped by the engine and are left out.
///
/// Costs a walk of all page tables (about 11 ms per GiB of small pages). Build-ids are filled in by `modules`.
pub fn capture_mappings(pid: i32, engine: &[RunRange]) -> Result<MemoryCapture, ResourceError> {
    let path = format!("/proc/{pid}/smaps");
    let text = proc::bytes(pid, "smaps")?;
    let mut capture = MemoryCapture::default();
    let mut sizes = HashMap::new();
    for entry in parse_entries(&path, &text)? {
        let pieces = entry.line.range.without(engine);
        capture.lock_future |= entry.flags.locked && pieces.as_slice() != [entry.line.range];
        for range in pieces {
            let backing = resolve(pid, &entry.line, range, &mut sizes)?;
            let flags = MappingFlags { secret: entry.line.is_secret(), ..entry.flags };
            capture.mappings.push(Mapping {
                range,
                protection: entry.line.protection,
                sharing: entry.line.sharing,
                backing,
                flags,
            });
            capture.unsupported.extend(entry.unsupported.iter().map(|flag| Unsupported { range, flag: flag.clone() }));
        }
    }
    Ok(capture)
}

/// One line of `maps`, undigested: range, protection, offset, device, inode, path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    /// Addresses.
    pub range: RunRange,
    /// Access allowed.
    pub protection: Protection,
    /// Private or shared.
    pub sharing: Sharing,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Device as `major << 32 | minor`.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// Path or bracketed name, with the kernel's mark of a deleted file.
    pub path: Vec<u8>,
}

impl MappedFile {
    fn is_secret(&self) -> bool {
        self.path.starts_with(b"/secretmem")
    }
}

/// Reads `/proc/PID/maps`: cheap, without flags.
pub fn read_mapping_lines(pid: i32) -> Result<Vec<MappedFile>, TraceeError> {
    let path = format!("/proc/{pid}/maps");
    let text = proc::bytes(pid, "maps")?;
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| parse_line(&path, line)).collect()
}

/// A mapping line with the lines below it in smaps.
struct Entry {
    line: MappedFile,
    flags: MappingFlags,
    unsupported: Vec<String>,
}

fn parse_entries(path: &str, text: &[u8]) -> Result<Vec<Entry>, TraceeError> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        // A property starts with a capital letter, an address never does.
        if !line[0].is_ascii_uppercase() {
            let line = parse_line(path, line)?;
            let unsupported = unknown_label(&line).into_iter().collect();
            entries.push(Entry { line, flags: MappingFlags::default(), unsupported });
            continue;
        }
        let Some(entry) = entries.last_mut() else {
            return Err(proc::unexpected(path, "a mapping before its properties", &String::from_utf8_lossy(line)));
        };
        if let Some(rest) = line.strip_prefix(b"VmFlags:") {
            parse_flags(&String::from_utf8_lossy(rest), entry);
        } else if let Some(rest) = line.strip_prefix(b"ProtectionKey:") {
            entry.flags.protection_key = proc::decimal(path, "a protection key", &String::from_utf8_lossy(rest))?;
        }
    }
    Ok(entries)
}

/// A bracketed name of a mapping without a file that this engine does not know (`[uprobes]`, say).
fn unknown_label(line: &MappedFile) -> Option<String> {
    let known = [&b"[heap]"[..], b"[stack]", b"[vdso]", b"[vsyscall]"].contains(&line.path.as_slice())
        || [&b"[anon:"[..], b"[anon_shmem:", b"[vvar"].iter().any(|prefix| line.path.starts_with(prefix));
    (line.path.starts_with(b"[") && !known).then(|| String::from_utf8_lossy(&line.path).into_owned())
}

fn parse_line(path: &str, line: &[u8]) -> Result<MappedFile, TraceeError> {
    let wrong = || proc::unexpected(path, "`start-end perms offset major:minor inode path`", &String::from_utf8_lossy(line));
    let mut words = line.splitn(6, |byte| *byte == b' ');
    let mut word = || words.next().and_then(|word| std::str::from_utf8(word).ok()).ok_or_else(wrong);
    let (range, permissions, offset, device, inode) = (word()?, word()?, word()?, word()?, word()?);
    let (start, end) = range.split_once('-').ok_or_else(wrong)?;
    let (major, minor) = device.split_once(':').ok_or_else(wrong)?;
    let &[read, write, execute, sharing, ..] = permissions.as_bytes() else { return Err(wrong()) };
    Ok(MappedFile {
        range: RunRange::new(
            proc::hexadecimal(path, "a hexadecimal address", start)?,
            proc::hexadecimal(path, "a hexadecimal address", end)?,
        ),
        protection: Protection { read: read == b'r', write: write == b'w', execute: execute == b'x' },
        sharing: if sharing == b's' { Sharing::Shared } else { Sharing::Private },
        offset: proc::hexadecimal(path, "a hexadecimal offset", offset)?,
        device: proc::hexadecimal(path, "a device number", major)? << 32 | proc::hexadecimal(path, "a device number", minor)?,
        inode: proc::decimal(path, "an inode number", inode)?,
        path: words.next().map(|rest| rest.trim_ascii_start().to_vec()).unwrap_or_default(),
    })
}

/// Sorts the two-letter codes of `VmFlags` into the saved flags, into those without consequence, and into the rest.
fn parse_flags(codes: &str, entry: &mut Entry) {
    let flags = &mut entry.flags;
    for code in codes.split_whitespace() {
        match code {
            // What protection, sharing and backing say already; accounting and soft-dirty tracking of the kernel.
            "rd" | "wr" | "ex" | "sh" | "mr" | "mw" | "me" | "ms" | "ac" | "sd" | "mm" | "de" | "ar" | "nl" | "mp" => {}
            "gd" => flags.grows_down = true,
            "lo" => flags.locked = true,
            "lf" => flags.locked_on_fault = true,
            "nr" => flags.no_reserve = true,
            "dc" => flags.dont_fork = true,
            "dd" => flags.dont_dump = true,
            "wf" => flags.wipe_on_fork = true,
            "mg" => flags.mergeable = true,
            "hg" => flags.huge_page = true,
            "nh" => flags.no_huge_page = true,
            "sr" => flags.sequential = true,
            "rr" => flags.random = true,
            "ht" => flags.hugetlb = true,
            "io" | "pf" => flags.device = true,
            "um" | "uw" | "ui" => flags.userfault = true,
            "ss" => flags.shadow_stack = true,
            other => entry.unsupported.push(other.to_owned()),
        }
    }
    if matches!(entry.line.path.as_slice(), b"[vdso]" | b"[vsyscall]") || entry.line.path.starts_with(b"[vvar") {
        // The kernel maps these itself and their flags come back with them.
        entry.unsupported.clear();
    }
}

/// What lies under the piece `range` of a mapping line.
fn resolve(pid: i32, line: &MappedFile, range: RunRange, sizes: &mut HashMap<(u64, u64), u64>) -> Result<Backing, ResourceError> {
    let offset = line.offset.wrapping_add(range.start.0 - line.range.start.0);
    let inode = line.inode;
    Ok(match line.path.as_slice() {
        b"[vdso]" => Backing::Vdso,
        b"[vsyscall]" => Backing::Vsyscall,
        name if name.starts_with(b"[vvar") => Backing::Vvar { name: name.to_vec() },
        b"/dev/zero (deleted)" => Backing::SharedAnonymous { inode, offset },
        name if name.starts_with(b"[anon_shmem:") => Backing::SharedAnonymous { inode, offset },
        name if inode == 0 && !name.starts_with(b"/") => Backing::Anonymous { name: anonymous_name(name) },
        name if name.starts_with(b"/SYSV") => system_v(name, line, offset)?,
        name => file(pid, line, name, offset, sizes)?,
    })
}

/// The name in `[anon:name]`; the kernel's own labels are no names.
fn anonymous_name(label: &[u8]) -> Option<Vec<u8>> {
    label.strip_prefix(b"[anon:").and_then(|rest| rest.strip_suffix(b"]")).map(<[u8]>::to_vec)
}

fn system_v(name: &[u8], line: &MappedFile, offset: u64) -> Result<Backing, TraceeError> {
    let digits = String::from_utf8_lossy(&name[b"/SYSV".len()..]).into_owned();
    let (digits, deleted) = digits.strip_suffix(" (deleted)").map_or((digits.as_str(), false), |digits| (digits, true));
    let expected = "`/SYSV` and a hexadecimal key";
    let key = proc::hexadecimal("maps", expected, digits)? as u32 as i32;
    let id = i32::try_from(line.inode).map_err(|_| proc::unexpected("maps", "a segment ID", &line.inode.to_string()))?;
    Ok(Backing::SysV { id, key, offset, deleted })
}

fn file(
    pid: i32,
    line: &MappedFile,
    name: &[u8],
    offset: u64,
    sizes: &mut HashMap<(u64, u64), u64>,
) -> Result<Backing, ResourceError> {
    let (path, deleted) = real_path(pid, line, name)?;
    let key = (line.device, line.inode);
    let size = match sizes.get(&key) {
        Some(size) => *size,
        None => {
            let size = mapped_file_size(pid, line, &path, deleted)?;
            sizes.insert(key, size);
            size
        }
    };
    Ok(Backing::File { path, device: line.device, inode: line.inode, offset, deleted, size, build_id: None })
}

/// The path without escapes and mark, and whether it is one of a deleted file.
///
/// `maps` writes a newline as `\012` and does not escape a backslash, so such a path is asked for again. A file may be
/// *named* `x (deleted)`: then its full name still leads to it.
fn real_path(pid: i32, line: &MappedFile, name: &[u8]) -> Result<(Vec<u8>, bool), ResourceError> {
    let escaped = name.windows(4).any(|window| window == b"\\012");
    let name = if escaped { proc::link(pid, &map_file_name(line.range))? } else { name.to_vec() };
    let Some(stem) = name.strip_suffix(DELETED) else { return Ok((name, false)) };
    let full = in_root(pid, &name);
    let named_so = std::fs::metadata(&full).is_ok_and(|found| found.ino() == line.inode && device(&found) == line.device);
    Ok(if named_so { (name.clone(), false) } else { (stem.to_vec(), true) })
}

fn map_file_name(range: RunRange) -> String {
    format!("map_files/{:x}-{:x}", range.start.0, range.end.0)
}

/// `path` of the process as a path of the engine.
fn in_root(pid: i32, path: &[u8]) -> std::path::PathBuf {
    let mut full = format!("/proc/{pid}/root").into_bytes();
    full.extend_from_slice(path);
    std::ffi::OsString::from_vec(full).into()
}

pub(super) fn device(metadata: &std::fs::Metadata) -> u64 {
    (nix::sys::stat::major(metadata.dev()) << 32) | nix::sys::stat::minor(metadata.dev())
}

fn mapped_file_size(pid: i32, line: &MappedFile, path: &[u8], deleted: bool) -> Result<u64, ResourceError> {
    let link = format!("/proc/{pid}/{}", map_file_name(line.range));
    // map_files needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; without them the path must lead to the same file.
    let link_error = match std::fs::metadata(&link) {
        Ok(metadata) => return Ok(metadata.len()),
        Err(source) => source,
    };
    let is_same = |metadata: &std::fs::Metadata| metadata.ino() == line.inode && device(metadata) == line.device;
    let by_path = if deleted { None } else { std::fs::metadata(in_root(pid, path)).ok() };
    let by_other_ways = by_path.filter(is_same).or_else(|| std::fs::metadata(executable(pid)).ok().filter(is_same));
    match by_other_ways {
        Some(metadata) => Ok(metadata.len()),
        // What cannot be opened again either blocks an update; an image refers to no file that is gone.
        None if deleted && link_error.kind() == std::io::ErrorKind::PermissionDenied => Ok(0),
        None => Err(ResourceError::file("look at", link, link_error)),
    }
}

/// The link to the program of `pid`, which takes no privilege.
fn executable(pid: i32) -> String {
    format!("/proc/{pid}/exe")
}

/// Opens the file under a mapping of process `pid`: through `map_files`, else through its path or the link to the program, if one
/// of them leads to the same inode.
///
/// `whole` is the range as `maps` prints it at this moment; `write` asks for a descriptor that can be mapped shared and writable.
pub fn open_mapped(pid: i32, mapping: &Mapping, whole: RunRange, write: bool) -> Result<File, ResourceError> {
    let (path, identity) = match &mapping.backing {
        Backing::File { path, device, inode, .. } => (path.as_slice(), Some((*device, *inode))),
        _ => (&b""[..], None),
    };
    open_same(pid, whole, path, identity, write)
}

/// Opens the file of a line of `maps` for reading, likewise.
pub fn open_line(pid: i32, line: &MappedFile) -> Result<File, ResourceError> {
    open_same(pid, line.range, &line.path, Some((line.device, line.inode)), false)
}

fn open_same(pid: i32, whole: RunRange, path: &[u8], identity: Option<(u64, u64)>, write: bool) -> Result<File, ResourceError> {
    let link = format!("/proc/{pid}/{}", map_file_name(whole));
    let mut options = File::options();
    options.read(true).write(write);
    let link_error = match options.open(&link) {
        Ok(file) => return Ok(file),
        Err(source) => source,
    };
    let is_same = |metadata: std::fs::Metadata| identity == Some((device(&metadata), metadata.ino()));
    let mut opened = [in_root(pid, path), executable(pid).into()].into_iter().filter_map(|place| options.open(place).ok());
    match opened.find(|file| file.metadata().is_ok_and(is_same)) {
        Some(file) => Ok(file),
        None => Err(ResourceError::file("open", link, link_error)),
    }
}

/// What in a capture cannot be mapped again, neither hot nor cold.
pub fn blockers(capture: &MemoryCapture) -> Vec<Obstacle> {
    let unsupported = capture.unsupported.iter().map(|found| {
        let what = capture.mappings.iter().find(|mapping| mapping.range == found.range).map_or(String::new(), label);
        Obstacle::Mapping { range: found.range, what, reason: unsupported_reason(&found.flag) }
    });
    let mappings = capture.mappings.iter().filter_map(|mapping| {
        let reason = obstacle_of(mapping)?.to_owned();
        Some(Obstacle::Mapping { range: mapping.range, what: label(mapping), reason })
    });
    mappings.chain(unsupported).collect()
}

fn unsupported_reason(flag: &str) -> String {
    match flag {
        "sl" => "it is sealed (mseal), which is not carried".to_owned(),
        "dp" => "it is droppable (MAP_DROPPABLE), which is not carried".to_owned(),
        "sf" => "it is mapped synchronously to persistent memory (MAP_SYNC), which is not carried".to_owned(),
        label if label.starts_with('[') => format!("the kernel made it ({label}), and it is not known"),
        other => format!("the kernel reports the flag `{other}`, which is not known"),
    }
}

fn obstacle_of(mapping: &Mapping) -> Option<&'static str> {
    let flags = &mapping.flags;
    if flags.userfault {
        return Some("a userfaultfd is registered on it");
    }
    if flags.shadow_stack {
        return Some("it is a shadow stack");
    }
    if flags.hugetlb {
        return Some("it is made of huge pages of hugetlbfs, which are not carried");
    }
    if flags.secret {
        return Some("it is secret memory (memfd_secret), which only its own process can read");
    }
    if flags.device && !matches!(mapping.backing, Backing::Vdso | Backing::Vvar { .. } | Backing::Vsyscall) {
        return Some("it is memory of a device");
    }
    if flags.protection_key != 0 {
        return Some("it has a protection key, which is not carried");
    }
    match &mapping.backing {
        Backing::File { path, .. } if path.starts_with(b"/[aio]") => Some("it is the ring of an AIO context, bound to memory"),
        Backing::File { path, .. } if path.starts_with(b"anon_inode:") => Some("it is memory of a kernel object"),
        Backing::File { path, .. } if !path.starts_with(b"/") => Some("the kernel gives no file for it"),
        _ => None,
    }
}

/// A mapping's path or kind, for people.
pub(crate) fn label(mapping: &Mapping) -> String {
    match &mapping.backing {
        Backing::Anonymous { name: Some(name) } => format!("anonymous, `{}`", String::from_utf8_lossy(name)),
        Backing::Anonymous { name: None } => "anonymous".to_owned(),
        Backing::File { path, .. } => String::from_utf8_lossy(path).into_owned(),
        Backing::SharedAnonymous { .. } => "shared anonymous".to_owned(),
        Backing::SysV { id, .. } => format!("System V segment {id}"),
        Backing::Vdso => "[vdso]".to_owned(),
        Backing::Vvar { name } => String::from_utf8_lossy(name).into_owned(),
        Backing::Vsyscall => "[vsyscall]".to_owned(),
    }
}

#[cfg(test)]
#[path = "maps_tests.rs"]
mod tests;
