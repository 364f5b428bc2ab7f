//! Attributes of real threads, captured from one process and given to another.

use super::*;
use crate::resources::testing::Target;
use crate::resources::{credentials, process};
use crate::tracee::batch::together;
use dsu_formats::model::latest::Registers;

const PROGRAM: &str = r#"
    #include <pthread.h>
    #include <sched.h>
    #include <signal.h>
    #include <sys/prctl.h>
    #include <sys/resource.h>
    #include <sys/syscall.h>
    static void *run(void *unused) {
        static char stack[65536];
        stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
        CHECK(sigaltstack(&alternate, 0));
        CHECK(prctl(PR_SET_NAME, "worker (1"));
        CHECK(prctl(PR_SET_TIMERSLACK, 70000));
        CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR2));
        CHECK(setpriority(PRIO_PROCESS, gettid(), 7));
        CHECK(syscall(SYS_ioprio_set, 1, 0, 3 << 13));
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(0, &one);
        CHECK(sched_setaffinity(0, sizeof one, &one));
        struct sched_param none = { 0 };
        CHECK(sched_setscheduler(0, SCHED_BATCH, &none));
        say("%d", gettid());
        say("%p", stack);
        for (;;) pause();
    }
    int main(void) {
        CHECK(prctl(PR_SET_DUMPABLE, 0));
        CHECK(prctl(PR_SET_DUMPABLE, 1));
        CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1));
        CHECK(syscall(SYS_membarrier, 16, 0, 0));
        CHECK(chdir("/"));
        umask(027);
        pthread_t thread;
        pthread_create(&thread, 0, run, 0);
        wait_for_end();
    }"#;

fn blank(tid: i32) -> Thread {
    Thread {
        process: 0,
        tid,
        name: Vec::new(),
        registers: Registers::default(),
        in_syscall: None,
        xstate: Vec::new(),
        signal_mask: 0,
        pending: Vec::new(),
        alt_stack: AltStack::default(),
        robust_list: RobustList::default(),
        clear_tid: RunAddress(0),
        rseq: None,
        affinity: Vec::new(),
        scheduling: Scheduling::default(),
        io_priority: 0,
        timer_slack_ns: 0,
        parent_death_signal: 0,
        seccomp_mode: 0,
        seccomp_filters: 0,
    }
}

fn captured(injector: &mut dyn Injector, tid: i32) -> Thread {
    let status = Status::read(injector.memory().pid(), tid).unwrap();
    let mut thread = blank(tid);
    ThreadAttributes::capture(injector, tid, &status).unwrap().fill(&mut thread);
    thread
}

#[test]
fn a_threads_attributes_are_captured_and_another_thread_gets_them() {
    let mut target = Target::start(PROGRAM);
    let tid: i32 = target.line().parse().unwrap();
    let stack = target.address();
    let mut injector = target.borrow();
    let thread = captured(&mut injector, tid);
    assert_eq!(thread.name, b"worker (1");
    assert_eq!(thread.alt_stack, AltStack { base: RunAddress(stack), flags: 0, size: 65536 });
    assert_eq!((thread.timer_slack_ns, thread.parent_death_signal), (70000, libc::SIGUSR2));
    assert_eq!((thread.scheduling.nice, thread.scheduling.policy as i32), (7, libc::SCHED_BATCH));
    assert_eq!((thread.io_priority, thread.affinity[0]), (3 << 13, 1));
    assert!(thread.robust_list.head.0 != 0 && thread.clear_tid.0 != 0);
    let leader = captured(&mut injector, target.pid());
    assert_eq!(leader.alt_stack.flags & SS_DISABLE, SS_DISABLE);
    assert_eq!(blockers(&[leader, thread.clone()]), []);
    drop(injector);

    let other = Target::idle();
    let mut injector = other.borrow();
    assert!(verify(&mut injector, other.pid(), &thread).is_err());
    together(&mut injector, |batch| give_back(batch, other.pid(), &thread)).unwrap();
    verify(&mut injector, other.pid(), &thread).unwrap();
}

#[test]
fn process_attributes_are_captured_and_another_process_gets_them() {
    let mut target = Target::start(PROGRAM);
    target.line();
    let mut injector = target.borrow();
    let status = Status::read(target.pid(), target.pid()).unwrap();
    let saved = process::capture(&mut injector, &status).unwrap();
    assert!(saved.child_subreaper && saved.dumpable == 1 && !saved.thp_disable);
    assert_eq!((saved.pid, saved.filesystem.cwd.as_slice(), saved.filesystem.umask), (target.pid(), &b"/"[..], 0o27));
    assert_eq!(saved.membarrier_registrations & 16, 16);
    assert_eq!(process::blockers(&saved), []);
    let user = credentials::capture(&mut injector, &status).unwrap();
    assert_eq!(user.uids[0], nix::unistd::getuid().as_raw());
    drop(injector);

    let other = Target::idle();
    let mut injector = other.borrow();
    let expected = dsu_formats::model::latest::Process { pid: other.pid(), ..saved };
    assert!(process::verify(&mut injector, &expected).is_err());
    together(&mut injector, |batch| process::restore(batch, &expected)).unwrap();
    crate::resources::filesystem::restore(&mut injector, &expected.filesystem).unwrap();
    process::verify(&mut injector, &expected).unwrap();
    let status = Status::read(other.pid(), other.pid()).unwrap();
    together(&mut injector, |batch| credentials::give_back(batch, other.pid(), &user, &status)).unwrap();
    credentials::verify(other.pid(), other.pid(), &user).unwrap();
}

#[test]
fn credentials_of_another_user_are_restored_in_a_fresh_process() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut target = Target::start(
        r#"
        #include <grp.h>
        int main(void) {
            gid_t groups[] = { 5, 6 };
            CHECK(setgroups(2, groups));
            CHECK(setresgid(100, 100, 100));
            CHECK(setresuid(1000, 1000, 1001));
            say("x");
            wait_for_end();
        }"#,
    );
    target.line();
    let status = Status::read(target.pid(), target.pid()).unwrap();
    let saved = credentials::capture(&mut target.borrow(), &status).unwrap();
    assert_eq!((saved.uids, saved.groups.as_slice()), ([1000, 1000, 1001, 1000], &[5, 6][..]));
    let texts: Vec<_> = credentials::blockers(&saved, 0).iter().map(ToString::to_string).collect();
    // An exec would take the saved user.
    assert!(texts.len() == 1 && texts[0].contains("saved and file-system user"), "{texts:?}");
    let other = Target::idle();
    let mut injector = other.borrow();
    let status = Status::read(other.pid(), other.pid()).unwrap();
    together(&mut injector, |batch| credentials::restore(batch, other.pid(), &saved, &status)).unwrap();
    credentials::verify(other.pid(), other.pid(), &saved).unwrap();
}
