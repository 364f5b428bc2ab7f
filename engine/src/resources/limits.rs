//! Resource limits. An exec keeps them; a fresh process gets them set.

use dsu_formats::model::latest::{Limit, Limits};

use super::error::ResourceError;
use super::proc;
use crate::tracee::batch::Batch;
use crate::tracee::error::TraceeError;

/// The labels of `/proc/PID/limits` by `RLIMIT_…` number (fs/proc/base.c, `lnames`).
const LABELS: [&str; 16] = [
    "Max cpu time",
    "Max file size",
    "Max data size",
    "Max stack size",
    "Max core file size",
    "Max resident set",
    "Max processes",
    "Max open files",
    "Max locked memory",
    "Max address space",
    "Max file locks",
    "Max pending signals",
    "Max msgqueue size",
    "Max nice priority",
    "Max realtime priority",
    "Max realtime timeout",
];

/// Reads the limits of `pid` from `/proc`, which needs no privilege over it.
pub fn read_limits(pid: i32) -> Result<Limits, TraceeError> {
    parse(&format!("/proc/{pid}/limits"), &proc::text(pid, "limits")?)
}

fn parse(path: &str, text: &str) -> Result<Limits, TraceeError> {
    let limit = |label: &&str| -> Result<Limit, TraceeError> {
        let line = text.lines().find_map(|line| line.strip_prefix(label));
        let mut words = line.ok_or_else(|| proc::unexpected(path, "a line for each limit", label))?.split_whitespace();
        let mut number = || match words.next().unwrap_or("") {
            "unlimited" => Ok(u64::MAX),
            word => proc::decimal(path, "a limit", word),
        };
        Ok(Limit { soft: number()?, hard: number()? })
    };
    Ok(Limits { limits: LABELS.iter().map(limit).collect::<Result<_, _>>()? })
}

/// Sets every limit of a fresh process that differs.
pub fn restore(batch: &mut Batch<'_>, limits: &Limits) -> Result<(), ResourceError> {
    let now = read_limits(batch.pid())?;
    for (number, (wanted, present)) in limits.limits.iter().zip(&now.limits).enumerate() {
        if wanted == present {
            continue;
        }
        batch.leader_with("prlimit64", libc::SYS_prlimit64, |at| {
            ([wanted.soft.to_le_bytes(), wanted.hard.to_le_bytes()].concat(), [0, number as u64, at, 0])
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_limits_agree_with_getrlimit() {
        use nix::sys::resource::{Resource, getrlimit};
        let limits = read_limits(std::process::id() as i32).unwrap();
        for resource in [Resource::RLIMIT_NOFILE, Resource::RLIMIT_STACK, Resource::RLIMIT_AS, Resource::RLIMIT_MEMLOCK] {
            let (soft, hard) = getrlimit(resource).unwrap();
            assert_eq!(limits.limits[resource as usize], Limit { soft, hard }, "{resource:?}");
        }
    }

    #[test]
    fn a_missing_limit_is_named() {
        let error = parse("limits", "Max cpu time  unlimited unlimited seconds\n").unwrap_err();
        assert!(error.to_string().contains("Max file size"), "{error}");
    }
}
