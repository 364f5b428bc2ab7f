//! Faults on purpose, so that tests can see what becomes of the target when a step fails or the engine dies at it.
//!
//! Steps are named: each phase of the transaction, `exec` and `exec-event` before and after the point of no return, `call` for every
//! injected system call, `table` for every time that the vessel has begun to make calls by itself, and `step` for every instruction that
//! a thread is let on by. A fault strikes at the n-th passage of its step, once.

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
    /// Parses faults between commas.
    pub fn parse_all(text: &str) -> Option<Vec<Self>> {
        text.split(',').map(Self::parse).collect()
    }

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

/// Faults, each with the passages of its step so far.
static FAULTS: OnceLock<Vec<(Fault, AtomicU64)>> = OnceLock::new();

/// Arms `faults` for the rest of this process's life; a second list is ignored.
pub fn arm(faults: Vec<Fault>) {
    let _ = FAULTS.set(faults.into_iter().map(|fault| (fault, AtomicU64::new(0))).collect());
}

/// A fault that strikes among several passages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// The passage at which it does, from 0.
    pub index: usize,
    effect: Effect,
}

impl Strike {
    /// The error of the step that was struck, or the end of the engine.
    pub fn land(self) -> Errno {
        if self.effect == Effect::Die {
            // SAFETY: kill takes plain numbers; SIGKILL to ourselves does not return.
            unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        }
        Errno::EIO
    }
}

/// Passes a step: an error, or the end of the engine, when an armed fault strikes here.
pub fn pass(step: &str) -> Result<(), Errno> {
    match pass_each(step, 1) {
        Some(strike) => Err(strike.land()),
        None => Ok(()),
    }
}

/// Passes a step `count` times; says where an armed fault is to strike first, if one is among these passages.
pub fn pass_each(step: &str, count: usize) -> Option<Strike> {
    let armed = FAULTS.get().map_or(&[][..], Vec::as_slice);
    let strikes = armed.iter().filter(|(fault, _)| fault.step == step).filter_map(|(fault, passages)| {
        let before = passages.fetch_add(count as u64, Ordering::Relaxed);
        strike_among(fault, before, count)
    });
    // Every fault of the step counts these passages.
    strikes.collect::<Vec<_>>().into_iter().min_by_key(|strike| strike.index)
}

/// Where `fault` strikes in the `count` passages after the first `before`.
fn strike_among(fault: &Fault, before: u64, count: usize) -> Option<Strike> {
    let index = fault.passage.checked_sub(before + 1)?;
    (index < count as u64).then_some(Strike { index: index as usize, effect: fault.effect })
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
        assert_eq!(Fault::parse_all("exec:3,die:exec:3").map(|faults| faults.len()), Some(2));
        assert_eq!(Fault::parse_all("exec:3,"), None);
    }

    #[test]
    fn a_fault_strikes_at_its_passage_and_at_no_other() {
        let fault = Fault { step: "call".to_owned(), passage: 5, effect: Effect::Fail };
        let at = |before, count| strike_among(&fault, before, count).map(|strike| strike.index);
        assert_eq!((at(0, 4), at(0, 5), at(4, 1), at(2, 10), at(5, 10)), (None, Some(4), Some(0), Some(2), None));
    }
}
