//! Interval and POSIX timers. An exec keeps the interval timers and deletes those of `timer_create(2)`.

use std::time::Duration;

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::{IntervalTimer, PosixTimer, ProcessTimers};

use super::error::{Obstacle, ResourceError};
use super::proc;
use super::questions::{Answers, Questions, Ticket};
use super::scratch::{half, put, take, word};
use crate::tracee::batch::Batch;
use crate::tracee::calls;
use crate::tracee::error::TraceeError;
use crate::tracee::inject::Injector;

const PR_TIMER_CREATE_RESTORE_IDS: u64 = 77;
const SIGEV_THREAD_ID: i32 = 4;
const NANOSECONDS: u64 = 1_000_000_000;
const MICROSECONDS: u64 = 1_000_000;
/// How many timers a fresh process without `PR_TIMER_CREATE_RESTORE_IDS` may make and delete to come to an ID.
const MOST_SKIPPED: i32 = 4096;

/// How a vessel came to be, which decides how timer IDs can be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// By an exec of the same process: its IDs go on counting.
    Hot,
    /// A fresh process: its IDs start from 0.
    Cold,
}

/// What was read of the timers, and what the process was asked.
pub(crate) struct Asked {
    interval: Vec<Ticket>,
    posix: Vec<(PosixTimer, Ticket, Ticket)>,
}

/// Reads all timers. Three injected calls, and two for each POSIX timer.
pub fn capture(injector: &mut dyn Injector) -> Result<ProcessTimers, ResourceError> {
    let mut questions = Questions::new(injector);
    let asked = ask_timers(&mut questions, injector.memory().pid(), true)?;
    Ok(from_answers(&questions.put(injector)?, &asked)?)
}

/// Adds the questions for the timers, those of the interval timers where they are `wanted`: an exec keeps them.
pub(crate) fn ask_timers(questions: &mut Questions, pid: i32, wanted: bool) -> Result<Asked, ResourceError> {
    let count = if wanted { ProcessTimers::default().interval.len() } else { 0 };
    let ask = |which| questions.ask_any("getitimer", libc::SYS_getitimer, |place| [which as u64, place]);
    let interval = (0..count).map(ask).collect();
    let listed = parse(&format!("/proc/{pid}/timers"), &proc::text(pid, "timers")?)?;
    let ask = |timer: PosixTimer| {
        let id = timer.id as u64;
        let left = questions.ask_any("timer_gettime", libc::SYS_timer_gettime, |place| [id, place]);
        (timer, left, questions.ask_any("timer_getoverrun", libc::SYS_timer_getoverrun, |_| [id]))
    };
    Ok(Asked { interval, posix: listed.into_iter().map(ask).collect() })
}

/// The timers as they were listed and asked for.
pub(crate) fn from_answers(answers: &Answers, asked: &Asked) -> Result<ProcessTimers, TraceeError> {
    let mut timers = ProcessTimers::default();
    for (timer, ticket) in timers.interval.iter_mut().zip(&asked.interval) {
        let bytes = answers.bytes::<32>(*ticket)?;
        timer.interval_us = units(&bytes, 0, MICROSECONDS);
        timer.value_us = units(&bytes, 16, MICROSECONDS);
    }
    for (listed, left, overrun) in &asked.posix {
        let bytes = answers.bytes::<32>(*left)?;
        timers.posix.push(PosixTimer {
            interval_ns: units(&bytes, 0, NANOSECONDS),
            value_ns: units(&bytes, 16, NANOSECONDS),
            overrun: answers.value(*overrun)? as i32,
            ..*listed
        });
    }
    Ok(timers)
}

/// Seconds and parts at byte `at`, in parts of which a second has `per_second`.
fn units(bytes: &[u8], at: usize, per_second: u64) -> u64 {
    word(bytes, at).saturating_mul(per_second).saturating_add(word(bytes, at + 8))
}

/// Parses `/proc/PID/timers`: four lines a timer (fs/proc/base.c, `show_timer`).
fn parse(path: &str, text: &str) -> Result<Vec<PosixTimer>, TraceeError> {
    let lines: Vec<&str> = text.lines().collect();
    let mut timers = Vec::new();
    for block in lines.chunks(4) {
        let value = |index: usize, label: &str, expected| {
            let line = block.get(index).copied().unwrap_or("");
            line.strip_prefix(label).ok_or_else(|| proc::unexpected(path, expected, line))
        };
        let id = value(0, "ID: ", "a line `ID: number`")?;
        let signal = value(1, "signal: ", "a line `signal: number/value`")?;
        let notify = value(2, "notify: ", "a line `notify: kind/pid.number`")?;
        let clock = value(3, "ClockID: ", "a line `ClockID: number`")?;
        let wrong = |found: &str| proc::unexpected(path, "two words with `/` between", found);
        let (signal, word) = signal.split_once('/').ok_or_else(|| wrong(signal))?;
        let (notify, thread) = parse_notify(path, notify)?;
        timers.push(PosixTimer {
            id: proc::decimal(path, "a timer's ID", id)?,
            clock: proc::decimal(path, "a clock's ID", clock)?,
            notify,
            signal: proc::decimal(path, "a signal's number", signal)?,
            value: RunAddress(proc::hexadecimal(path, "a timer's value", word)?),
            thread,
            value_ns: 0,
            interval_ns: 0,
            overrun: 0,
        });
    }
    timers.sort_unstable_by_key(|timer| timer.id);
    Ok(timers)
}

