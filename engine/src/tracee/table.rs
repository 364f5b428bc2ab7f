//! Tables of calls that an emptied process works off by itself.
//!
//! Each thread gets a table in memory. The trampoline ([`site::CODE`]) makes the calls of a table one after another, stores each
//! result, and ends at the first error. The last thread to end sends a byte through the channel; all park, and the engine stops
//! them again. There is no stop in between, and no way into a trap: should the engine die, every thread comes to the end of its
//! table and parks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Registers;
use nix::errno::Errno;

use super::batch::{Call, Failed, MOST_CALLS};
use super::call;
use super::emptied::Emptied;
use super::error::TraceeError;
use super::fault;
use super::procfs;
use super::ptrace::{self, Event};
use super::seccomp::expect_listed;
use super::site::{self, ENTRY, TABLES};

/// The longest that the calls of one table may take together; unmapping the largest process takes a second or two.
const LIMIT: Duration = Duration::from_secs(20);
/// The header of all tables: the number of threads that have not ended, and an empty table for threads that are born.
const HEADER: u64 = 64 + BIRTH_LENGTH;
const BIRTH_LENGTH: u64 = 2 * ENTRY;
/// Where an entry holds its result.
const RESULT: usize = 7 * 8;
/// A number that ends a table.
const END: u64 = u64::MAX;
/// The result of a call that was not made.
const NOT_MADE: i64 = i64::MIN;
const OPERATION: &str = "work off a table of calls";

// One thread a call is the worst: then every call has an end of its own.
const _: () = assert!(HEADER + 2 * ENTRY * MOST_CALLS as u64 <= TABLES, "a batch fits into the room for tables");

/// The tables of one run, as they will lie in memory.
struct Tables {
    bytes: Vec<u8>,
    /// Threads with the addresses of their tables.
    starts: Vec<(i32, u64)>,
    /// Where in `bytes` each call lies.
    places: Vec<usize>,
}

impl Tables {
    fn lay_out(calls: &[Call], at: RunAddress) -> Self {
        let mut order: Vec<(i32, Vec<usize>)> = Vec::new();
        let mut known: HashMap<i32, usize> = HashMap::new();
        for (index, call) in calls.iter().enumerate() {
            let slot = *known.entry(call.tid).or_insert_with(|| {
                order.push((call.tid, Vec::new()));
                order.len() - 1
            });
            order[slot].1.push(index);
        }
        let mut bytes = (order.len() as u64).to_le_bytes().to_vec();
        bytes.resize(64, 0);
        put_entry(&mut bytes, [0; 7], 0);
        put_entry(&mut bytes, [END, 0, 0, 0, 0, 0, 0], 0);
        let mut starts = Vec::with_capacity(order.len());
        let mut places = vec![0; calls.len()];
        for (tid, indices) in order {
            starts.push((tid, at.0 + bytes.len() as u64));
            for index in indices {
                places[index] = bytes.len();
                let [a, b, c, d, e, f] = calls[index].arguments;
                put_entry(&mut bytes, [calls[index].number as u64, a, b, c, d, e, f], NOT_MADE);
            }
            put_entry(&mut bytes, [END, 0, 0, 0, 0, 0, 0], 0);
        }
        Self { bytes, starts, places }
    }

    fn result(&self, index: usize) -> i64 {
        let at = self.places[index] + RESULT;
        self.bytes[at..].first_chunk::<8>().map_or(NOT_MADE, |word| i64::from_le_bytes(*word))
    }

    /// The results, or the first call that failed.
    fn results(&self, calls: &[Call]) -> Result<Vec<u64>, Failed> {
        let checked = |index: usize, call: &Call| match self.result(index) {
            NOT_MADE => Ok(None),
            result => call::checked(call.tid, call.name, result).map(Some).map_err(|source| Failed::new(index, *call, source)),
        };
        let results: Vec<Option<u64>> =
            calls.iter().enumerate().map(|(index, call)| checked(index, call)).collect::<Result<_, _>>()?;
        let ended_early = results.iter().position(Option::is_none).map(|index| {
            let source = TraceeError::UnexpectedStop { tid: calls[index].tid, status: 0, operation: OPERATION };
            Failed::new(index, calls[index], source)
        });
        match ended_early {
            Some(failed) => Err(failed),
            None => Ok(results.into_iter().flatten().collect()),
        }
    }
}

