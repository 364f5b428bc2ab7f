//! Makes a descriptor table in a fresh process: the engine makes each description, brings it in above all numbers of the
//! table, and then moves every number into its place.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::Path;

use dsu_formats::model::latest::{Description, Descriptors, Kind};

use super::super::error::ResourceError;
use super::super::proc;
use super::super::scratch::{put, take, word};
use super::give_back::number_of;
use super::pipe::Pipes;
use super::unix_pair::{self, Pairs};
use super::{epoll, eventfd, files, memfd, pipe, signalfd, socket_restore, timerfd};
use crate::tracee::inject::Injector;
use crate::tracee::objects;

/// Descriptions that are in the vessel, above the numbers of the table.
#[derive(Debug)]
pub struct Placed {
    /// Number in the vessel by position of the description.
    numbers: Vec<RawFd>,
    /// First number above the table.
    base: RawFd,
    /// Memfds, for mappings of the same file to be made from.
    pub files: Vec<RestoredFile>,
}

/// A file without a path that was made anew.
#[derive(Debug)]
pub struct RestoredFile {
    /// Inode at the capture, by which mappings name it.
    pub inode: u64,
    /// The new file.
    pub file: File,
}

/// Makes every description and brings it into the vessel. `root` is the saved process's root directory.
///
/// Expects [`super::blockers_of_restore`] to have found none. Everything that comes through the injector's channel has to be
/// brought in before [`settle`].
pub fn bring_in(injector: &mut dyn Injector, found: &Descriptors, root: &[u8]) -> Result<Placed, ResourceError> {
    let highest = found.tables.iter().flat_map(|table| &table.descriptors).map(|descriptor| descriptor.number).max();
    // Numbers that the vessel has already are passed over too.
    let present = proc::numbers(injector.memory().pid(), "fd")?.last().copied();
    let base = highest.max(present).unwrap_or(0).saturating_add(16);
    raise_limit(injector, base as u64 + found.descriptions.len() as u64 + 16)?;
    let mut maker = Maker { found, root, pipes: Pipes::default(), pairs: Pairs::default(), files: Vec::new() };
    let mut numbers = Vec::with_capacity(found.descriptions.len());
    for description in &found.descriptions {
        let made = maker.make(description)?;
        let low = injector.import(made.as_fd())? as u64;
        let arguments = [low, libc::F_DUPFD_CLOEXEC as u64, base as u64];
        numbers.push(injector.leader_call("fcntl(F_DUPFD)", libc::SYS_fcntl, &arguments)? as RawFd);
        injector.leader_call("close", libc::SYS_close, &[low])?;
    }
    Ok(Placed { numbers, base, files: maker.files })
}

/// Raises the vessel's own limit on descriptor numbers as far as needed; the saved limits are set later.
fn raise_limit(injector: &mut dyn Injector, needed: u64) -> Result<(), ResourceError> {
    let address = injector.scratch().start.0;
    injector.leader_call("prlimit64", libc::SYS_prlimit64, &[0, u64::from(libc::RLIMIT_NOFILE), 0, address])?;
    let now = take::<16>(injector, 0)?;
    let (soft, hard) = (word(&now, 0), word(&now, 8));
    if soft < needed {
        let pair: Vec<u8> = [needed, hard.max(needed)].into_iter().flat_map(u64::to_le_bytes).collect();
        let address = put(injector, 0, &pair)?;
        injector.leader_call("prlimit64", libc::SYS_prlimit64, &[0, u64::from(libc::RLIMIT_NOFILE), address, 0])?;
    }
    Ok(())
}

struct Maker<'a> {
    found: &'a Descriptors,
    root: &'a [u8],
    pipes: Pipes,
    pairs: Pairs,
    files: Vec<RestoredFile>,
}

