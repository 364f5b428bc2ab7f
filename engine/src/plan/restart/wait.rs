//! Where a thread's frames can be given up: in a system call that has done nothing yet, made by a function of the C library that keeps
//! nothing for its way out.

use dsu_formats::model::latest::Thread;
use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind};

use super::{Reason, Restart};
use crate::plan::link::scope::LoadedLibrary;
use crate::plan::safe_point::Examiner;
use crate::program::address::LinkAddress;
use crate::program::unwind::Frame;

/// Functions of the C library that make one system call and keep nothing for their way out but their frame and the thread's type of
/// cancellation, with the calls. Functions that wait with a lock, a count or a list entry of theirs (`pthread_cond_wait`, `sem_wait`,
/// `pthread_join`, `fread`, `malloc`) are none of them, and neither is `connect`, whose connection goes on.
pub const WAITS: [(&str, &[i64]); 32] = [
    ("read", &[libc::SYS_read]),
    ("readv", &[libc::SYS_readv]),
    ("pread", &[libc::SYS_pread64]),
    ("pread64", &[libc::SYS_pread64]),
    ("write", &[libc::SYS_write]),
    ("writev", &[libc::SYS_writev]),
    ("recv", &[libc::SYS_recvfrom]),
    ("recvfrom", &[libc::SYS_recvfrom]),
    ("recvmsg", &[libc::SYS_recvmsg]),
    ("recvmmsg", &[libc::SYS_recvmmsg]),
    ("send", &[libc::SYS_sendto]),
    ("sendto", &[libc::SYS_sendto]),
    ("sendmsg", &[libc::SYS_sendmsg]),
    ("accept", &[libc::SYS_accept]),
    ("accept4", &[libc::SYS_accept4]),
    ("poll", &[libc::SYS_poll]),
    ("ppoll", &[libc::SYS_ppoll]),
    ("select", &[libc::SYS_select, libc::SYS_pselect6]),
    ("pselect", &[libc::SYS_pselect6]),
    ("epoll_wait", &[libc::SYS_epoll_wait]),
    ("epoll_pwait", &[libc::SYS_epoll_pwait]),
    ("epoll_pwait2", &[libc::SYS_epoll_pwait2]),
    ("nanosleep", &[libc::SYS_nanosleep, libc::SYS_clock_nanosleep]),
    ("clock_nanosleep", &[libc::SYS_clock_nanosleep]),
    ("pause", &[libc::SYS_pause, libc::SYS_ppoll]),
    ("sigsuspend", &[libc::SYS_rt_sigsuspend]),
    ("sigwaitinfo", &[libc::SYS_rt_sigtimedwait]),
    ("sigtimedwait", &[libc::SYS_rt_sigtimedwait]),
    ("wait4", &[libc::SYS_wait4]),
    ("waitpid", &[libc::SYS_wait4]),
    ("waitid", &[libc::SYS_waitid]),
    ("msgrcv", &[libc::SYS_msgrcv]),
];
/// Functions that do nothing but call one of them.
const AROUND: [(&str, &str); 6] = [
    ("sleep", "clock_nanosleep"),
    ("usleep", "clock_nanosleep"),
    ("nanosleep", "clock_nanosleep"),
    ("sigwait", "sigtimedwait"),
    ("sigwaitinfo", "sigtimedwait"),
    ("wait", "wait4"),
];

/// A wait that is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// Function of the C library; `None`: the program makes the call itself.
    pub(super) function: Option<&'static str>,
    /// Position of the C library, if it is in one of its functions.
    pub(super) library: Option<usize>,
    call: u64,
}

impl Wait {
    /// What is given up, for people.
    pub(super) fn describe(&self) -> String {
        match self.function {
            Some(function) => format!("`{function}`, in which it waited,"),
            None => format!("system call {}, in which it waited,", self.call),
        }
    }
}

/// Whether a spec may name the function as one to wait in.
pub fn is_wait(name: &str) -> bool {
    WAITS.iter().any(|(own, _)| *own == name) || AROUND.iter().any(|(own, _)| *own == name)
}

