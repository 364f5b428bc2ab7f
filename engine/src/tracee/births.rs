//! New threads of an emptied process.

use std::collections::HashSet;
use std::time::Instant;

use nix::errno::Errno;

use super::batch::{Call, Failed, together};
use super::call;
use super::emptied::Emptied;
use super::error::TraceeError;
use super::holder;
use super::procfs;
use super::steer::{LIMIT, PAUSE};

/// What a thread shares with its process. CLONE_PTRACE: it is attached, and stops before its first instruction
/// (`ptrace_init_task`, `include/linux/ptrace.h`), without a stop of its maker.
const FLAGS: i32 = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_PTRACE;
/// Length of `struct clone_args` up to `cgroup` (`include/uapi/linux/sched.h`).
const ARGUMENTS: u64 = 88;

impl Emptied {
    /// Makes threads with the given IDs, those that are not there yet, and returns them; they park (`clone3` with `set_tid`).
    ///
    /// Without the privilege for that the kernel's counter is steered to each (`steer.rs`).
    pub fn create_threads(&mut self, tids: &[i32]) -> Result<Vec<i32>, TraceeError> {
        let known: HashSet<i32> = self.tids.iter().copied().collect();
        let missing: Vec<i32> = tids.iter().copied().filter(|tid| !known.contains(tid)).collect();
        let give_up = Instant::now() + LIMIT;
        loop {
            let left: Vec<i32> = missing.iter().copied().filter(|tid| !self.tids.contains(tid)).collect();
            let Some(first) = left.first() else { break };
            match self.create_all(&left) {
                Ok(()) => break,
                Err(failed) if failed.errno() == Some(Errno::EPERM) && !self.tids.contains(first) => {
                    left.iter().try_for_each(|tid| self.create_steered(*tid))?;
                }
                // Another task has the ID, or the thread that had it has not gone all the way; the way back needs it too.
                Err(failed) if failed.errno() == Some(Errno::EEXIST) && Instant::now() < give_up => std::thread::sleep(PAUSE),
                Err(failed) => return Err(failed.source),
            }
        }
        self.refuse_strangers(&known, &missing)?;
        Ok(missing)
    }

    /// A thread that came out with another ID than asked for, as the engine sees it, must not be there.
    fn refuse_strangers(&mut self, known: &HashSet<i32>, asked: &[i32]) -> Result<(), TraceeError> {
        let asked: HashSet<i32> = asked.iter().copied().collect();
        let strangers: Vec<i32> = self.tids.iter().copied().filter(|tid| !known.contains(tid) && !asked.contains(tid)).collect();
        let Some(first) = strangers.first().copied() else { return Ok(()) };
        strangers.into_iter().try_for_each(|tid| self.end_thread(tid))?;
        Err(TraceeError::Call { call: "clone3 (another thread ID)", tid: first, source: Errno::EEXIST })
    }

    fn create_all(&mut self, tids: &[i32]) -> Result<(), Failed> {
        let stack = self.birth_table();
        let leader = self.pid;
        let made = together(self, |batch| {
            tids.iter().try_for_each(|tid| {
                batch
                    .add_with(leader, "clone3", libc::SYS_clone3, |at| {
                        let mut bytes = clone_arguments(stack, Some(at + ARGUMENTS));
                        bytes.extend(tid.to_le_bytes());
                        (bytes, [at, ARGUMENTS])
                    })
                    .map(drop)
            })
        });
        let welcomed = self.welcome();
        made?;
        welcomed.map_err(|source| {
            Failed::new(0, Call { tid: leader, name: "clone3", number: libc::SYS_clone3, arguments: [0; 6] }, source)
        })
    }

    /// Waits for the first stop of every thread that was made.
    fn welcome(&mut self) -> Result<(), TraceeError> {
        let known: HashSet<i32> = self.tids.iter().copied().collect();
        for tid in procfs::thread_ids(self.pid)?.into_iter().filter(|tid| !known.contains(tid)) {
            holder::wait_for_birth(tid)?;
            self.tids.push(tid);
        }
        Ok(())
    }

    /// Makes a thread with the next free ID; it parks.
    pub(super) fn create_any(&mut self) -> Result<i32, TraceeError> {
        call::pass(self.pid, "clone3")?;
        self.create_next(|| (), || ())
    }

    /// As [`Emptied::create_any`]; does `at_entry` while the maker stands at the entry of the call, and `at_exit` when it has come
    /// out of it, before the new thread has to run. No fault strikes here.
    pub(super) fn create_next(&mut self, at_entry: impl Fn(), at_exit: impl FnOnce()) -> Result<i32, TraceeError> {
        let at = self.scratch.start;
        self.memory.write(at, &clone_arguments(self.birth_table(), None))?;
        let registers = self.call_registers(libc::SYS_clone3, &[at.0, ARGUMENTS])?;
        let outcome = call::run_with(self.pid, "clone3", &registers, at_entry)?;
        at_exit();
        self.held_back.extend(outcome.held_back);
        let born = call::checked(self.pid, "clone3", outcome.result)? as i32;
        holder::wait_for_birth(born)?;
        self.tids.push(born);
        Ok(born)
    }

    /// Ends a thread that must not be there.
    pub(super) fn end_thread(&mut self, tid: i32) -> Result<(), TraceeError> {
        let registers = self.call_registers(libc::SYS_exit, &[0])?;
        match call::run(tid, "exit", &registers) {
            Err(TraceeError::Gone { .. }) => {
                self.tids.retain(|known| *known != tid);
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) => Err(TraceeError::UnexpectedStop { tid, status: 0, operation: "exit" }),
        }
    }
}

/// `struct clone_args`: flags first, `stack` and `stack_size` sixth and seventh, `set_tid` and `set_tid_size` ninth and tenth.
fn clone_arguments(stack: u64, list: Option<u64>) -> Vec<u8> {
    // The kernel adds the size to get the stack pointer, and refuses a size of zero.
    const SIZE: u64 = 64;
    let mut words = [0u64; 11];
    words[0] = FLAGS as u64;
    (words[5], words[6]) = (stack - SIZE, SIZE);
    if let Some(list) = list {
        (words[8], words[9]) = (list, 1);
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
