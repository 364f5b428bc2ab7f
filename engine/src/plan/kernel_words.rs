//! Words of the program's that are not in its memory: registers, handlers, timers, pending signals, epoll data (PROOF 1.4).

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::{Kind, Pending, Registers, Snapshot, SocketState, Thread};

use super::blocker::PointerReason;
use super::data::rules::{Pointee, Rules};
use super::frames::Followed;
use super::pointers::{Decision, Pointers, Site};
use super::rewrite::Allocations;
use super::walk::KernelWords;
use super::words::{Holder, Words};
use crate::program::types::TypeId;

/// XSAVE standard format: the sixteen XMM registers, and where extended components begin behind the header.
const XMM: std::ops::Range<usize> = 160..416;
const EXTENDED: usize = 576;
/// `siginfo_t` (`include/uapi/asm-generic/siginfo.h`): number, error and code; then the address of a fault, or two numbers
/// (sender, timer) and a value.
const SIGINFO_CODE: usize = 8;
const SIGINFO_FIELDS: usize = 16;
const SIGINFO_VALUE: usize = 24;
/// Signals that the kernel sends with an address when their code is positive.
const FAULTS: [i32; 5] = [libc::SIGILL, libc::SIGTRAP, libc::SIGBUS, libc::SIGFPE, libc::SIGSEGV];

/// What epoll gives back for each descriptor that it watches, with a name for messages.
pub fn epoll_data(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let watches = snapshot.descriptors.descriptions.iter().filter_map(|description| match &description.kind {
        Kind::Epoll { watches } => Some(watches),
        _ => None,
    });
    watches.flatten().map(|watch| (format!("the epoll data of descriptor {}", watch.descriptor), watch.data)).collect()
}

/// The values of timers, and those that pending signals bring along, with a name for messages.
pub fn signal_values(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let timers = snapshot.timers.iter().flat_map(|timers| &timers.posix);
    let timers = timers.map(|timer| (format!("the value of timer {}", timer.id), timer.value.0));
    let own = snapshot.threads.iter().flat_map(|thread| &thread.pending);
    let signals = snapshot.signals.iter().flat_map(|signals| &signals.pending).chain(own).filter_map(|signal| {
        let word = signal.siginfo.get(SIGINFO_VALUE..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))?;
        (value_at(signal) == SIGINFO_VALUE).then(|| (format!("the value of the pending signal {}", signal.signal()), word))
    });
    timers.chain(signals).collect()
}

/// Rewrites every such word of `snapshot`. `rules` say what some of them point to.
pub fn rewrite(snapshot: &mut Snapshot, rules: &Rules, words: &mut Words<'_>) {
    let pointee = match rules.kernel_words.get(&KernelWords::Epoll) {
        Some(Pointee::Type(kind)) => Some(*kind),
        _ => None,
    };
    for thread in &mut snapshot.threads {
        registers(&mut thread.registers, thread.tid, words);
        vector_registers(thread, words);
        addresses(thread, words);
        pending(&mut thread.pending, words);
    }
    for signals in &mut snapshot.signals {
        for handler in &mut signals.handlers {
            let holder = Holder::Kernel { what: "the handler of signal", number: handler.signal.into() };
            if handler.handler.0 > 1 {
                rewrite_address(&mut handler.handler, words, holder);
            }
            rewrite_address(&mut handler.restorer, words, holder);
        }
        pending(&mut signals.pending, words);
    }
    for timer in snapshot.timers.iter_mut().flat_map(|timers| &mut timers.posix) {
        let holder = Holder::Value { what: "the value of timer", number: timer.id.into() };
        if let Some(word) = words.rewrite(timer.value.0, Site::Memory, holder) {
            timer.value = RunAddress(word);
        }
    }
    for description in &mut snapshot.descriptors.descriptions {
        descriptor(&mut description.kind, pointee, words);
    }
}

