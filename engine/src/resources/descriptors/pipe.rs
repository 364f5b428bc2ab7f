//! Pipes and FIFOs with the bytes in them, seen through `tee(2)`, which takes nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use dsu_formats::model::latest::{Description, Descriptors, FileIdentity, Kind, PipeEnd};
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, tee};

use super::super::error::ResourceError;
use super::capture::{Entry, count_inodes};
use crate::tracee::objects;

/// Kind, end and capacity; contents are recorded by [`record`].
pub(super) fn capture(entry: &Entry, identity: FileIdentity) -> Result<Kind, ResourceError> {
    let capacity = fcntl(entry.file.as_fd(), FcntlArg::F_GETPIPE_SZ)
        .map_err(|source| ResourceError::call("fcntl(F_GETPIPE_SZ)", format_args!("descriptor {}", entry.number), source))?;
    let end = match entry.info.flags as i32 & libc::O_ACCMODE {
        libc::O_RDONLY => PipeEnd::Read,
        libc::O_WRONLY => PipeEnd::Write,
        _ => PipeEnd::Both,
    };
    let (capacity, contents) = (capacity as u32, Vec::new());
    if entry.target.starts_with(b"pipe:[") {
        return Ok(Kind::Pipe { inode: identity.inode, end, capacity, contents, internal: false });
    }
    Ok(Kind::Fifo { file: identity, end, capacity, contents })
}

/// Records, with the first description of each pipe, what is in it, and whether both its ends are here.
pub(super) fn record(found: &mut Descriptors, entries: &[&Entry]) -> Result<(), ResourceError> {
    let pipes = count_inodes(found, |kind| match kind {
        Kind::Pipe { inode, .. } => Some(*inode),
        Kind::Fifo { file, .. } => Some(file.inode),
        _ => None,
    });
    for members in pipes.into_values() {
        let ends: Vec<PipeEnd> = members.iter().filter_map(|index| end_of(&found.descriptions[*index as usize].kind)).collect();
        let both = ends.contains(&PipeEnd::Both) || (ends.contains(&PipeEnd::Read) && ends.contains(&PipeEnd::Write));
        let reader = members
            .iter()
            .find(|index| end_of(&found.descriptions[**index as usize].kind).is_some_and(|end| end != PipeEnd::Write));
        let bytes = match reader {
            Some(index) => peek(entries[*index as usize].file.as_fd())?,
            None => Vec::new(),
        };
        for (position, index) in members.iter().enumerate() {
            match &mut found.descriptions[*index as usize].kind {
                Kind::Pipe { contents, internal, .. } => {
                    *internal = both;
                    if position == 0 {
                        contents.clone_from(&bytes);
                    }
                }
                Kind::Fifo { contents, .. } if position == 0 => contents.clone_from(&bytes),
                _ => {}
            }
        }
    }
    Ok(())
}

fn end_of(kind: &Kind) -> Option<PipeEnd> {
    match kind {
        Kind::Pipe { end, .. } | Kind::Fifo { end, .. } => Some(*end),
        _ => None,
    }
}

/// The bytes in the pipe with this read end. The pipe keeps them.
fn peek(reader: BorrowedFd<'_>) -> Result<Vec<u8>, ResourceError> {
    let failed = |call| move |source| ResourceError::call(call, "a pipe of the process", source);
    let waiting = objects::readable_bytes(reader).map_err(failed("ioctl(FIONREAD)"))?;
    if waiting == 0 {
        return Ok(Vec::new());
    }
    let (mut copy_reader, copy_writer) = new_pipe(OFlag::O_NONBLOCK)?;
    let capacity = fcntl(reader, FcntlArg::F_GETPIPE_SZ).map_err(failed("fcntl(F_GETPIPE_SZ)"))?;
    // As many slots as the pipe itself has: each message may fill a slot of its own.
    fcntl(&copy_writer, FcntlArg::F_SETPIPE_SZ(capacity)).map_err(failed("fcntl(F_SETPIPE_SZ)"))?;
    let copied = tee(reader, copy_writer.as_fd(), waiting, SpliceFFlags::SPLICE_F_NONBLOCK).map_err(failed("tee"))?;
    let mut bytes = vec![0; copied];
    copy_reader.read_exact(&mut bytes).map_err(|source| ResourceError::file("read", "the copy of a pipe", source))?;
    if copied == waiting {
        return Ok(bytes);
    }
    Err(ResourceError::Unexpected {
        object: "a pipe of the process".to_owned(),
        expected: "all of its bytes in one copy",
        found: format!("{copied} of {waiting}"),
    })
}

fn new_pipe(flags: OFlag) -> Result<(File, File), ResourceError> {
    let pair = nix::unistd::pipe2(OFlag::O_CLOEXEC | flags);
    let (reader, writer) = pair.map_err(|source| ResourceError::call("pipe2", "a new pipe", source))?;
    Ok((File::from(reader), File::from(writer)))
}

