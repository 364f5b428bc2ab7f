//! The kernel's counter of task IDs (`/proc/sys/kernel/ns_last_pid`, `kernel/pid_namespace.c`): kept from handing out the IDs of
//! threads that are about to be made anew, and steered to them.

use std::cell::Cell;
use std::fs::File;
use std::io::ErrorKind;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use super::error::TraceeError;

const PATH: &str = "/proc/sys/kernel/ns_last_pid";
/// How many new tasks the machine may start between the exec and the making of the last thread.
const AHEAD: i32 = 2000;

/// Moves the counter past every one of `tids` that it would soon come to. Without the counter, or the privilege to set it,
/// nothing happens: the chance is small, and a taken ID is noticed.
pub fn move_past(tids: impl Iterator<Item = i32>) -> Result<(), TraceeError> {
    let Some(highest) = read().and_then(|last| highest_ahead(last, tids)) else { return Ok(()) };
    match write(highest) {
        Err(error) if !is_refusal(&error) => Err(TraceeError::Proc { path: PATH.to_owned(), source: error }),
        _ => Ok(()),
    }
}

/// How often a lock that another engine holds is tried, a millisecond apart. It is held for less.
const LOCK_TRIES: u32 = 50;

/// The counter being steered; when dropped, it goes on from where it was: left behind, it would hand out what others have freed
/// only for a moment.
#[derive(Debug)]
pub(super) struct Steering {
    before: Cell<Option<i32>>,
    /// Held for its effect: two engines that steer at a time would each take the other's value for what was before.
    _lock: Option<Flock<File>>,
}

impl Steering {
    /// Tries whether the counter can be set.
    pub(super) fn begin() -> Result<Self, TraceeError> {
        let lock = lock();
        write(read().unwrap_or(0)).map_err(|source| TraceeError::Proc { path: PATH.to_owned(), source })?;
        Ok(Self { before: Cell::new(None), _lock: lock })
    }

    /// Makes `id` the next one that the kernel gives, if it is free. A failure shows in the ID that comes.
    pub(super) fn set_next(&self, id: i32) {
        // Noted at the last moment: what is given out meanwhile is given out twice if it is free again by the end.
        self.before.set(read());
        let _ = write(id - 1);
    }
}

/// Any user could hold the lock for ever: then the IDs that come are checked all the same.
fn lock() -> Option<Flock<File>> {
    let mut file = File::open(PATH).ok()?;
    for _ in 0..LOCK_TRIES {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Some(lock),
            Err((unlocked, _)) => file = unlocked,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

impl Steering {
    /// Puts the counter back where it was.
    pub(super) fn end(&self) {
        if let Some(before) = self.before.take() {
            // Where it could be set it can be set again.
            let _ = write(before);
        }
    }
}

impl Drop for Steering {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether this engine may set the counter. Tried with the value that it has.
pub fn is_settable() -> bool {
    read().is_some_and(|last| write(last).is_ok())
}

fn read() -> Option<i32> {
    std::fs::read_to_string(PATH).ok()?.trim().parse().ok()
}

fn write(value: i32) -> std::io::Result<()> {
    // Never with O_CREAT or O_TRUNC, which a read-only /proc/sys answers before the privilege is looked at.
    let mut file = File::options().write(true).open(PATH)?;
    std::io::Write::write_all(&mut file, value.to_string().as_bytes())
}

/// No privilege, or a container whose `/proc/sys` is read-only.
fn is_refusal(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

fn highest_ahead(last: i32, tids: impl Iterator<Item = i32>) -> Option<i32> {
    tids.filter(|tid| *tid > last && *tid - last < AHEAD).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_shortly_ahead_of_the_counter_move_it() {
        assert_eq!(highest_ahead(1000, [900, 1000].into_iter()), None);
        assert_eq!(highest_ahead(1000, [900, 1005, 1900, 9000].into_iter()), Some(1900));
    }
}
