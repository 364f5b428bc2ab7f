//! The child's side: gives up everything but its two pipes, then becomes the plugin.
//!
//! No privilege (another user when dsu runs as root, no capabilities, no way to gain any), no network and no other process (a list of
//! the system calls that remain), no file but the system's libraries (Landlock), and limits on processor time and memory. The plugin's
//! file is copied first, so that what is checked is what runs, whoever may write to it.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, fexecve, geteuid, setgid, setgroups, setuid};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// What a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Processor time in seconds.
    pub processor_s: u64,
    /// Address space in bytes.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { processor_s: 120, memory: 2 << 30 }
    }
}

/// A step of locking in that this machine refuses.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}")]
pub struct SandboxError {
    step: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Longest file that can be a plugin.
const LONGEST_PROGRAM: u64 = 256 << 20;
/// Bytes that a plugin may write to its standard error.
pub(super) const STDERR_ROOM: u64 = 64 << 10;
const MAX_FILES: u64 = 16;
/// `nobody`.
const NOBODY: u32 = 65_534;
/// What an ELF program needs to be loaded.
const LIBRARIES: [&str; 6] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"];

/// System calls of a single-threaded program that computes, and of the loader that starts it.
const ALLOWED: [i64; 46] = [
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_getcwd,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_newfstatat,
    libc::SYS_open,
    libc::SYS_openat,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Becomes the plugin at `path`, started with `arguments`; returns only when something keeps it from that.
pub fn become_plugin(path: &Path, arguments: &[OsString], limits: Limits) -> SandboxError {
    match try_become(path, arguments, limits) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_become(path: &Path, arguments: &[OsString], limits: Limits) -> Result<std::convert::Infallible, SandboxError> {
    let program = copy(path).map_err(at("read the plugin's file"))?;
    set_limits(limits).map_err(at("set limits"))?;
    drop_privileges()?;
    restrict_files().map_err(at("shut away the file system (Landlock)"))?;
    let filter = filter().map_err(at("make the list of system calls"))?;
    let arguments: Result<Vec<CString>, _> =
        [OsStr::new("plugin")].into_iter().chain(arguments.iter().map(OsString::as_os_str)).map(text).collect();
    let arguments = arguments.map_err(at("pass on the plugin's arguments"))?;
    let environment: [CString; 0] = [];
    seccompiler::apply_filter(&filter).map_err(at("restrict system calls"))?;
    fexecve(&program, &arguments, &environment).map_err(at("run the plugin's file"))
}

fn text(argument: &OsStr) -> Result<CString, std::ffi::NulError> {
    CString::new(argument.as_bytes())
}

fn at<E: Into<Box<dyn std::error::Error + Send + Sync>>>(step: &'static str) -> impl FnOnce(E) -> SandboxError {
    move |source| SandboxError { step, source: source.into() }
}

/// A copy of the file in memory, checked to be a program.
fn copy(path: &Path) -> std::io::Result<OwnedFd> {
    let wrong = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidInput, what);
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LONGEST_PROGRAM {
        return Err(wrong("a plugin is a regular file of at most 256 MiB"));
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(LONGEST_PROGRAM).read_to_end(&mut bytes)?;
    if !bytes.starts_with(b"\x7fELF") {
        return Err(wrong("a plugin is an ELF executable: a script cannot be shut away with its interpreter"));
    }
    let copy = memfd_create(c"plugin", MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(copy);
    file.write_all(&bytes)?;
    Ok(file.into())
}

fn set_limits(limits: Limits) -> Result<(), Errno> {
    let all = [
        (Resource::RLIMIT_CPU, limits.processor_s),
        (Resource::RLIMIT_AS, limits.memory),
        (Resource::RLIMIT_FSIZE, STDERR_ROOM),
        (Resource::RLIMIT_NOFILE, MAX_FILES),
        (Resource::RLIMIT_CORE, 0),
    ];
    all.into_iter().try_for_each(|(resource, limit)| setrlimit(resource, limit, limit))
}

fn drop_privileges() -> Result<(), SandboxError> {
    if geteuid().is_root() {
        setgroups(&[]).map_err(at("leave all groups"))?;
        setgid(Gid::from_raw(NOBODY)).map_err(at("change the group"))?;
        setuid(Uid::from_raw(NOBODY)).map_err(at("change the user"))?;
    }
    for set in [caps::CapSet::Ambient, caps::CapSet::Inheritable, caps::CapSet::Effective, caps::CapSet::Permitted] {
        caps::clear(None, set).map_err(at("give up capabilities"))?;
    }
    nix::sys::prctl::set_no_new_privs().map_err(at("give up new privileges"))?;
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(at("end with dsu"))
}

/// Nothing of the file system but the libraries. Best effort within Landlock's versions, but without Landlock no plugin runs.
fn restrict_files() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let restrict = || -> Result<RulesetStatus, RulesetError> {
        let libraries = path_beneath_rules(LIBRARIES, AccessFs::from_read(ABI::V1));
        let rules = Ruleset::default().handle_access(AccessFs::from_all(ABI::V5))?.scope(Scope::from_all(ABI::V6))?;
        Ok(rules.create()?.add_rules(libraries)?.restrict_self()?.ruleset)
    };
    match restrict()? {
        RulesetStatus::NotEnforced => {
            Err("this kernel has no Landlock, or it is off: expected Linux 5.13 with `landlock` among its LSMs".into())
        }
        _ => Ok(()),
    }
}

fn filter() -> Result<BpfProgram, Box<dyn std::error::Error + Send + Sync>> {
    let rules = ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}