/// Pipes of a restore by the inode that they had.
#[derive(Default)]
pub(super) struct Pipes {
    made: HashMap<u64, Made>,
}

/// A pipe with the ends that `pipe2` gave, and whether each is handed out already.
struct Made {
    reader: File,
    writer: File,
    reader_taken: bool,
    writer_taken: bool,
}

impl Pipes {
    /// A description for one end of a pipe inside the image; the pipe is made and filled for its first end.
    pub(super) fn end(&mut self, description: &Description, found: &Descriptors) -> Result<OwnedFd, ResourceError> {
        let Kind::Pipe { inode, end, capacity, .. } = &description.kind else {
            return Err(ResourceError::Unexpected {
                object: String::from_utf8_lossy(&description.target).into_owned(),
                expected: "a pipe",
                found: "another kind".to_owned(),
            });
        };
        let made = match self.made.entry(*inode) {
            Place::Occupied(made) => made.into_mut(),
            Place::Vacant(place) => {
                let contents = found.descriptions.iter().find_map(|other| match &other.kind {
                    Kind::Pipe { inode: own, contents, .. } if own == inode && !contents.is_empty() => Some(contents.as_slice()),
                    _ => None,
                });
                place.insert(make(*capacity, contents.unwrap_or_default())?)
            }
        };
        made.end(*end, description.flags)
    }
}

impl Made {
    /// Without O_LARGEFILE it is one of the ends that `pipe2` gave; with it, an end that was opened through `/proc`.
    fn end(&mut self, end: PipeEnd, flags: u32) -> Result<OwnedFd, ResourceError> {
        let (file, taken, access) = match end {
            PipeEnd::Read => (&self.reader, &mut self.reader_taken, libc::O_RDONLY),
            PipeEnd::Write => (&self.writer, &mut self.writer_taken, libc::O_WRONLY),
            PipeEnd::Both => return reopen(&self.reader, libc::O_RDWR | open_flags(flags)),
        };
        if flags & O_LARGEFILE == 0 && !std::mem::replace(taken, true) {
            let copy = file.try_clone().map_err(|source| ResourceError::file("duplicate", "an end of a new pipe", source))?;
            return Ok(copy.into());
        }
        reopen(file, access | open_flags(flags))
    }
}

/// The kernel's O_LARGEFILE (include/uapi/asm-generic/fcntl.h), which `open` adds for 64-bit programs; libc's is zero.
const O_LARGEFILE: u32 = 0o100000;

fn make(capacity: u32, contents: &[u8]) -> Result<Made, ResourceError> {
    let (reader, mut writer) = new_pipe(OFlag::O_NONBLOCK)?;
    let failed = |source| ResourceError::call("fcntl(F_SETPIPE_SZ)", format_args!("a pipe of {capacity} bytes"), source);
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(capacity as i32)).map_err(failed)?;
    writer.write_all(contents).map_err(|source| ResourceError::file("fill", "a new pipe", source))?;
    Ok(Made { reader, writer, reader_taken: false, writer_taken: false })
}

/// A description of its own for the same pipe, never waiting for another end.
fn reopen(end: &File, flags: i32) -> Result<OwnedFd, ResourceError> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = format!("/proc/self/fd/{}", end.as_raw_fd());
    let access = flags & libc::O_ACCMODE;
    let mut options = File::options();
    options.read(access != libc::O_WRONLY).write(access != libc::O_RDONLY);
    options.custom_flags((flags & !libc::O_ACCMODE) | libc::O_NONBLOCK);
    Ok(options.open(&path).map_err(|source| ResourceError::file("open", path, source))?.into())
}

/// The flags that an open keeps; the rest is set with F_SETFL afterwards.
fn open_flags(flags: u32) -> i32 {
    flags as i32 & libc::O_DIRECT
}

/// Opens a FIFO again without waiting for its other end and puts the bytes back that were in it.
pub(super) fn open_fifo(path: &std::path::Path, flags: u32, capacity: u32, contents: &[u8]) -> Result<File, ResourceError> {
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |operation| move |source| ResourceError::file(operation, path, source);
    // Both ends, so that neither this open nor the next waits, and bytes have a reader.
    let mut both = File::options();
    let mut keeper = both.read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed("open"))?;
    let access = flags as i32 & libc::O_ACCMODE;
    let mut options = File::options();
    options.read(access != libc::O_WRONLY).write(access != libc::O_RDONLY).custom_flags(libc::O_NONBLOCK);
    let file = options.open(path).map_err(failed("open"))?;
    let sized = fcntl(&file, FcntlArg::F_SETPIPE_SZ(capacity as i32));
    sized.map_err(|source| ResourceError::call("fcntl(F_SETPIPE_SZ)", path.display(), source))?;
    if !contents.is_empty() {
        keeper.write_all(contents).map_err(failed("fill"))?;
    }
    Ok(file)
}
