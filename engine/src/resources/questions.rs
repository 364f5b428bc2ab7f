//! Calls of the tracee that only ask, made together: each in a thread of its own where there are enough, each with a place of
//! its own for what the kernel writes. A stopped process waits for the slowest of them, not for their sum.

use nix::errno::Errno;

use super::error::ResourceError;
use super::scratch;
use crate::tracee::batch::Call;
use crate::tracee::error::TraceeError;
use crate::tracee::inject::Injector;

/// Room for what one call writes, in bytes.
const PLACE: u64 = 32;

/// Questions that were not put yet.
pub(crate) struct Questions {
    threads: Vec<i32>,
    start: u64,
    places: usize,
    next_thread: usize,
    calls: Vec<Call>,
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(usize);

/// What the kernel answered.
pub(crate) struct Answers {
    calls: Vec<Call>,
    values: Vec<Result<u64, Errno>>,
    written: Vec<u8>,
}

impl Questions {
    /// No questions yet to the process behind `injector`.
    pub(crate) fn new(injector: &dyn Injector) -> Self {
        let range = injector.scratch();
        let places = (range.len() / PLACE) as usize;
        Self { threads: injector.threads().to_vec(), start: range.start.0, places, next_thread: 0, calls: Vec::new() }
    }

    /// Asks thread `tid`. `arguments` is given an address for at most 32 bytes that the call writes.
    pub(crate) fn ask<const N: usize>(
        &mut self,
        tid: i32,
        name: &'static str,
        number: i64,
        arguments: impl FnOnce(u64) -> [u64; N],
    ) -> Ticket {
        let position = self.calls.len();
        // Beyond the last place calls are made in turns, which use the same places again.
        let place = self.start + (position % self.places.max(1)) as u64 * PLACE;
        self.calls.push(Call::new(tid, name, number, arguments(place)));
        Ticket(position)
    }

    /// Asks for something that all threads share: any of them can answer.
    pub(crate) fn ask_any<const N: usize>(
        &mut self,
        name: &'static str,
        number: i64,
        arguments: impl FnOnce(u64) -> [u64; N],
    ) -> Ticket {
        // The newest threads first: the leader has questions of its own.
        let tid = self.threads.iter().rev().nth(self.next_thread % self.threads.len().max(1)).copied().unwrap_or_default();
        self.next_thread += 1;
        self.ask(tid, name, number, arguments)
    }

    /// Puts all questions.
    pub(crate) fn put(self, injector: &mut dyn Injector) -> Result<Answers, ResourceError> {
        let mut values = Vec::with_capacity(self.calls.len());
        let mut written = Vec::with_capacity(self.calls.len() * PLACE as usize);
        for turn in self.calls.chunks(self.places.max(1)) {
            values.extend(injector.call_each(turn)?);
            let mut bytes = vec![0; turn.len() * PLACE as usize];
            injector.memory().read(scratch::place(injector, 0, bytes.len() as u64)?, &mut bytes)?;
            written.extend(bytes);
        }
        Ok(Answers { calls: self.calls, values, written })
    }
}

impl Answers {
    /// What the call returned.
    pub(crate) fn value(&self, ticket: Ticket) -> Result<u64, TraceeError> {
        match (self.values.get(ticket.0), self.calls.get(ticket.0)) {
            (Some(Ok(value)), _) => Ok(*value),
            (Some(Err(source)), Some(call)) => Err(call.refused(*source)),
            _ => Err(TraceeError::Gone { tid: 0, operation: "answering" }),
        }
    }

    /// The first `N` bytes that the call wrote; at most 32.
    pub(crate) fn bytes<const N: usize>(&self, ticket: Ticket) -> Result<[u8; N], TraceeError> {
        const { assert!(N <= PLACE as usize) };
        self.value(ticket)?;
        let place = self.written.get(ticket.0 * PLACE as usize..).and_then(|rest| rest.first_chunk());
        place.copied().ok_or(TraceeError::Gone { tid: 0, operation: "answering" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::Target;

    #[test]
    fn more_questions_than_threads_and_places_are_all_answered() {
        let target = Target::idle();
        let mut injector = target.borrow();
        let mut questions = Questions::new(&injector);
        questions.places = 3;
        let limits: Vec<Ticket> =
            (0..8).map(|number| questions.ask_any("prlimit64", libc::SYS_prlimit64, |place| [0, number, 0, place])).collect();
        let wrong = questions.ask(target.pid(), "close", libc::SYS_close, |_| [999_999]);
        let answers = questions.put(&mut injector).unwrap();
        assert!(matches!(answers.value(wrong), Err(TraceeError::Call { source: Errno::EBADF, .. })));
        let saved = crate::resources::limits::read_limits(target.pid()).unwrap();
        for (ticket, limit) in limits.into_iter().zip(&saved.limits) {
            let bytes = answers.bytes::<16>(ticket).unwrap();
            assert_eq!((scratch::word(&bytes, 0), scratch::word(&bytes, 8)), (limit.soft, limit.hard));
        }
    }
}