fn put_entry(bytes: &mut Vec<u8>, words: [u64; 7], result: i64) {
    for word in words.into_iter().chain([result as u64]) {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
}

impl Emptied {
    /// Where a new thread's stack pointer has to be: it is born as if it had made the only call of a table.
    pub(super) fn birth_table(&self) -> u64 {
        self.tables.start.0 + 64
    }

    /// Makes all of `calls`, at most [`MOST_CALLS`], those of one thread in their order.
    pub(super) fn call_tables(&mut self, calls: &[Call]) -> Result<Vec<u64>, Failed> {
        // A fault at a call strikes when those before it are made.
        let strike = fault::pass_each("call", calls.len());
        let made = strike.map_or(calls.len(), |strike| strike.index);
        let results = self.work_off(&calls[..made])?;
        match strike {
            None => Ok(results),
            Some(strike) => {
                let call = calls[made];
                let source = TraceeError::Call { call: call.name, tid: call.tid, source: strike.land() };
                Err(Failed::new(made, call, source))
            }
        }
    }

    fn work_off(&mut self, calls: &[Call]) -> Result<Vec<u64>, Failed> {
        let Some(first) = calls.first() else { return Ok(Vec::new()) };
        let whole = |source| Failed::new(0, *first, source);
        if calls.len() > MOST_CALLS {
            return Err(whole(TraceeError::Call { call: first.name, tid: first.tid, source: Errno::E2BIG }));
        }
        calls.iter().for_each(|call| expect_listed(call.number, call.name));
        let mut tables = Tables::lay_out(calls, self.tables.start);
        self.run_tables(&tables).map_err(whole)?;
        self.memory.read(self.tables.start, &mut tables.bytes).map_err(whole)?;
        tables.results(calls)
    }

    fn run_tables(&mut self, tables: &Tables) -> Result<(), TraceeError> {
        self.memory.write(self.tables.start, &tables.bytes)?;
        let channel = self.open_channel()?;
        channel.forget_notices();
        let number = channel.theirs();
        let base = self.base_registers()?;
        let mut running = Vec::with_capacity(tables.starts.len());
        let started = tables.starts.iter().try_for_each(|(tid, table)| {
            let registers = Registers {
                rip: self.code.0 + site::RUN,
                rsp: *table,
                rbx: number as u64,
                r13: self.tables.start.0,
                orig_rax: u64::MAX,
                ..base
            };
            ptrace::set_registers(*tid, &registers)?;
            ptrace::resume(*tid, 0)?;
            running.push(*tid);
            Ok(())
        });
        // Tests let the engine die here, while the tables are worked off.
        let struck = fault::pass("table").map_err(|source| TraceeError::Call { call: "table", tid: self.pid, source });
        let ended = started.and_then(|()| self.wait_for_end(&mut running));
        self.halt(&running)?;
        ended.and(struck)
    }

    /// Waits until every thread has come to the end of its table. Threads that stopped for good leave `running`.
    fn wait_for_end(&mut self, running: &mut Vec<i32>) -> Result<(), TraceeError> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if self.open_channel()?.has_notice()? {
                return Ok(());
            }
            // Nothing came for a while: a thread may have been stopped or have ended.
            for at in (0..running.len()).rev() {
                let tid = running[at];
                match ptrace::look(tid, OPERATION)? {
                    // The end of a main thread is reported only after that of all others.
                    None if procfs::has_ended(tid) => return Err(unexpected(tid, Event::Ended)),
                    None => {}
                    Some(Event::Stop) => ptrace::resume(tid, 0)?,
                    Some(Event::Signal(signal @ libc::SIGSTOP)) => {
                        self.held_back.push(signal);
                        ptrace::resume(tid, 0)?;
                    }
                    Some(event) => {
                        running.remove(at);
                        return Err(unexpected(tid, event));
                    }
                }
            }
            if Instant::now() >= deadline {
                let (tid, limit_ms) = (self.pid, LIMIT.as_millis() as u64);
                return Err(TraceeError::Deadline { tid, awaited: OPERATION, limit_ms, state: procfs::describe_state(tid) });
            }
        }
    }

    /// Stops threads that run or have parked.
    fn halt(&mut self, running: &[i32]) -> Result<(), TraceeError> {
        for tid in running {
            ptrace::interrupt(*tid)?;
        }
        let deadline = Instant::now() + LIMIT;
        for &tid in running {
            loop {
                match ptrace::wait(tid, deadline, OPERATION)? {
                    Event::Stop => break,
                    Event::Signal(signal @ libc::SIGSTOP) => {
                        self.held_back.push(signal);
                        ptrace::resume(tid, 0)?;
                    }
                    event => return Err(unexpected(tid, event)),
                }
            }
        }
        Ok(())
    }
}

fn unexpected(tid: i32, event: Event) -> TraceeError {
    match event {
        Event::Ended => TraceeError::Gone { tid, operation: OPERATION },
        Event::Signal(signal) => TraceeError::UnexpectedStop { tid, status: signal << 8, operation: OPERATION },
        _ => TraceeError::UnexpectedStop { tid, status: 0, operation: OPERATION },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tid: i32, number: i64) -> Call {
        Call { tid, name: "test", number, arguments: [1, 2, 3, 4, 5, 6] }
    }

    #[test]
    fn each_thread_has_a_table_with_its_calls_in_order_and_an_end() {
        let calls = [call(7, 10), call(8, 20), call(7, 11)];
        let tables = Tables::lay_out(&calls, RunAddress(0x1000));
        let first = 0x1000 + HEADER;
        assert_eq!(tables.starts, [(7, first), (8, first + 3 * ENTRY)]);
        let word = |at: u64| u64::from_le_bytes(*tables.bytes[(at - 0x1000) as usize..].first_chunk().unwrap());
        assert_eq!(word(0x1000), 2);
        let numbers: Vec<u64> = (0..5).map(|entry| word(first + entry * ENTRY)).collect();
        assert_eq!(numbers, [10, 11, END, 20, END]);
        assert_eq!((word(first + 8), word(first + 48)), (1, 6));
    }

    fn set(tables: &mut Tables, index: usize, value: i64) {
        let at = tables.places[index] + RESULT;
        tables.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    #[test]
    fn the_first_error_in_the_order_of_the_batch_counts_before_what_was_not_made() {
        let calls = [call(7, 10), call(8, 20), call(7, 11), call(7, 12)];
        let mut tables = Tables::lay_out(&calls, RunAddress(0));
        set(&mut tables, 0, 5);
        set(&mut tables, 1, 6);
        set(&mut tables, 2, -i64::from(libc::EBUSY));
        let failed = tables.results(&calls).unwrap_err();
        assert_eq!((failed.index, failed.errno()), (2, Some(Errno::EBUSY)));
        set(&mut tables, 2, 0);
        assert!(tables.results(&calls).unwrap_err().errno().is_none());
        set(&mut tables, 3, 1);
        assert_eq!(tables.results(&calls).unwrap(), [5, 6, 0, 1]);
    }
}
