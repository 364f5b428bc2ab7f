//! Copies of `dsu` and of programs in a place that every user can reach.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A user with no privilege.
pub const NOBODY: u32 = 65534;

/// A directory that everybody may look into.
pub struct Reach {
    directory: TempDir,
}

impl Reach {
    /// An empty one.
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        Self { directory }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Copies `original` into it.
    pub fn copy(&self, original: &Path, name: &str) -> PathBuf {
        let copy = self.path(name);
        // By cp: a file that this process had open for writing might not be executable while another test starts a program.
        let status = Command::new("cp").args([original, &copy]).status().expect("cp runs");
        assert!(status.success(), "copying {}", original.display());
        copy
    }

    /// Copies `dsu` into it.
    pub fn copy_dsu(&self) -> PathBuf {
        self.copy(&crate::dsu::binary(), "dsu")
    }
}
