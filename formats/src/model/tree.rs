//! Section `tree`: the processes and what each refers to.

use serde::{Deserialize, Serialize};

/// The saved processes; parents come before their children.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeV1 {
    /// Processes by index; the first is the root.
    pub processes: Vec<ProcessV1>,
}

/// One process: its place in the tree, the numbered entities that it uses, its own attributes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessV1 {
    /// Process ID.
    pub pid: i32,
    /// Parent at the capture.
    pub ppid: i32,
    /// Process group.
    pub pgid: i32,
    /// Session.
    pub sid: i32,
    /// Index of its address space.
    pub address_space: u32,
    /// Index of its descriptor table.
    pub descriptor_table: u32,
    /// Root, working directory, file-mode mask.
    pub filesystem: FilesystemV1,
    /// `PR_GET_DUMPABLE`.
    pub dumpable: u8,
    /// `PR_GET_CHILD_SUBREAPER`.
    pub child_subreaper: bool,
    /// `personality(2)`.
    pub personality: u32,
    /// `/proc/PID/oom_score_adj`.
    pub oom_score_adj: i32,
    /// `PR_GET_THP_DISABLE`.
    pub thp_disable: bool,
    /// Commands of `membarrier(2)` that the process has registered for, as a mask of its `…_REGISTER_…` values.
    pub membarrier_registrations: u32,
    /// Children that stay behind: PIDs of live children at the capture that are not in the tree.
    pub children: Vec<i32>,
}

/// What `CLONE_FS` shares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesystemV1 {
    /// Target of `/proc/PID/cwd`.
    pub cwd: Vec<u8>,
    /// Target of `/proc/PID/root`.
    pub root: Vec<u8>,
    /// File-mode creation mask.
    pub umask: u32,
}
