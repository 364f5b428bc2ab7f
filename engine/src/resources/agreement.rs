//! Whether all threads of a process agree in what threads made by `clone` inherit from the main thread.

use nix::errno::Errno;

use super::error::{Obstacle, ResourceError};
use super::{proc, status::Status};
use crate::tracee::calls::{self, Compared};
use crate::tracee::error::TraceeError;
use crate::tracee::seccomp::MOST_FILTERS;

/// Namespaces that a thread can enter alone; the others need a process with one thread.
const NAMESPACES: [&str; 4] = ["net", "uts", "ipc", "pid_for_children"];

/// Compares every thread with the first, `statuses` in the order of `tids`. All threads must be in a ptrace stop of the caller.
pub fn disagreements(pid: i32, tids: &[i32], statuses: &[Status]) -> Result<Vec<Obstacle>, ResourceError> {
    let mut obstacles = Vec::new();
    let (Some((&leader, others)), Some((first, rest))) = (tids.split_first(), statuses.split_first()) else {
        return Ok(obstacles);
    };
    let place = Place::read(pid, leader)?;
    for (&tid, status) in others.iter().zip(rest) {
        let mut differ = |attribute, expected: String, found: String| {
            if expected != found {
                obstacles.push(Obstacle::ThreadDiffers { tid, attribute, expected, found });
            }
        };
        compare_status(first, status, &mut differ);
        let own = Place::read(pid, tid)?;
        differ("set of namespaces", place.namespaces.clone(), own.namespaces);
        differ("control group", place.control_group.clone(), own.control_group);
        for (what, attribute) in [
            (Compared::Files, "descriptor table"),
            (Compared::Filesystem, "root, working directory or umask"),
            (Compared::Memory, "address space"),
        ] {
            let shared =
                calls::shares(what, leader, tid).map_err(|e| ResourceError::call("kcmp", format_args!("thread {tid}"), e))?;
            differ(attribute, "shared".to_owned(), if shared { "shared" } else { "its own" }.to_owned());
        }
        obstacles.extend(compare_filters(leader, tid, first.seccomp_filters.min(status.seccomp_filters)));
    }
    Ok(obstacles)
}

fn compare_status(first: &Status, status: &Status, differ: &mut dyn FnMut(&'static str, String, String)) {
    differ("user", format!("{:?}", first.uids), format!("{:?}", status.uids));
    differ("group", format!("{:?}", first.gids), format!("{:?}", status.gids));
    differ("list of groups", format!("{:?}", first.groups), format!("{:?}", status.groups));
    differ("capability set", format!("{:x?}", first.capabilities), format!("{:x?}", status.capabilities));
    differ("no_new_privs", first.no_new_privs.to_string(), status.no_new_privs.to_string());
    differ("seccomp mode", first.seccomp_mode.to_string(), status.seccomp_mode.to_string());
    differ("number of seccomp filters", first.seccomp_filters.to_string(), status.seccomp_filters.to_string());
}

/// The filters themselves: the same number need not mean the same programs.
fn compare_filters(leader: i32, tid: i32, count: u32) -> Option<Obstacle> {
    for index in 0..count.min(MOST_FILTERS) {
        match (calls::seccomp_filter(leader, index), calls::seccomp_filter(tid, index)) {
            (Ok(expected), Ok(found)) if expected == found => {}
            (Err(Errno::EACCES | Errno::EPERM), _) | (_, Err(Errno::EACCES | Errno::EPERM)) => {
                let reason = "its seccomp filters cannot be compared with the main thread's without CAP_SYS_ADMIN".to_owned();
                return Some(Obstacle::Thread { tid, reason });
            }
            _ => {
                let reason = format!("its seccomp filter {index} is another than the main thread's");
                return Some(Obstacle::Thread { tid, reason });
            }
        }
    }
    None
}

/// Where the kernel has put a thread.
struct Place {
    namespaces: String,
    control_group: String,
}

impl Place {
    fn read(pid: i32, tid: i32) -> Result<Self, TraceeError> {
        // The text of the link names the namespace; following it would make the kernel open it, at five times the price.
        let mut namespaces = String::new();
        for name in NAMESPACES {
            let link = proc::link(pid, &format!("task/{tid}/ns/{name}"))?;
            namespaces.push_str(&format!("{} ", String::from_utf8_lossy(&link)));
        }
        Ok(Self { namespaces, control_group: proc::text(pid, &format!("task/{tid}/cgroup"))?.trim_end().replace('\n', " ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::Target;

    const PROGRAM: &str = r#"
        #include <pthread.h>
        #include <sched.h>
        #include <sys/syscall.h>
        static int alone;
        static void *run(void *unused) {
            if (alone) {
                CHECK(unshare(CLONE_FILES));
                CHECK(syscall(SYS_setresuid, -1, 65534, -1));
            }
            say("%d", gettid());
            for (;;) pause();
        }
        int main(int count, char **words) {
            alone = ALONE;
            pthread_t thread;
            pthread_create(&thread, 0, run, 0);
            wait_for_end();
        }"#;

    fn found(alone: bool) -> Vec<Obstacle> {
        let mut target = Target::start_with(PROGRAM, &[if alone { "-DALONE=1" } else { "-DALONE=0" }]);
        let tids = [target.pid(), target.line().parse().unwrap()];
        let statuses: Vec<_> = tids.iter().map(|tid| Status::read(target.pid(), *tid).unwrap()).collect();
        disagreements(target.pid(), &tids, &statuses).unwrap()
    }

    #[test]
    fn usual_threads_agree() {
        assert_eq!(found(false), []);
    }

    #[test]
    fn a_thread_with_another_user_and_its_own_descriptors_is_named() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let attributes: Vec<_> = found(true)
            .into_iter()
            .map(|obstacle| match obstacle {
                Obstacle::ThreadDiffers { attribute, .. } => attribute,
                other => panic!("{other}"),
            })
            .collect();
        assert_eq!(attributes, ["user", "capability set", "descriptor table"]);
    }
}