impl Maker<'_> {
    fn make(&mut self, description: &Description) -> Result<OwnedFd, ResourceError> {
        let made = self.make_kind(description)?;
        let access_only = (libc::O_ACCMODE | libc::O_PATH | libc::O_ASYNC) as u32;
        if description.flags & libc::O_PATH as u32 == 0 {
            let failed = |source| ResourceError::call("fcntl(F_SETFL)", String::from_utf8_lossy(&description.target), source);
            objects::set_status_flags(made.as_fd(), description.flags & !access_only).map_err(failed)?;
        }
        Ok(made)
    }

    fn make_kind(&mut self, description: &Description) -> Result<OwnedFd, ResourceError> {
        match &description.kind {
            Kind::Regular(file) | Kind::Directory(file) | Kind::Path(file) => {
                let opened = files::restore(description, file, self.root, None)?;
                files::lock(&opened, description)?;
                Ok(opened.into())
            }
            Kind::PlainDevice { file, device } => Ok(files::restore(description, file, self.root, Some(*device))?.into()),
            Kind::Fifo { file, capacity, contents, .. } => {
                let path = super::identity::engine_path(self.root, file);
                Ok(pipe::open_fifo(&path, description.flags, *capacity, contents)?.into())
            }
            Kind::Pipe { .. } => self.pipes.end(description, self.found),
            Kind::EventFd { count, semaphore } => eventfd::restore(*count, *semaphore),
            Kind::TimerFd { clock, ticks, settime_flags, value_ns, interval_ns } => {
                timerfd::restore(*clock, *ticks, *settime_flags, *value_ns, *interval_ns)
            }
            Kind::SignalFd { mask } => signalfd::restore(*mask),
            Kind::Epoll { .. } => epoll::restore(),
            Kind::MemFd { .. } => self.memfd(description),
            Kind::Socket(socket) => match unix_pair::peer_of(socket, self.found) {
                Some(peer) => self.pairs.end(socket, peer),
                None => socket_restore::restore(socket),
            },
            other => Err(ResourceError::Unexpected {
                object: String::from_utf8_lossy(&description.target).into_owned(),
                expected: "a kind that can be made anew",
                found: format!("{other:?}").chars().take(80).collect(),
            }),
        }
    }

    /// The memfd of this inode, made for its first description; further descriptions of it open the same file.
    fn memfd(&mut self, description: &Description) -> Result<OwnedFd, ResourceError> {
        use std::os::fd::AsRawFd;
        let Kind::MemFd { name, inode, seals, mode, size, contents } = &description.kind else {
            return Err(ResourceError::Unexpected {
                object: String::from_utf8_lossy(&description.target).into_owned(),
                expected: "a memfd",
                found: "another kind".to_owned(),
            });
        };
        let known = self.files.iter().position(|file| file.inode == *inode);
        let index = match known {
            Some(index) => index,
            None => {
                let file = memfd::restore(name, *mode, *size, contents)?;
                self.files.push(RestoredFile { inode: *inode, file });
                self.files.len() - 1
            }
        };
        let path = format!("/proc/self/fd/{}", self.files[index].file.as_raw_fd());
        let access = description.flags as i32 & libc::O_ACCMODE;
        let opened = File::options().read(access != libc::O_WRONLY).write(access != libc::O_RDONLY).open(&path);
        let mut opened = opened.map_err(|source| ResourceError::file("open", &path, source))?;
        files::seek(&mut opened, Path::new(&path), description.position)?;
        files::lock(&opened, description)?;
        if known.is_none() && *seals != 0 {
            memfd::seal(&self.files[index].file, *seals)?;
        }
        Ok(opened.into())
    }
}

/// Moves every number into its place, closes everything else in the vessel, and sets what belongs to numbers and to the
/// process: watches of epolls, POSIX locks, O_ASYNC. The injector's channel must be closed.
pub fn settle(injector: &mut dyn Injector, found: &Descriptors, placed: &Placed) -> Result<(), ResourceError> {
    injector.leader_call("close_range", libc::SYS_close_range, &[0, placed.base as u64 - 1, 0])?;
    for descriptor in found.tables.iter().flat_map(|table| &table.descriptors) {
        let high = placed.numbers.get(descriptor.description.0 as usize).copied().unwrap_or(-1);
        let flags = if descriptor.close_on_exec { libc::O_CLOEXEC as u64 } else { 0 };
        injector.leader_call("dup3", libc::SYS_dup3, &[high as u64, descriptor.number as u64, flags])?;
    }
    injector.leader_call("close_range", libc::SYS_close_range, &[placed.base as u64, u64::from(u32::MAX), 0])?;
    for (index, description) in found.descriptions.iter().enumerate() {
        let Some(number) = number_of(found, index) else { continue };
        if let Kind::Epoll { watches } = &description.kind {
            epoll::add_watches(injector, number as i32, watches)?;
        }
        lock_in_process(injector, number, description)?;
        if description.flags & libc::O_ASYNC as u32 != 0 {
            let flags = description.flags & !(libc::O_ACCMODE as u32);
            let arguments = [number, libc::F_SETFL as u64, u64::from(flags)];
            injector.leader_call("fcntl(F_SETFL)", libc::SYS_fcntl, &arguments)?;
        }
    }
    Ok(())
}

/// Takes the POSIX locks of a description; they are listed with every description of the file and taken once or more.
fn lock_in_process(injector: &mut dyn Injector, number: u64, description: &Description) -> Result<(), ResourceError> {
    for lock in description.locks.iter().filter(|lock| lock.class == "POSIX") {
        // struct flock: type and whence (two shorts), padding, start, length, pid.
        let (start, length) = files::extent(lock.start, lock.end);
        let kind = if lock.write { libc::F_WRLCK } else { libc::F_RDLCK } as i16;
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.resize(8, 0);
        bytes.extend(start.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.resize(32, 0);
        let address = put(injector, 0, &bytes)?;
        injector.leader_call("fcntl(F_SETLK)", libc::SYS_fcntl, &[number, libc::F_SETLK as u64, address])?;
    }
    Ok(())
}