/// Gives registers, epoll data, and what comes with signals, their final values: `real` is the address for a place-holder. Says whether
/// epoll data changed.
pub fn settle(snapshot: &mut Snapshot, real: &dyn Fn(u64) -> Option<u64>) -> bool {
    for thread in &mut snapshot.threads {
        for (_, register) in named(&mut thread.registers) {
            *register = real(*register).unwrap_or(*register);
        }
        for at in lanes(thread.xstate.len()) {
            settle_word(thread.xstate.get_mut(at..at + 8).unwrap_or_default(), real);
        }
    }
    for signal in signals_of(snapshot) {
        let at = value_at(signal);
        settle_word(signal.siginfo.get_mut(at..at + 8).unwrap_or_default(), real);
    }
    for timer in snapshot.timers.iter_mut().flat_map(|timers| &mut timers.posix) {
        timer.value = RunAddress(real(timer.value.0).unwrap_or(timer.value.0));
    }
    let mut changed = false;
    for description in &mut snapshot.descriptors.descriptions {
        let Kind::Epoll { watches } = &mut description.kind else { continue };
        for watch in watches {
            if let Some(word) = real(watch.data) {
                watch.data = word;
                changed = true;
            }
        }
    }
    changed
}

/// Whether a timer, or a signal that waits, brings along the address of a block that is yet to be made.
pub fn signals_wait_for_blocks(snapshot: &Snapshot) -> bool {
    signal_values(snapshot).iter().any(|(_, word)| Allocations::may_hold(*word))
}

fn settle_word(bytes: &mut [u8], real: &dyn Fn(u64) -> Option<u64>) {
    let Some(word) = bytes.first_chunk_mut::<8>() else { return };
    if let Some(settled) = real(u64::from_le_bytes(*word)) {
        *word = settled.to_le_bytes();
    }
}

/// All signals that wait.
fn signals_of(snapshot: &mut Snapshot) -> impl Iterator<Item = &mut Pending> {
    let own = snapshot.threads.iter_mut().flat_map(|thread| &mut thread.pending);
    snapshot.signals.iter_mut().flat_map(|signals| &mut signals.pending).chain(own)
}

fn rewrite_address(address: &mut RunAddress, words: &mut Words<'_>, holder: Holder<'_>) {
    if let Some(word) = words.rewrite_address(address.0, holder) {
        *address = RunAddress(word);
    }
}

fn registers(registers: &mut Registers, tid: i32, words: &mut Words<'_>) {
    // XSAVE areas in signal frames, and vectors that are spilled whole.
    const ALIGNMENT: u64 = 64;
    let stack = registers.rsp;
    for (name, register) in named(registers) {
        if let Some(word) = words.rewrite(*register, Site::Register, Holder::Register { tid, name }) {
            *register = word;
        }
    }
    if !(registers.rsp ^ stack).is_multiple_of(ALIGNMENT)
        && let Some(link) = words.pointers.placement.old_link(stack)
    {
        let symbol = words.pointers.view.old.place(link.0);
        let reason = PointerReason::StackAlignment { symbol };
        words.block(stack, reason, true, Holder::Register { tid, name: "rsp" });
    }
}

