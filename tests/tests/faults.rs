//! A fault in every phase, and at injected system calls: the program goes on right, as old or as new, or is recovered.
//!
//! The names of the steps are those of `engine/src/update/phase.rs` and `engine/src/tracee/fault.rs`.

use dsu_tests::flavours::{Effect, full_matrix, with_fault};

const PHASES: [&str; 5] = ["stopped", "planned", "executed", "filled", "committed"];

/// More injected calls than any update of these programs makes.
const MANY_CALLS: u32 = 20_000;

fn at_every_phase(name: &str, effect: Effect) {
    for phase in PHASES {
        assert!(with_fault(name, phase, 1, effect), "{name}: no fault struck in phase {phase}");
    }
}

/// Strikes at injected calls, one update each, until a fault lies beyond the last call. Every call is tried when all is asked
/// for; otherwise every 13th, beginning at another one for each program.
fn at_calls(name: &str, effect: Effect) {
    let (first, stride) = if full_matrix() { (1, 1) } else { (1 + name.len() as u32 % 13, 13) };
    let mut passages = (first..MANY_CALLS).step_by(stride).take_while(|&passage| with_fault(name, "call", passage, effect));
    assert!(passages.by_ref().count() > 0, "{name}: no fault struck at a call");
}

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        mod fails_at_a_phase {
            $(#[test]
            fn $name() {
                super::at_every_phase(stringify!($name), super::Effect::Fail);
            })*
        }
        mod dies_at_a_phase {
            $(#[test]
            fn $name() {
                super::at_every_phase(stringify!($name), super::Effect::Die);
            })*
        }
    };
}
tests!(
    globals_move,
    function_pointers,
    retained_literals,
    cond_wait,
    mutex_robust,
    thread_local,
    signal_pending,
    signal_handlers,
    block_poll,
    posix_timers,
    itimer_running,
    epoll_data,
    tcp_established,
    file_locks,
    sysv_shm,
    memory_locked,
    madvise_flags,
    dlopen_lazy,
    exit_handlers,
    limits,
    priority,
    prctl_attributes,
    proc_self,
    other_user,
    service_user,
);

/// Only failures: when the engine dies, the filter that it had suspended is in force again, and kills the process at the
/// calls of its way back. That is the risk that `dsu` asks about.
#[test]
fn fails_at_a_phase_under_a_seccomp_filter() {
    at_every_phase("seccomp_strict", Effect::Fail);
}

/// A filter that allows what the way back is made of, in force again when the engine dies.
#[test]
fn dies_at_a_phase_under_a_lenient_seccomp_filter() {
    at_every_phase("seccomp_lenient", Effect::Die);
}

#[test]
fn dies_at_a_call_under_a_lenient_seccomp_filter() {
    at_calls("seccomp_lenient", Effect::Die);
}

#[test]
fn fails_at_a_call_with_threads() {
    at_calls("cond_wait", Effect::Fail);
}

#[test]
fn fails_at_a_call_with_kernel_state() {
    at_calls("prctl_attributes", Effect::Fail);
}

#[test]
fn fails_at_a_call_of_another_user() {
    at_calls("other_user", Effect::Fail);
}

#[test]
fn dies_at_a_call_of_a_service_user() {
    at_calls("service_user", Effect::Die);
}

#[test]
fn dies_in_the_exec_of_a_program_without_privilege() {
    for (step, passages) in [("exec", 3), ("exec-event", 2)] {
        for passage in 1..=passages {
            assert!(with_fault("service_user", step, passage, Effect::Die), "no fault struck at passage {passage} of {step}");
        }
    }
}

#[test]
fn dies_at_a_call_with_threads() {
    at_calls("cond_wait", Effect::Die);
}

#[test]
fn dies_at_a_call_with_kernel_state() {
    at_calls("posix_timers", Effect::Die);
}

/// Helping threads and pages made ahead are there at some of the calls.
#[test]
fn fails_at_a_call_with_much_memory() {
    at_calls("memory_large", Effect::Fail);
}

#[test]
fn dies_at_a_call_with_much_memory() {
    at_calls("memory_large", Effect::Die);
}