/// `sigev_notify`, and the thread for SIGEV_THREAD_ID.
fn parse_notify(path: &str, text: &str) -> Result<(i32, i32), TraceeError> {
    let wrong = || proc::unexpected(path, "`signal`, `none` or `thread`, then `/pid.` or `/tid.` and a number", text);
    let (kind, target) = text.split_once('/').ok_or_else(wrong)?;
    let kind = match kind {
        "signal" => libc::SIGEV_SIGNAL,
        "none" => libc::SIGEV_NONE,
        "thread" => libc::SIGEV_THREAD,
        _ => return Err(wrong()),
    };
    match target.split_once('.').ok_or_else(wrong)? {
        ("pid", _) => Ok((kind, 0)),
        ("tid", number) => Ok((kind | SIGEV_THREAD_ID, proc::decimal(path, "a thread's ID", number)?)),
        _ => Err(wrong()),
    }
}

/// Timers that this kernel cannot make again as they were.
pub fn blockers(timers: &ProcessTimers, path: Path) -> Vec<Obstacle> {
    let can_choose = calls::can_choose_timer_ids();
    let obstacle_of = |timer: &PosixTimer| {
        if let Some(reason) = clock_obstacle(timer.clock) {
            return Some(reason.to_owned());
        }
        match path {
            _ if can_choose => None,
            Path::Hot => Some("this kernel lets nobody choose a timer's ID (PR_TIMER_CREATE_RESTORE_IDS, Linux 6.15)".to_owned()),
            Path::Cold if timer.id > MOST_SKIPPED => {
                Some(format!("this kernel lets nobody choose a timer's ID, and {} is too high to be counted to", timer.id))
            }
            Path::Cold => None,
        }
    };
    let found = timers.posix.iter().filter_map(|timer| Some(Obstacle::Timer { id: timer.id, reason: obstacle_of(timer)? }));
    found.collect()
}

/// Clocks that are bound to a thread or to a descriptor (include/linux/posix-timers.h, `CPUCLOCK_…`).
fn clock_obstacle(clock: i32) -> Option<&'static str> {
    const PER_THREAD: i32 = 4;
    const FROM_DESCRIPTOR: i32 = 3;
    match clock {
        libc::CLOCK_THREAD_CPUTIME_ID => Some("it counts the processor time of one thread, which starts anew"),
        clock if clock < 0 && clock & 3 == FROM_DESCRIPTOR => Some("its clock is that of a device"),
        clock if clock < 0 && clock & PER_THREAD != 0 => Some("it counts the processor time of one thread, which starts anew"),
        _ => None,
    }
}

/// Makes the POSIX timers again, with their IDs, armed with what was left of them less `since_capture`.
///
/// Comes after the threads, which timers can signal, and as late as may be: they run from here on. [`verify`] says whether they
/// have their IDs.
pub fn give_back(batch: &mut Batch<'_>, timers: &ProcessTimers, since_capture: Duration) -> Result<(), ResourceError> {
    if timers.posix.is_empty() {
        return Ok(());
    }
    delete_present(batch)?;
    if calls::can_choose_timer_ids() {
        let switch = |on| [PR_TIMER_CREATE_RESTORE_IDS, on, 0, 0, 0];
        batch.leader("prctl(PR_TIMER_CREATE_RESTORE_IDS)", libc::SYS_prctl, switch(1))?;
        for timer in &timers.posix {
            batch
                .leader_with("timer_create", libc::SYS_timer_create, |at| (event(timer), [timer.clock as u64, at, at + EVENT]))?;
        }
        batch.leader("prctl(PR_TIMER_CREATE_RESTORE_IDS)", libc::SYS_prctl, switch(0))?;
    } else {
        let injector = batch.alone()?;
        timers.posix.iter().try_for_each(|timer| make_by_counting(injector, timer))?;
    }
    timers.posix.iter().try_for_each(|timer| arm(batch, timer, since_capture))
}

/// A restore that was taken back may have made timers in this vessel already.
fn delete_present(batch: &mut Batch<'_>) -> Result<(), ResourceError> {
    let pid = batch.pid();
    for timer in parse(&format!("/proc/{pid}/timers"), &proc::text(pid, "timers")?)? {
        batch.leader("timer_delete", libc::SYS_timer_delete, [timer.id as u64])?;
    }
    Ok(())
}

