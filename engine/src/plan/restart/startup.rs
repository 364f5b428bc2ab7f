//! Calls that a program makes to open what it works with: where a function is entered anew they would be made once more, and keeping them
//! from it is the program's own. A list for people; nothing is decided by it.

use std::collections::BTreeSet;

use super::Restart;
use crate::plan::frames::Coded;
use crate::program::code::{CallSite, Callee, FunctionId};

/// Functions of the C library that open, start or claim something, or change what the whole process has.
const OPENING: [&str; 78] = [
    "accept4",
    "alarm",
    "atexit",
    "bind",
    "chdir",
    "chroot",
    "close",
    "clearenv",
    "connect",
    "creat",
    "creat64",
    "daemon",
    "dlopen",
    "dup2",
    "dup3",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "eventfd",
    "execve",
    "fdopen",
    "flock",
    "fopen",
    "fopen64",
    "fork",
    "freopen",
    "ftruncate",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "io_setup",
    "kill",
    "listen",
    "lockf",
    "memfd_create",
    "mkdir",
    "mkfifo",
    "mkstemp",
    "mlockall",
    "mmap",
    "mmap64",
    "mq_open",
    "msgget",
    "open",
    "open64",
    "openat",
    "openat64",
    "opendir",
    "openlog",
    "pipe",
    "pipe2",
    "popen",
    "pthread_atfork",
    "pthread_create",
    "pthread_key_create",
    "pthread_sigmask",
    "putenv",
    "rename",
    "sem_init",
    "sem_open",
    "semget",
    "setenv",
    "setgid",
    "setitimer",
    "setrlimit",
    "setsid",
    "setuid",
    "shm_open",
    "shmat",
    "shmget",
    "sigaction",
    "signal",
    "signalfd",
    "sigprocmask",
    "socket",
    "socketpair",
    "timer_create",
    "timerfd_create",
];

/// A call that is reached from a function that is entered anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct StartUpCall {
    /// The function that is entered.
    pub entered: String,
    /// The function of the new program that makes the call.
    pub function: String,
    /// What it calls.
    pub calls: String,
    /// Source file and line of the call.
    pub line: Option<String>,
}

/// Finds those of every function that is entered, along direct calls of the build that comes.
pub(in crate::plan) fn find(restarts: &mut [Restart], coded: &Coded<'_, '_>) {
    for restart in restarts {
        let mut found = BTreeSet::new();
        for function in reached(restart.function, coded) {
            let name = coded.image.inventory().get(function).map(|function| function.full_name()).unwrap_or_default();
            for site in coded.image.calls(function) {
                let Some(calls) = opens(site, coded) else { continue };
                let line = coded.build.line_at(site.address).map(|(file, line)| format!("{file}:{line}"));
                found.insert(StartUpCall { entered: restart.name.clone(), function: name.clone(), calls, line });
            }
        }
        restart.start_up = found.into_iter().collect();
    }
}

/// A function and all that it calls directly, and so on.
fn reached(function: usize, coded: &Coded<'_, '_>) -> BTreeSet<FunctionId> {
    let mut reached: BTreeSet<FunctionId> = u32::try_from(function).ok().map(FunctionId).into_iter().collect();
    let mut open: Vec<FunctionId> = reached.iter().copied().collect();
    while let Some(function) = open.pop() {
        for site in coded.image.calls(function) {
            if let Callee::Function(called) = site.callee
                && reached.insert(called)
            {
                open.push(called);
            }
        }
    }
    reached
}

/// The function of the C library that a call opens something with.
fn opens(site: &CallSite, coded: &Coded<'_, '_>) -> Option<String> {
    let Callee::Import(import) = site.callee else { return None };
    let name = coded.image.import(import)?.name.as_str();
    // `__open_2`, `__open64_2`: what headers make of calls under `_FORTIFY_SOURCE`.
    let plain = name.strip_prefix("__").and_then(|name| name.strip_suffix("_2")).unwrap_or(name);
    OPENING.contains(&plain).then(|| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::plan::testing::answered;

    const SPEC: &str = "[[restart]]\nfunction = \"main\"\n";
    const COMMON: &str = "#include <signal.h>\n#include <stdio.h>\n#include <sys/socket.h>\n#include <unistd.h>\nint used;\n\
        __attribute__((noipa)) int deep(void) { return socket(2, 1, 0); }\n\
        __attribute__((noipa)) int never(void) { return pipe((int[2]){1, 2}); }\n";

    #[test]
    fn calls_that_open_something_are_found_wherever_they_are_made() {
        let old = format!("{COMMON}int main(void) {{ return deep() + used; }}");
        let new = format!("{COMMON}int main(void) {{ signal(10, SIG_IGN); puts(\"x\"); return deep() + listen(3, 4) + used; }}");
        let pair = answered(&old, &new, SPEC).unwrap();
        let found = &pair.comparison.bound.restarts[0].start_up;
        let told: Vec<(&str, &str)> = found.iter().map(|call| (call.function.as_str(), call.calls.as_str())).collect();
        assert_eq!(told, [("deep", "socket"), ("main", "listen"), ("main", "signal")]);
        assert!(found.iter().all(|call| call.entered == "main" && call.line.is_some()), "{found:?}");
    }
}
