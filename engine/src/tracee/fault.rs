//! Faults on purpose, so that tests can see what becomes of the target when a step fails or the engine dies at it.
//!
//! Steps are named: each phase of the transaction, and `call` for every injected system call. A fault strikes at the n-th
//! passage of its step, once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

/// What happens when a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The step fails with EIO.
    Fail,
    /// The engine is killed, as by SIGKILL.
    Die,
}

/// A fault: the step, the passage at which it strikes (from 1), and what happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    step: String,
    passage: u64,
    effect: Effect,
}

impl Fault {
    /// Parses `STEP:N` or `die:STEP:N`; `None` when the text has neither form.
    pub fn parse(text: &str) -> Option<Self> {
        let (effect, rest) = match text.strip_prefix("die:") {
            Some(rest) => (Effect::Die, rest),
            None => (Effect::Fail, text),
        };
        let (step, passage) = rest.split_once(':')?;
        Some(Self { step: step.to_owned(), passage: passage.parse().ok()?, effect })
    }
}

static FAULT: OnceLock<Fault> = OnceLock::new();
static PASSAGES: AtomicU64 = AtomicU64::new(0);

/// Arms `fault` for the rest of this process's life; a second one is ignored.
pub fn arm(fault: Fault) {
    let _ = FAULT.set(fault);
}

/// Passes a step: an error, or the end of the engine, when the armed fault strikes here.
pub fn pass(step: &str) -> Result<(), Errno> {
    let Some(fault) = FAULT.get().filter(|fault| fault.step == step) else { return Ok(()) };
    if PASSAGES.fetch_add(1, Ordering::Relaxed) + 1 != fault.passage {
        return Ok(());
    }
    match fault.effect {
        Effect::Fail => Err(Errno::EIO),
        Effect::Die => {
            // SAFETY: kill takes plain numbers; SIGKILL to ourselves does not return.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
            Err(Errno::EIO)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_understood() {
        let fault = |effect| Some(Fault { step: "exec".to_owned(), passage: 3, effect });
        assert_eq!(Fault::parse("exec:3"), fault(Effect::Fail));
        assert_eq!(Fault::parse("die:exec:3"), fault(Effect::Die));
        assert_eq!(Fault::parse("exec"), None);
        assert_eq!(Fault::parse("exec:x"), None);
    }
}
