//! Signal handlers. An exec keeps "ignored" and takes everything else, flags and masks included.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::{Handler, ProcessSignals};

use super::error::ResourceError;
use super::questions::{Answers, Questions, Ticket};
use super::scratch::word;
use super::status::Status;
use crate::tracee::batch::Batch;
use crate::tracee::inject::Injector;
use crate::tracee::step;

const SIGNALS: u8 = 64;
const SIG_IGN: u64 = 1;

/// Reads the handlers of the process: one injected call for each signal that is caught or ignored, and for SIGCHLD, whose
/// flags mean something beside the default handler too.
pub fn capture_handlers(injector: &mut dyn Injector, status: &Status) -> Result<Vec<Handler>, ResourceError> {
    let mut questions = Questions::new(injector);
    let asked = ask_handlers(&mut questions, status);
    Ok(handlers(&questions.put(injector)?, &asked)?.0)
}

/// Adds the questions for the handlers.
pub(crate) fn ask_handlers(questions: &mut Questions, status: &Status) -> Vec<(u8, Ticket)> {
    let asked = status.caught | status.ignored | bit(libc::SIGCHLD as u8);
    let mut ask =
        |signal: u8| questions.ask_any("rt_sigaction", libc::SYS_rt_sigaction, |place| [u64::from(signal), 0, place, 8]);
    let signals = (1..=SIGNALS).filter(|signal| asked & bit(*signal) != 0 && is_changeable(*signal));
    signals.map(|signal| (signal, ask(signal))).collect()
}

/// The handlers that are not the default, and whether an engine that died while it stepped a thread has left its own where the default was.
pub(crate) fn handlers(answers: &Answers, asked: &[(u8, Ticket)]) -> Result<(Vec<Handler>, bool), ResourceError> {
    let (mut handlers, mut has_guard) = (Vec::new(), false);
    for (signal, ticket) in asked {
        let bytes = answers.bytes::<32>(*ticket)?;
        let handler = Handler {
            signal: *signal,
            handler: RunAddress(word(&bytes, 0)),
            flags: word(&bytes, 8),
            restorer: RunAddress(word(&bytes, 16)),
            mask: word(&bytes, 24),
        };
        match step::is_guard(&handler) {
            true => has_guard = true,
            false if handler != default(*signal) => handlers.push(handler),
            false => {}
        }
    }
    Ok((handlers, has_guard))
}

/// Sets the handlers of the vessel, hot or cold, and the default where it ignores a signal (`ignored`) that the process did not.
///
/// Comes before pending signals are put back: setting a signal to be ignored discards those that wait.
pub fn give_back(batch: &mut Batch<'_>, saved: &ProcessSignals, ignored: u64) -> Result<(), ResourceError> {
    for signal in (1..=SIGNALS).filter(|signal| is_changeable(*signal)) {
        let handler = saved.handlers.iter().find(|handler| handler.signal == signal).copied().unwrap_or_else(|| default(signal));
        let present = Handler { handler: RunAddress(if ignored & bit(signal) != 0 { SIG_IGN } else { 0 }), ..default(signal) };
        if handler != present {
            let words = [handler.handler.0, handler.flags, handler.restorer.0, handler.mask];
            batch.leader_with("rt_sigaction", libc::SYS_rt_sigaction, |at| {
                (words.into_iter().flat_map(u64::to_le_bytes).collect(), [u64::from(signal), at, 0, 8])
            })?;
        }
    }
    Ok(())
}

/// Compares the handlers with what they should be.
pub fn verify(injector: &mut dyn Injector, saved: &ProcessSignals) -> Result<(), ResourceError> {
    let pid = injector.memory().pid();
    let found = capture_handlers(injector, &Status::read(pid, pid)?)?;
    if found == saved.handlers {
        return Ok(());
    }
    Err(ResourceError::NotGivenBack {
        object: format!("the signal handlers of process {pid}"),
        expected: format!("{:x?}", saved.handlers),
        found: format!("{found:x?}"),
    })
}

fn default(signal: u8) -> Handler {
    Handler { signal, handler: RunAddress(0), flags: 0, restorer: RunAddress(0), mask: 0 }
}

fn bit(signal: u8) -> u64 {
    1 << (signal - 1)
}

fn is_changeable(signal: u8) -> bool {
    !matches!(i32::from(signal), libc::SIGKILL | libc::SIGSTOP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::Target;
    use crate::tracee::batch::together;

    const PROGRAM: &str = r#"
        #include <signal.h>
        static void handle(int signal, siginfo_t *info, void *context) {}
        int main(void) {
            struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART };
            sigaddset(&action.sa_mask, SIGUSR2);
            CHECK(sigaction(SIGUSR1, &action, 0));
            struct sigaction children = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT };
            CHECK(sigaction(SIGCHLD, &children, 0));
            signal(SIGHUP, SIG_IGN);
            signal(SIGPIPE, SIG_DFL);
            say("%p", handle);
            wait_for_end();
        }"#;

    fn saved(target: &Target) -> ProcessSignals {
        let status = Status::read(target.pid(), target.pid()).unwrap();
        ProcessSignals { handlers: capture_handlers(&mut target.borrow(), &status).unwrap(), pending: Vec::new() }
    }

    #[test]
    fn handlers_are_captured_with_flags_and_masks() {
        let mut target = Target::start(PROGRAM);
        let handle = target.address();
        let handlers = saved(&target).handlers;
        let of = |signal: i32| handlers.iter().find(|handler| i32::from(handler.signal) == signal);
        let caught = of(libc::SIGUSR1).unwrap();
        assert_eq!((caught.handler.0, caught.mask), (handle, bit(libc::SIGUSR2 as u8)));
        assert_ne!(caught.flags & (libc::SA_SIGINFO | libc::SA_RESTART) as u64, 0);
        assert_ne!(caught.restorer.0, 0);
        assert_eq!(of(libc::SIGHUP).unwrap().handler.0, SIG_IGN);
        let children = of(libc::SIGCHLD).unwrap();
        assert_eq!((children.handler.0, children.flags & libc::SA_NOCLDWAIT as u64), (0, libc::SA_NOCLDWAIT as u64));
        assert!(of(libc::SIGPIPE).is_none(), "{handlers:?}");
    }

    #[test]
    fn another_process_gets_the_same_handlers() {
        let mut target = Target::start(PROGRAM);
        target.line();
        let saved = saved(&target);
        let mut other = Target::start(
            r#"
            #include <signal.h>
            int main(void) { signal(SIGTERM, SIG_IGN); say("x"); wait_for_end(); }"#,
        );
        other.line();
        let mut injector = other.borrow();
        assert!(verify(&mut injector, &saved).is_err());
        let ignored = Status::read(other.pid(), other.pid()).unwrap().ignored;
        together(&mut injector, |batch| give_back(batch, &saved, ignored)).unwrap();
        verify(&mut injector, &saved).unwrap();
    }
}
