//! Attributes of the process as a whole: its place in the tree, what it has asked the kernel for.

use dsu_formats::model::latest::{Filesystem, Process};
use nix::errno::Errno;

use super::error::{Obstacle, ResourceError};
use super::questions::{Answers, Questions, Ticket};
use super::scratch::half;
use super::{proc, status::Status};
use crate::tracee::batch::Batch;
use crate::tracee::error::TraceeError;
use crate::tracee::inject::Injector;

const PR_GET_DUMPABLE: u64 = 3;
const PR_SET_DUMPABLE: u64 = 4;
const PR_SET_CHILD_SUBREAPER: u64 = 36;
const PR_GET_CHILD_SUBREAPER: u64 = 37;
const PR_SET_THP_DISABLE: u64 = 41;
const PR_GET_THP_DISABLE: u64 = 42;
const MEMBARRIER_QUERY: u64 = 0;
const MEMBARRIER_GET_REGISTRATIONS: u64 = 1 << 9;
/// The `MEMBARRIER_CMD_REGISTER_…` commands (include/uapi/linux/membarrier.h).
const MEMBARRIER_REGISTRATIONS: u32 = 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8;

/// What only the process itself can tell.
pub(crate) struct Asked {
    dumpable: Ticket,
    child_subreaper: Ticket,
    thp_disable: Ticket,
    membarrier: Ticket,
    membarrier_known: Ticket,
}

/// Captures everything of the process's own. Five injected calls.
pub fn capture(injector: &mut dyn Injector, status: &Status) -> Result<Process, ResourceError> {
    let mut questions = Questions::new(injector);
    let asked = ask_process(&mut questions);
    let answers = questions.put(injector)?;
    from_answers(&answers, &asked, injector.memory().pid(), status)
}

/// Adds the questions to the process.
pub(crate) fn ask_process(questions: &mut Questions) -> Asked {
    let mut prctl = |name, operation| questions.ask_any(name, libc::SYS_prctl, |_| [operation, 0, 0, 0, 0]);
    let dumpable = prctl("prctl(PR_GET_DUMPABLE)", PR_GET_DUMPABLE);
    let thp_disable = prctl("prctl(PR_GET_THP_DISABLE)", PR_GET_THP_DISABLE);
    let mut membarrier = |command| questions.ask_any("membarrier", libc::SYS_membarrier, |_| [command, 0, 0]);
    let (membarrier, membarrier_known) = (membarrier(MEMBARRIER_GET_REGISTRATIONS), membarrier(MEMBARRIER_QUERY));
    let subreaper = |place| [PR_GET_CHILD_SUBREAPER, place, 0, 0, 0];
    let child_subreaper = questions.ask_any("prctl(PR_GET_CHILD_SUBREAPER)", libc::SYS_prctl, subreaper);
    Asked { dumpable, child_subreaper, thp_disable, membarrier, membarrier_known }
}

/// What was asked for, and what can be read.
pub(crate) fn from_answers(answers: &Answers, asked: &Asked, pid: i32, status: &Status) -> Result<Process, ResourceError> {
    let [ppid, pgid, sid] = read_ids(pid)?;
    Ok(Process {
        pid,
        ppid,
        pgid,
        sid,
        address_space: 0,
        descriptor_table: 0,
        filesystem: capture_filesystem(pid, status)?,
        dumpable: answers.value(asked.dumpable)? as u8,
        child_subreaper: half(&answers.bytes::<4>(asked.child_subreaper)?, 0) != 0,
        personality: read_personality(pid)?,
        oom_score_adj: read_oom_score_adj(pid)?,
        thp_disable: answers.value(asked.thp_disable)? != 0,
        membarrier_registrations: membarrier_registrations(answers, asked)?,
        children: read_children(pid)?,
    })
}

/// What the process has registered for. Kernels before 6.3 do not tell: then everything they know is taken as registered,
/// which no program can tell from less.
fn membarrier_registrations(answers: &Answers, asked: &Asked) -> Result<u32, TraceeError> {
    let mask = match answers.value(asked.membarrier) {
        Err(TraceeError::Call { source: Errno::EINVAL, .. }) => answers.value(asked.membarrier_known)?,
        // A kernel built without the call.
        Err(TraceeError::Call { source: Errno::ENOSYS, .. }) => 0,
        other => other?,
    };
    Ok(mask as u32 & MEMBARRIER_REGISTRATIONS)
}

/// Parent, process group and session.
fn read_ids(pid: i32) -> Result<[i32; 3], TraceeError> {
    let path = format!("/proc/{pid}/stat");
    let text = proc::text(pid, "stat")?;
    let (_, rest) = text.rsplit_once(')').ok_or_else(|| proc::unexpected(path.as_str(), "a name in parentheses", &text))?;
    let mut words = rest.split_whitespace().skip(1);
    let mut next = || proc::decimal(&path, "the IDs in fields 4 to 6", words.next().unwrap_or(""));
    Ok([next()?, next()?, next()?])
}

