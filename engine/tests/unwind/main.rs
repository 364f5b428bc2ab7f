//! Unwinds real, stopped threads: recursion, signal handlers, callbacks, system calls, and every single instruction of a walk
//! through lazy binding, libc and the vdso.

mod target;

use std::collections::BTreeSet;

use dsu_engine::program::unwind::{Base, End, Place, dwarf};
use dsu_formats::address::RunAddress;
use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use target::{Target, compile};

const BUILDS: [&[&str]; 4] = [
    &["-O0", "-g"],
    &["-O2", "-g", "-fomit-frame-pointer"],
    &["-O2", "-g", "-Wl,-z,lazy", "-fcf-protection=full"],
    &["-O2", "-no-pie", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-g", "-gz"],
];

/// The position of each name among the frames; they must come in the given order.
fn assert_in_order(found: &[String], expected: &[&str]) {
    let mut rest = found.iter();
    for name in expected {
        assert!(rest.any(|function| function == name), "expected {expected:?} in order, found {found:?}");
    }
}

fn with_each_build(what: &str, check: impl Fn(&Target)) {
    for flags in BUILDS {
        let directory = tempfile::tempdir().expect("a directory");
        let target = Target::stopped(&compile(directory.path(), flags), what);
        check(&target);
    }
}

fn assert_complete(target: &Target) -> Vec<String> {
    let stack = target.walk();
    let functions = target.functions(&stack);
    match stack.end {
        End::Complete(_) => functions,
        End::Incomplete(reason) => panic!("{reason} after {functions:?}"),
    }
}

#[test]
fn recursion_is_walked_to_the_start() {
    with_each_build("recursion", |target| {
        let functions = assert_complete(target);
        assert_in_order(&functions, &["stop_here", "recurse", "main", "_start"]);
        assert_eq!(functions.iter().filter(|name| *name == "recurse").count(), 41, "{functions:?}");
    });
}

#[test]
fn slots_and_registers_are_where_the_walk_says() {
    with_each_build("recursion", |target| {
        let stack = target.walk();
        assert!(stack.end.is_complete());
        let word = |address: RunAddress| {
            let mut bytes = [0; 8];
            target.read(address, &mut bytes).expect("a stack slot");
            u64::from_le_bytes(bytes)
        };
        for pair in stack.frames.windows(2) {
            let [callee, caller] = pair else { unreachable!() };
            assert!(caller.cfa > callee.cfa);
            assert_eq!(word(callee.return_slot.expect("a call stores its return address")), caller.pc.0);
            assert_eq!(caller.registers[dwarf::RSP].map(|rsp| rsp.value), Some(callee.cfa.0));
            for known in caller.registers.iter().flatten() {
                if let Place::Slot(slot) = known.place {
                    assert_eq!(word(slot), known.value);
                }
            }
        }
        let innermost = target.registers();
        let saved = stack.frames.last().expect("frames").registers[dwarf::R12];
        let first = stack.frames.first().expect("frames");
        assert_eq!(first.registers[dwarf::R12].map(|r| r.value), Some(innermost.general[dwarf::R12]));
        assert!(saved.is_some(), "callee-saved registers stay known up to the base");
        assert!(stack.frames[1].registers[dwarf::RAX].is_none(), "call-clobbered registers are lost");
    });
}

#[test]
fn a_signal_on_another_stack_is_crossed() {
    with_each_build("signal", |target| {
        let stack = target.walk();
        let functions = target.functions(&stack);
        assert!(stack.end.is_complete(), "{:?} after {functions:?}", stack.end);
        assert_in_order(&functions, &["stop_here", "on_signal", "interrupted", "main", "_start"]);
        let at = stack.frames.iter().position(|frame| frame.is_signal_frame).expect("a signal frame");
        assert_eq!(functions[at - 1], "on_signal");
        let interrupted = &stack.frames[at + 1];
        assert_eq!(interrupted.lookup, interrupted.pc, "the place where a signal struck is exact");
        assert!(interrupted.registers.iter().all(Option::is_some), "the kernel saved every register");
        assert!(matches!(interrupted.registers[dwarf::RAX].map(|rax| rax.place), Some(Place::Slot(_))));
    });
}

#[test]
fn a_callback_under_the_c_library_is_walked() {
    with_each_build("qsort", |target| {
        assert_in_order(&assert_complete(target), &["stop_here", "compare", "sorter", "main", "_start"]);
    });
}

#[test]
fn a_thread_ends_at_its_own_base() {
    with_each_build("thread", |target| {
        let stack = target.walk();
        let functions = target.functions(&stack);
        assert!(matches!(stack.end, End::Complete(Base::UndefinedReturnAddress { .. })), "{:?} {functions:?}", stack.end);
        assert_in_order(&functions, &["stop_here", "recurse", "thread_body"]);
        assert!(!functions.contains(&"main".to_owned()));
    });
}

#[test]
fn a_system_call_is_unwound_from() {
    with_each_build("sleep", |target| {
        loop {
            ptrace::syscall(target.thread, None).expect("goes on");
            assert!(matches!(waitpid(target.thread, None), Ok(WaitStatus::Stopped(..))));
            let registers = ptrace::getregs(target.thread).expect("registers");
            if registers.orig_rax == nix::libc::SYS_clock_nanosleep as u64 {
                break;
            }
        }
        assert_in_order(&assert_complete(target), &["sleeper", "main", "_start"]);
    });
}

#[test]
fn every_instruction_of_a_walk_is_unwound() {
    for flags in &BUILDS[1..3] {
        let directory = tempfile::tempdir().expect("a directory");
        let target = Target::stopped(&compile(directory.path(), flags), "walk");
        let mut unwinder = target.unwinder();
        let mut modules = BTreeSet::new();
        let mut steps = 0;
        loop {
            let registers = target.registers();
            let stack = unwinder.walk(&registers, |address, buffer| target.read(address, buffer));
            let functions = target.functions(&stack);
            assert!(stack.end.is_complete(), "step {steps}: {:?} after {functions:?}", stack.end);
            assert_eq!(functions.last().map(String::as_str), Some("_start"));
            modules.extend(target.module_path(registers.pc).map(str::to_owned));
            if functions[0] == "main" || functions[0] == "exit" {
                break;
            }
            assert!(functions.contains(&"main".to_owned()), "step {steps}: {functions:?}");
            ptrace::step(target.thread, None).expect("steps");
            match waitpid(target.thread, None) {
                Ok(WaitStatus::Stopped(..)) => steps += 1,
                other => panic!("expected a step, found {other:?}"),
            }
        }
        assert!(steps > 500, "only {steps} steps");
        assert!(modules.iter().any(|path| path == "[vdso]"), "{modules:?}");
        assert!(modules.iter().any(|path| path.contains("libc.so")), "{modules:?}");
    }
}
