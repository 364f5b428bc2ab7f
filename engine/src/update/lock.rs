//! One engine at a time for one process, and the directory where its journal lies.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::stale;

/// Why a process could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another engine works on it.
    #[error("another dsu is working on process {pid}")]
    Busy {
        /// The process.
        pid: i32,
    },
    /// The directory for locks and journals cannot be used.
    #[error("cannot use {path} for locks and journals")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// Others may write to the directory, and could have planted a journal in it.
    #[error("{path} is open to other users (mode {mode:o})")]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The directory belongs to somebody else, who could plant a journal in it.
    #[error("{path} belongs to user {owner}, not to user {user}")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who runs the engine.
        user: u32,
    },
}

/// Held while an engine works on a process; the kernel drops it with the engine.
#[derive(Debug)]
pub struct ProcessLock {
    directory: PathBuf,
    _lock: Flock<File>,
}

impl ProcessLock {
    /// Locks `pid`, or says that another engine has it. What dsu left for an earlier process with this number is removed.
    pub fn acquire(pid: i32) -> Result<Self, LockError> {
        let directory = private_directory(&runtime_directory())?.join(pid.to_string());
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| LockError::Directory { path, source }
        };
        create_private(&directory).map_err(failed(&directory))?;
        let path = directory.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed(&path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => {
                stale::remove(&directory, pid);
                Ok(Self { directory, _lock: lock })
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(LockError::Busy { pid }),
            Err((_, source)) => Err(LockError::Directory { path, source: source.into() }),
        }
    }

    /// Where the journal of this process lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// `/run/dsu` for root. For others the runtime directory of their login, if it is theirs, else one in `/tmp`.
fn runtime_directory() -> PathBuf {
    let user = nix::unistd::geteuid();
    if user.is_root() {
        return PathBuf::from("/run/dsu");
    }
    let is_own = |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == user.as_raw());
    // A variable that was inherited through su or sudo names somebody else's.
    let of_login = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(is_own);
    of_login.map_or_else(|| PathBuf::from(format!("/tmp/dsu-{user}")), |directory| directory.join("dsu"))
}

/// Makes the directory, or takes it as it is if nobody else could have put anything in it.
pub(super) fn private_directory(path: &Path) -> Result<PathBuf, LockError> {
    let failed = |source| LockError::Directory { path: path.to_owned(), source };
    create_private(path).map_err(failed)?;
    // A link is not followed: it is no directory, whoever made it.
    let (found, user) = (fs::symlink_metadata(path).map_err(failed)?, nix::unistd::geteuid().as_raw());
    if found.uid() != user || !found.is_dir() {
        return Err(LockError::Foreign { path: path.to_owned(), owner: found.uid(), user });
    }
    if found.mode() & 0o077 != 0 {
        return Err(LockError::Open { path: path.to_owned(), mode: found.mode() & 0o7777 });
    }
    Ok(path.to_owned())
}

fn create_private(path: &Path) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_others_may_use_or_a_link_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let [open, link] = ["open", "link"].map(|name| parent.path().join(name));
        assert!(private_directory(&open).is_ok());
        fs::set_permissions(&open, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(private_directory(&open), Err(LockError::Open { mode: 0o770, .. })));
        std::os::unix::fs::symlink(parent.path(), &link).unwrap();
        assert!(matches!(private_directory(&link), Err(LockError::Foreign { .. })));
    }

    #[test]
    fn a_locked_process_is_busy_until_the_lock_is_dropped() {
        // No process has this number: it is above the largest pid_max.
        let pid = (1 << 22) + 17;
        let first = ProcessLock::acquire(pid).unwrap();
        assert!(matches!(ProcessLock::acquire(pid), Err(LockError::Busy { .. })));
        let directory = first.directory().to_owned();
        drop(first);
        drop(ProcessLock::acquire(pid).unwrap());
        fs::remove_dir_all(directory).unwrap();
    }
}