/// Registers that may hold addresses. The instruction pointer is a code address by nature; the innermost function was found unchanged.
fn named(registers: &mut Registers) -> [(&'static str, &mut u64); 18] {
    [
        ("r15", &mut registers.r15),
        ("r14", &mut registers.r14),
        ("r13", &mut registers.r13),
        ("r12", &mut registers.r12),
        ("rbp", &mut registers.rbp),
        ("rbx", &mut registers.rbx),
        ("r11", &mut registers.r11),
        ("r10", &mut registers.r10),
        ("r9", &mut registers.r9),
        ("r8", &mut registers.r8),
        ("rax", &mut registers.rax),
        ("rcx", &mut registers.rcx),
        ("rdx", &mut registers.rdx),
        ("rsi", &mut registers.rsi),
        ("rdi", &mut registers.rdi),
        ("rip", &mut registers.rip),
        ("rsp", &mut registers.rsp),
        ("gs_base", &mut registers.gs_base),
    ]
}

/// Vector registers hold pointers only in the middle of a copy. In a system call that the C library makes none is live: what is
/// undecided there is a leftover.
fn vector_registers(thread: &mut Thread, words: &mut Words<'_>) {
    let leftover = thread.in_syscall.is_some();
    for at in lanes(thread.xstate.len()) {
        let Some(lane) = thread.xstate.get_mut(at..at + 8) else { continue };
        let word = lane.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        // Among small numbers a leftover says nothing at all.
        let is_small = leftover && words.typing.is_some() && words.pointers.placement.old_link(word).is_some();
        let is_gone = leftover && matches!(words.moves.frames().follow(word), Followed::Gone { .. });
        if is_small || is_gone || leftover && is_undecided(&words.pointers, word) {
            continue;
        }
        if let Some(word) = words.rewrite(word, Site::Register, Holder::Register { tid: thread.tid, name: "xmm/ymm" }) {
            lane.copy_from_slice(&word.to_le_bytes());
        }
    }
}

/// Offsets of what vector registers hold, word by word, in a state of `length` bytes.
fn lanes(length: usize) -> impl Iterator<Item = usize> {
    XMM.step_by(8).chain((EXTENDED..length.saturating_sub(7)).step_by(8))
}

fn is_undecided(pointers: &Pointers<'_>, word: u64) -> bool {
    matches!(pointers.decide(word, Site::Register), Some(Decision::Blocked(_)))
}

/// Addresses that the kernel was told: an alternate stack may be an array of the program's.
fn addresses(thread: &mut Thread, words: &mut Words<'_>) {
    let number = i64::from(thread.tid);
    rewrite_address(&mut thread.alt_stack.base, words, Holder::Kernel { what: "the alternate stack of thread", number });
    rewrite_address(&mut thread.clear_tid, words, Holder::Kernel { what: "the tid address of thread", number });
    rewrite_address(&mut thread.robust_list.head, words, Holder::Kernel { what: "the robust list of thread", number });
}

/// The address of a fault, or the value that the program sent along; elsewhere a word of the program's blocks.
fn pending(signals: &mut [Pending], words: &mut Words<'_>) {
    for signal in signals {
        let (what, number) = ("the pending signal", signal.signal().into());
        let known = value_at(signal);
        for at in (known..signal.siginfo.len().saturating_sub(7)).step_by(8) {
            let Some(field) = signal.siginfo.get_mut(at..at + 8) else { continue };
            let word = field.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            if at != known {
                in_transit(std::iter::once(&*field), words, Holder::Kernel { what, number });
            } else if let Some(word) = words.rewrite(word, Site::Memory, Holder::Value { what, number }) {
                field.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
}

/// Where in a signal's record the word is that the program may know.
fn value_at(signal: &Pending) -> usize {
    let code = signal.siginfo.get(SIGINFO_CODE..).and_then(|rest| rest.first_chunk()).map_or(0, |code| i32::from_le_bytes(*code));
    if FAULTS.contains(&signal.signal()) && code > 0 { SIGINFO_FIELDS } else { SIGINFO_VALUE }
}

fn descriptor(kind: &mut Kind, pointee: Option<TypeId>, words: &mut Words<'_>) {
    match kind {
        Kind::Epoll { watches } => {
            for watch in watches {
                let holder = Holder::Watch { descriptor: watch.descriptor };
                // Some of the data may lead to objects of other types, which variables lead to, too.
                let found = words.moves.objects().kind_at(RunAddress(watch.data));
                let pointee = pointee.filter(|kind| found == Some(*kind));
                if let Some(word) = words.rewrite_pointer(watch.data, Site::Memory, pointee, holder) {
                    watch.data = word;
                }
            }
        }
        Kind::Pipe { contents, inode, .. } => {
            in_transit(contents.windows(8), words, Holder::Kernel { what: "the contents of pipe", number: *inode as i64 });
        }
        Kind::Fifo { contents, .. } => {
            in_transit(
                contents.windows(8),
                words,
                Holder::Kernel { what: "the contents of a named pipe of", number: contents.len() as i64 },
            );
        }
        Kind::Socket(socket) if socket.state == SocketState::Connected => {
            let holder = Holder::Kernel { what: "a message queued in socket", number: socket.inode as i64 };
            for message in &socket.receive_queue {
                in_transit(message.windows(8), words, holder);
            }
        }
        _ => {}
    }
}

fn in_transit<'b>(bytes: impl Iterator<Item = &'b [u8]>, words: &mut Words<'_>, holder: Holder<'_>) {
    for part in bytes {
        let word = part.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        if let Some(link) = words.pointers.placement.old_link(word) {
            let symbol = words.pointers.view.old.place(link.0);
            words.block(word, PointerReason::InTransit { symbol }, true, holder);
        } else if words.moves.objects().holds(RunAddress(word)) {
            let symbol = "an object whose type changes".to_owned();
            words.block(word, PointerReason::InTransit { symbol }, true, holder);
        }
    }
}