/// Length of `struct sigevent` in bytes.
const EVENT: u64 = 64;

/// `struct sigevent`: value, signal, notify, thread. The wanted ID lies behind it.
fn event(timer: &PosixTimer) -> Vec<u8> {
    let mut event = vec![0; EVENT as usize];
    event[..8].copy_from_slice(&timer.value.0.to_le_bytes());
    event[8..12].copy_from_slice(&timer.signal.to_le_bytes());
    event[12..16].copy_from_slice(&timer.notify.to_le_bytes());
    event[16..20].copy_from_slice(&timer.thread.to_le_bytes());
    event.extend(timer.id.to_le_bytes());
    event
}

/// Makes and deletes timers until the kernel, which counts, comes to the wanted ID.
fn make_by_counting(injector: &mut dyn Injector, timer: &PosixTimer) -> Result<(), ResourceError> {
    for _ in 0..=MOST_SKIPPED {
        let address = put(injector, 0, &event(timer))?;
        injector.leader_call("timer_create", libc::SYS_timer_create, &[timer.clock as u64, address, address + EVENT])?;
        let id = half(&take::<4>(injector, EVENT)?, 0) as i32;
        if id == timer.id {
            return Ok(());
        }
        injector.leader_call("timer_delete", libc::SYS_timer_delete, &[id as u64])?;
        if id > timer.id {
            break;
        }
    }
    let reason = "this kernel lets nobody choose a timer's ID, and the process has counted past it".to_owned();
    Err(Obstacle::Timer { id: timer.id, reason }.into())
}

fn arm(batch: &mut Batch<'_>, timer: &PosixTimer, since_capture: Duration) -> Result<(), ResourceError> {
    if timer.value_ns == 0 {
        return Ok(());
    }
    let runs_with_the_wall = timer.clock >= 0 && timer.clock != libc::CLOCK_PROCESS_CPUTIME_ID;
    let gone = if runs_with_the_wall { since_capture.as_nanos() as u64 } else { 0 };
    // A timer that would have expired meanwhile expires now; zero would disarm it.
    let left = timer.value_ns.saturating_sub(gone).max(1);
    let words = [timer.interval_ns / NANOSECONDS, timer.interval_ns % NANOSECONDS, left / NANOSECONDS, left % NANOSECONDS];
    batch.leader_with("timer_settime", libc::SYS_timer_settime, |at| {
        (words.into_iter().flat_map(u64::to_le_bytes).collect(), [timer.id as u64, 0, at, 0])
    })?;
    Ok(())
}

/// What to set an interval timer to so that it goes on. A periodic ITIMER_REAL that has expired stands still with nothing left
/// until its SIGALRM is taken (kernel/signal.c, `dequeue_signal`), and setting it to zero would end it: its next period runs.
fn value_to_set(which: usize, timer: &IntervalTimer) -> u64 {
    if which == libc::ITIMER_REAL as usize && timer.value_us == 0 { timer.interval_us } else { timer.value_us }
}

/// Sets the interval timers of a fresh process; an exec keeps them.
pub fn restore_interval(batch: &mut Batch<'_>, timers: &ProcessTimers) -> Result<(), ResourceError> {
    for (which, timer) in timers.interval.iter().enumerate().filter(|(_, timer)| **timer != IntervalTimer::default()) {
        let value_us = value_to_set(which, timer);
        let words = [
            timer.interval_us / MICROSECONDS,
            timer.interval_us % MICROSECONDS,
            value_us / MICROSECONDS,
            value_us % MICROSECONDS,
        ];
        batch.leader_with("setitimer", libc::SYS_setitimer, |at| {
            (words.into_iter().flat_map(u64::to_le_bytes).collect(), [which as u64, at, 0])
        })?;
    }
    Ok(())
}

