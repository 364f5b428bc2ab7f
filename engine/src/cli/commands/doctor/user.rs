//! What the user has: capabilities, the right to trace, directories, debug information.

use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};
use dsu_engine::program::build::DebugSearch;
use dsu_engine::update::lock::ProcessLock;

use super::Check;
use super::Status::{Degraded, Missing};
use crate::cli::output::human;

/// Capabilities of this process.
#[derive(Clone, Debug, Default)]
pub(super) struct Capabilities(Vec<Capability>);

impl Capabilities {
    pub(super) fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }

    /// As the kernel counts them: a bit each.
    pub(super) fn mask(&self) -> u64 {
        self.0.iter().fold(0, |mask, capability| mask | capability.bitmask())
    }
}

/// None when the kernel does not tell.
pub(super) fn effective_capabilities() -> Capabilities {
    Capabilities(caps::read(None, CapSet::Effective).unwrap_or_default().into_iter().collect())
}

/// The capabilities that an update makes use of.
pub(super) fn capabilities() -> Check {
    const USED: [(Capability, &str); 7] = [
        (Capability::CAP_SYS_PTRACE, "processes of other users"),
        (Capability::CAP_CHECKPOINT_RESTORE, "thread IDs, program links and mapped files"),
        (Capability::CAP_SYS_ADMIN, "seccomp filters"),
        (Capability::CAP_SYS_RESOURCE, "raised limits"),
        (Capability::CAP_SYS_NICE, "real-time threads"),
        (Capability::CAP_SETUID, "saved users"),
        (Capability::CAP_SETGID, "saved groups"),
    ];
    let user = nix::unistd::geteuid();
    let effective = effective_capabilities();
    let absent: Vec<_> = USED.iter().filter(|(capability, _)| !effective.has(*capability)).collect();
    if absent.is_empty() {
        return Check::ok("capabilities", format!("user {user} has all that are made use of"));
    }
    let names: Vec<String> = absent.iter().map(|(capability, _)| capability.to_string()).collect();
    let meaning: Vec<&str> = absent.iter().map(|(_, use_of)| *use_of).collect();
    Check::gap(
        "capabilities",
        Degraded,
        format!("user {user} has not {}", names.join(", ")),
        &format!("processes with these may be blocked: {}", meaning.join("; ")),
        "run dsu as root; in a container, add these capabilities",
    )
}

/// `/proc/sys/kernel/yama/ptrace_scope` (Documentation/admin-guide/LSM/Yama.rst).
pub(super) fn ptrace_scope() -> Check {
    let text = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    let may = effective_capabilities().has(Capability::CAP_SYS_PTRACE);
    let Ok(scope) = text.as_deref().map(str::trim) else {
        return Check::ok("ptrace scope", "not restricted (no Yama)");
    };
    let found = format!("kernel.yama.ptrace_scope is {scope}");
    match scope {
        "0" => Check::ok("ptrace scope", found),
        "1" | "2" if may => Check::ok("ptrace scope", found),
        "1" => Check::gap(
            "ptrace scope",
            Missing,
            found,
            "only children of dsu can be stopped",
            "run dsu as root, or `sysctl kernel.yama.ptrace_scope=0`",
        ),
        "2" => Check::gap("ptrace scope", Missing, found, "only root can stop processes", "run dsu as root"),
        _ => Check::gap(
            "ptrace scope",
            Missing,
            found,
            "nobody can stop a process until the next boot",
            "set kernel.yama.ptrace_scope to 1 in /etc/sysctl.d and boot again",
        ),
    }
}

/// The directory for locks and journals, tried with the number of this process, which nobody updates.
pub(super) fn locks() -> Check {
    match ProcessLock::acquire(std::process::id() as i32) {
        Ok(lock) => {
            let directory = lock.directory().to_owned();
            let parent = directory.parent().unwrap_or(&directory).display().to_string();
            // Left behind, it is an empty directory in a file system of memory.
            let _ = std::fs::remove_dir_all(&directory);
            Check::ok("locks", parent)
        }
        Err(error) => {
            let source = std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
            Check::gap(
                "locks",
                Missing,
                format!("{error}{source}"),
                "no update can be recovered when dsu is killed, so none is begun",
                "make the directory writable for this user alone, or remove it if it is somebody else's",
            )
        }
    }
}

/// Where separate debug information is looked for.
pub(super) fn debug_information(further: &[PathBuf]) -> Check {
    let mut directories = DebugSearch::default().directories;
    directories.extend_from_slice(further);
    let is_there = |directory: &&PathBuf| directory.is_dir();
    let there: Vec<String> = directories.iter().filter(is_there).map(|path| path.display().to_string()).collect();
    if !there.is_empty() {
        return Check::ok("debug info", format!("looked for in the program and in {}", there.join(", ")));
    }
    let looked: Vec<String> = directories.iter().map(|path| path.display().to_string()).collect();
    Check::gap(
        "debug info",
        Degraded,
        format!("{} not there", human::names(&looked)),
        "programs must carry their debug information themselves (gcc -g)",
        "install debug packages (NAME-dbgsym), or name a directory with --debug-dir",
    )
}

/// Where the line about an update goes.
pub(super) fn system_log() -> Check {
    const SOCKET: &str = "/dev/log";
    if Path::new(SOCKET).exists() {
        return Check::ok("system log", SOCKET);
    }
    let meaning = "updates leave no line in the system log";
    Check::gap(
        "system log",
        Degraded,
        format!("{SOCKET} is not there"),
        meaning,
        "start a log daemon (systemd-journald, rsyslog)",
    )
}