fn read_personality(pid: i32) -> Result<u32, TraceeError> {
    let value = proc::hexadecimal(&format!("/proc/{pid}/personality"), "a personality", &proc::text(pid, "personality")?)?;
    Ok(value as u32)
}

fn read_oom_score_adj(pid: i32) -> Result<i32, TraceeError> {
    proc::decimal(&format!("/proc/{pid}/oom_score_adj"), "a score", &proc::text(pid, "oom_score_adj")?)
}

/// Live children of every thread of `pid`.
pub fn read_children(pid: i32) -> Result<Vec<i32>, TraceeError> {
    let mut children = Vec::new();
    for tid in proc::numbers(pid, "task")? {
        let name = format!("task/{tid}/children");
        for word in proc::text(pid, &name)?.split_whitespace() {
            children.push(proc::decimal(&format!("/proc/{pid}/{name}"), "process IDs", word)?);
        }
    }
    children.sort_unstable();
    Ok(children)
}

fn capture_filesystem(pid: i32, status: &Status) -> Result<Filesystem, TraceeError> {
    Ok(Filesystem { cwd: proc::link(pid, "cwd")?, root: proc::link(pid, "root")?, umask: status.umask })
}

/// What cannot be given back after an exec.
pub fn blockers(saved: &Process) -> Vec<Obstacle> {
    let dumpable = (saved.dumpable > 1).then(|| Obstacle::Attribute {
        attribute: "dumpable",
        value: saved.dumpable.to_string(),
        reason: "the kernel lets nobody set this value".to_owned(),
    });
    dumpable.into_iter().collect()
}

/// Gives the vessel what the exec took: personality, membarrier registrations, and `dumpable` last, which a change of
/// credentials resets.
pub fn give_back(batch: &mut Batch<'_>, saved: &Process) -> Result<(), ResourceError> {
    batch.leader("personality", libc::SYS_personality, [u64::from(saved.personality)])?;
    for command in (0..32).map(|bit| 1u32 << bit).filter(|command| saved.membarrier_registrations & command != 0) {
        batch.leader("membarrier", libc::SYS_membarrier, [u64::from(command), 0, 0])?;
    }
    batch.leader("prctl(PR_SET_DUMPABLE)", libc::SYS_prctl, [PR_SET_DUMPABLE, u64::from(saved.dumpable), 0, 0, 0])?;
    Ok(())
}

/// Gives a fresh process these attributes: what an exec would have kept, then the rest. Session, group and directories are
/// `filesystem`'s and the vessel's.
pub fn restore(batch: &mut Batch<'_>, saved: &Process) -> Result<(), ResourceError> {
    let pid = batch.pid();
    for (name, operation, value) in [
        ("prctl(PR_SET_CHILD_SUBREAPER)", PR_SET_CHILD_SUBREAPER, saved.child_subreaper),
        ("prctl(PR_SET_THP_DISABLE)", PR_SET_THP_DISABLE, saved.thp_disable),
    ] {
        batch.leader(name, libc::SYS_prctl, [operation, u64::from(value), 0, 0, 0])?;
    }
    if read_oom_score_adj(pid)? != saved.oom_score_adj {
        let path = format!("/proc/{pid}/oom_score_adj");
        std::fs::write(&path, saved.oom_score_adj.to_string()).map_err(|e| ResourceError::file("write", path, e))?;
    }
    give_back(batch, saved)
}

/// Compares the attributes that an exec could have changed.
pub fn verify(injector: &mut dyn Injector, saved: &Process) -> Result<(), ResourceError> {
    let pid = injector.memory().pid();
    let now = capture(injector, &Status::read(pid, pid)?)?;
    let expected = Process { ppid: now.ppid, children: now.children.clone(), ..saved.clone() };
    let expected = Process { address_space: now.address_space, descriptor_table: now.descriptor_table, ..expected };
    if now == expected {
        return Ok(());
    }
    Err(ResourceError::NotGivenBack {
        object: format!("the attributes of process {pid}"),
        expected: format!("{expected:?}"),
        found: format!("{now:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::Target;

    #[test]
    fn place_and_children_are_found() {
        let mut target = Target::start(
            r#"
            #include <sys/prctl.h>
            int main(void) {
                CHECK(prctl(PR_SET_NAME, "a) 1 (b"));
                int child = fork();
                CHECK(child);
                if (child == 0) { wait_for_end(); return 0; }
                say("%d", child);
                wait_for_end();
            }"#,
        );
        let child: i32 = target.line().parse().unwrap();
        let [ppid, pgid, sid] = read_ids(target.pid()).unwrap();
        assert_eq!(ppid, std::process::id() as i32);
        assert_eq!(pgid, nix::unistd::getpgrp().as_raw());
        assert_eq!(sid, nix::unistd::getsid(None).unwrap().as_raw());
        assert_eq!(read_children(target.pid()).unwrap(), [child]);
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), nix::sys::signal::Signal::SIGKILL).unwrap();
    }
}