/// Compares which timers there are with which there should be; what is left of each moves on.
pub fn verify(pid: i32, saved: &ProcessTimers) -> Result<(), ResourceError> {
    let found = parse(&format!("/proc/{pid}/timers"), &proc::text(pid, "timers")?)?;
    let shape = |timers: &[PosixTimer]| -> Vec<PosixTimer> {
        timers.iter().map(|timer| PosixTimer { value_ns: 0, interval_ns: 0, overrun: 0, ..*timer }).collect()
    };
    if found == shape(&saved.posix) {
        return Ok(());
    }
    Err(ResourceError::NotGivenBack {
        object: format!("the POSIX timers of process {pid}"),
        expected: format!("{:?}", shape(&saved.posix)),
        found: format!("{found:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::Target;
    use crate::tracee::batch::together;

    const PROGRAM: &str = r#"
        #include <pthread.h>
        #include <signal.h>
        #include <sys/time.h>
        #include <time.h>
        int main(void) {
            struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
            struct itimerspec hour = { .it_interval = { 60, 5 }, .it_value = { 3600, 0 } };
            timer_t first, second, third;
            CHECK(timer_create(CLOCK_MONOTONIC, &event, &first));
            CHECK(timer_create(CLOCK_REALTIME, &event, &second));
            CHECK(timer_delete(first));
            event.sigev_value.sival_ptr = (void *)0x1234567890;
            event.sigev_notify = SIGEV_THREAD_ID;
            event._sigev_un._tid = gettid();
            CHECK(timer_create(CLOCK_BOOTTIME, &event, &third));
            CHECK(timer_settime(third, 0, &hour, 0));
            struct itimerval minute = { { 0, 0 }, { 60, 0 } };
            CHECK(setitimer(ITIMER_REAL, &minute, 0));
            say("ready");
            wait_for_end();
        }"#;

    #[test]
    fn timers_are_captured_with_their_words() {
        let mut target = Target::start(PROGRAM);
        target.line();
        let timers = capture(&mut target.borrow()).unwrap();
        assert!((1..=60_000_000).contains(&timers.interval[0].value_us) && timers.interval[0].interval_us == 0);
        let ids: Vec<_> = timers.posix.iter().map(|timer| timer.id).collect();
        assert_eq!(ids, [1, 2]);
        let armed = timers.posix[1];
        assert_eq!((armed.clock, armed.signal, armed.notify), (libc::CLOCK_BOOTTIME, libc::SIGUSR1, SIGEV_THREAD_ID));
        assert_eq!((armed.value, armed.thread), (RunAddress(0x12_3456_7890), target.pid()));
        assert_eq!(armed.interval_ns, 60 * NANOSECONDS + 5);
        assert!(armed.value_ns > 3500 * NANOSECONDS && armed.value_ns <= 3600 * NANOSECONDS);
        assert_eq!(timers.posix[0].value_ns, 0);
    }

    #[test]
    fn timers_come_back_with_their_ids_in_another_process() {
        let mut target = Target::start(PROGRAM);
        target.line();
        let mut timers = capture(&mut target.borrow()).unwrap();
        let other = Target::idle();
        timers.posix[1].thread = other.pid();
        let mut injector = other.borrow();
        together(&mut injector, |batch| {
            give_back(batch, &timers, Duration::from_secs(600))?;
            restore_interval(batch, &timers)
        })
        .unwrap();
        verify(other.pid(), &timers).unwrap();
        let found = capture(&mut injector).unwrap();
        assert!(found.posix[1].value_ns <= 3000 * NANOSECONDS && found.posix[1].value_ns > 2900 * NANOSECONDS);
        assert!(found.interval[0].value_us > 0);
    }

    #[test]
    fn a_periodic_timer_whose_signal_waits_goes_on() {
        let mut target = Target::start(
            r#"
            #include <signal.h>
            #include <sys/time.h>
            int main(void) {
                struct itimerval often = { { 3000, 0 }, { 0, 500 } };
                sigset_t set, pending;
                sigemptyset(&set);
                sigaddset(&set, SIGALRM);
                CHECK(sigprocmask(SIG_BLOCK, &set, 0));
                CHECK(setitimer(ITIMER_REAL, &often, 0));
                do CHECK(sigpending(&pending)); while (!sigismember(&pending, SIGALRM));
                say("ready");
                wait_for_end();
            }"#,
        );
        target.line();
        let timers = capture(&mut target.borrow()).unwrap();
        let period = 3000 * MICROSECONDS;
        assert_eq!(timers.interval[0], IntervalTimer { interval_us: period, value_us: 0 });
        let other = Target::idle();
        together(&mut other.borrow(), |batch| restore_interval(batch, &timers)).unwrap();
        let found = capture(&mut other.borrow()).unwrap();
        assert_eq!(found.interval[0].interval_us, period);
        assert!(found.interval[0].value_us > 0 && found.interval[0].value_us <= period);
    }

    #[test]
    fn clocks_of_threads_and_devices_block() {
        assert!(clock_obstacle(libc::CLOCK_MONOTONIC).is_none());
        assert!(clock_obstacle(libc::CLOCK_THREAD_CPUTIME_ID).is_some());
        assert!(clock_obstacle(!5 << 3 | 3).unwrap().contains("device"));
        assert!(clock_obstacle(!5 << 3 | 4 | 2).unwrap().contains("one thread"));
    }

    #[test]
    fn broken_text_is_refused() {
        for text in ["ID: 1\nsignal: 2\n", "ID: x\nsignal: 1/0\nnotify: none/pid.1\nClockID: 0\n", "nonsense"] {
            assert!(parse("timers", text).is_err(), "{text}");
        }
    }
}