/// The wait that `frames`, innermost first, are in, if nothing is lost when they go.
pub(super) fn given_up(examiner: &Examiner<'_>, restart: &Restart, thread: &Thread, frames: &[Frame]) -> Result<Wait, Reason> {
    if frames.iter().any(|frame| frame.is_signal_frame) {
        return Err(Reason::passing("the thread handles a signal there"));
    }
    let call = thread.in_syscall.filter(|call| call.restart);
    let call = call.ok_or_else(|| Reason::passing("the thread does not wait in a system call that can be given up"))?.number;
    let own = frames.iter().take_while(|frame| !is_program(frame)).count();
    let (library, program) = frames.split_at(own);
    if let Some(frame) = program.iter().find(|frame| !is_program(frame)) {
        let what = name(examiner, frame).unwrap_or_else(|| "a library".to_owned());
        return Err(Reason::passing(format!("`{what}` would be left in the middle: it called a function that is to give way")));
    }
    let undescribed = |frame: &&Frame| frame.module.is_none_or(|(_, link)| examiner.view.old.unit_at(link).is_none());
    if let Some(frame) = program.iter().find(undescribed) {
        let reason = format!("{} is code without debug information, of which is not known what it keeps", frame.pc);
        return Err(Reason::lasting(reason));
    }
    let wait = match library {
        [] => direct(call)?,
        [innermost, around @ ..] => within(examiner, call, innermost, around)?,
    };
    let outer = library.last().and_then(|frame| name(examiner, frame));
    let is_in = |name: &&String| outer.as_ref() == Some(*name) || wait.function == Some(name.as_str());
    match &restart.waits_in {
        Some(names) if !names.iter().any(|name| is_in(&name)) => {
            let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
            Err(Reason::passing(format!("it is to wait in {names}, and waits in {}", wait.describe().trim_end_matches(','))))
        }
        _ => Ok(wait),
    }
}

fn is_program(frame: &Frame) -> bool {
    matches!(frame.module, Some((0, _)))
}

fn direct(call: u64) -> Result<Wait, Reason> {
    let known = WAITS.iter().any(|(_, calls)| calls.iter().any(|own| u64::try_from(*own) == Ok(call)));
    let wait = Wait { function: None, library: None, call };
    known.then_some(wait).ok_or_else(|| Reason::passing(format!("system call {call} cannot be given up")))
}

/// A call that the C library makes in `innermost`, called by `around`.
fn within(examiner: &Examiner<'_>, call: u64, innermost: &Frame, around: &[Frame]) -> Result<Wait, Reason> {
    let (number, loaded, link) = place(examiner, innermost).ok_or_else(|| Reason::passing("the thread is in unknown code"))?;
    let lost = |frame: &Frame| {
        let what = name(examiner, frame).unwrap_or_else(|| "a function of a library".to_owned());
        Reason::passing(format!("the thread waits in `{what}`, which would lose a lock, a place in a list, or a result"))
    };
    let makes = |(name, calls): &&(&'static str, &[i64])| {
        calls.iter().any(|own| u64::try_from(*own) == Ok(call)) && symbols(loaded, link).any(|symbol| symbol.0 == *name)
    };
    let found = WAITS.iter().find(makes).filter(|_| loaded.library.is_libc());
    let (function, _) = found.ok_or_else(|| lost(innermost))?;
    let mut below = *function;
    for frame in around {
        let (outer, loaded, link) = place(examiner, frame).ok_or_else(|| lost(frame))?;
        let calls =
            |(name, callee): &&(&'static str, &str)| *callee == below && symbols(loaded, link).any(|symbol| symbol.0 == *name);
        let found = AROUND.iter().find(calls).filter(|_| outer == number);
        below = found.ok_or_else(|| lost(frame))?.0;
    }
    if symbols(loaded, link).any(|(_, start, size)| has_lock(loaded, start, size)) {
        return Err(lost(innermost));
    }
    Ok(Wait { function: Some(function), library: Some(number), call })
}

/// The library that a frame is in, by its position, and the place there.
fn place<'e>(examiner: &Examiner<'e>, frame: &Frame) -> Option<(usize, &'e LoadedLibrary<'e>, LinkAddress)> {
    let (module, link) = frame.module?;
    let number = module.checked_sub(1)?;
    examiner.libraries.get(number).map(|loaded| (number, loaded, link))
}

/// Exported functions that hold a place: name, start, size.
fn symbols<'l>(loaded: &'l LoadedLibrary<'_>, link: LinkAddress) -> impl Iterator<Item = (&'l str, LinkAddress, u64)> {
    let holds = move |symbol: &&crate::program::elf::DynamicSymbol| {
        symbol.defined
            && symbol.kind == crate::plan::abi::STT_FUNC
            && link.0.checked_sub(symbol.address.0).is_some_and(|skip| skip < symbol.size)
    };
    loaded.library.elf.dynamic_symbols.iter().filter(holds).map(|symbol| (symbol.name.as_str(), symbol.address, symbol.size))
}

fn name(examiner: &Examiner<'_>, frame: &Frame) -> Option<String> {
    let (_, loaded, link) = place(examiner, frame)?;
    symbols(loaded, link).map(|symbol| symbol.0.to_owned()).min_by_key(|name| (name.starts_with('_'), name.clone()))
}

/// Whether code locks anything, so that more than a call may be under way in it.
fn has_lock(loaded: &LoadedLibrary<'_>, start: LinkAddress, size: u64) -> bool {
    let Some(code) = loaded.library.elf.file_bytes(start, size) else { return true };
    let mut all = Decoder::with_ip(64, code, start.0, DecoderOptions::NONE).into_iter();
    all.any(|one| {
        let exchanges = one.mnemonic() == Mnemonic::Xchg && one.op0_kind() == OpKind::Memory;
        one.has_lock_prefix() || exchanges
    })
}
