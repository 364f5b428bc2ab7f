//! The last steps of a filled vessel: every thread gets its final state, and the process runs.
//!
//! Before the commit every thread stands before a gate: a futex wait on a word in the scratch range, followed by a signal
//! frame with its final state. An engine that dies before the word is set leaves all threads parked at the gate; one that
//! dies after it lets them all go. Setting the word is the commit.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Registers;

use super::borrowed;
use super::call;
use super::emptied::Emptied;
use super::error::TraceeError;
use super::gadget::Gadgets;
use super::inject::Injector;
use super::ptrace;
use super::sigframe;
use super::site::FINAL_ROOM;

/// What opens the gate.
pub(super) const GATE_OPEN: u64 = 1;
/// `FUTEX_WAIT_PRIVATE`.
const GATE_WAIT: u64 = 128;
const RED_ZONE: u64 = 128;

/// The state of one thread at the moment that it goes on.
#[derive(Clone, Debug)]
pub struct FinalState {
    /// Thread ID.
    pub tid: i32,
    /// Registers for an event stop ([`super::syscall::kernel_restarting`]).
    pub registers: Registers,
    /// Registers that need no help from the kernel ([`super::syscall::self_restarting`]), for the way on without an engine.
    pub alone: Registers,
    /// XSAVE area.
    pub xstate: Vec<u8>,
    /// Blocked signals.
    pub signal_mask: u64,
}

/// A vessel whose threads all stand at the gate. Dropping it leaves them there.
#[derive(Debug)]
pub struct Gated {
    emptied: Emptied,
    finals: Vec<FinalState>,
    gadgets: Gadgets,
    gate: RunAddress,
}

impl Emptied {
    /// Puts every thread before the gate; `finals` has one entry a thread, the leader's first.
    pub fn gate(mut self, finals: Vec<FinalState>) -> Result<Gated, (Box<Emptied>, TraceeError)> {
        match self.lay_gate(&finals) {
            Ok((gadgets, gate)) => Ok(Gated { emptied: self, finals, gadgets, gate }),
            Err(error) => Err((Box::new(self), error)),
        }
    }

    fn lay_gate(&mut self, finals: &[FinalState]) -> Result<(Gadgets, RunAddress), TraceeError> {
        let gadgets = Gadgets::find_again(&self.memory, self.gadgets)?;
        let gate = self.scratch.start;
        self.memory.write(gate, &[0; 8])?;
        let rooms = self.scratch().end.0;
        for (i, last) in finals.iter().enumerate() {
            let at = RunAddress(rooms + i as u64 * FINAL_ROOM);
            let frame = sigframe::full_frame(at, gadgets, &last.alone, last.signal_mask, &last.xstate);
            if frame.len() as u64 > FINAL_ROOM || at.0 + FINAL_ROOM > self.scratch.end.0 {
                return Err(TraceeError::Call { call: "final frame", tid: last.tid, source: nix::errno::Errno::ENOSPC });
            }
            self.memory.write(at, &frame)?;
            let wait = sigframe::call_registers(gadgets, &last.alone, libc::SYS_futex, &[gate.0, GATE_WAIT, 0, 0], at);
            ptrace::set_registers(last.tid, &wait)?;
        }
        Ok((gadgets, gate))
    }
}

impl Gated {
    /// The process.
    pub fn pid(&self) -> i32 {
        self.emptied.pid
    }

    /// Back to a vessel that calls can be made in: its threads leave the gate for the parking loop.
    pub fn withdraw(self) -> Emptied {
        self.emptied
    }

    /// Opens the gate and lets the process go on.
    ///
    /// An error with the vessel came before the gate was open; one without concerns the tidying up, and the process runs.
    pub fn commit(mut self) -> Result<(), (Option<Box<Emptied>>, TraceeError)> {
        if let Err(error) = self.emptied.memory.write(self.gate, &GATE_OPEN.to_le_bytes()) {
            return Err((Some(Box::new(self.emptied)), error));
        }
        let committed = TraceeError::at_step("committed", self.emptied.pid).and_then(|()| self.settle_all());
        committed.map_err(|error| {
            self.let_go();
            (None, error)
        })
    }

    /// Every thread goes on through its frame behind the open gate; trampoline and scratch stay.
    fn let_go(&mut self) {
        for last in &self.finals {
            // One that was let go already is no tracee any more.
            let _ = ptrace::detach(last.tid);
        }
        borrowed::resend(self.emptied.pid, &std::mem::take(&mut self.emptied.held_back));
    }

    fn settle_all(&mut self) -> Result<(), TraceeError> {
        let others = self.finals.get(1..).unwrap_or_default();
        settle(others)?;
        // They have their own registers: nothing of the vessel is on their way any more.
        for last in others {
            ptrace::detach(last.tid)?;
        }
        self.unmap_own()?;
        for last in self.finals.iter().take(1) {
            ptrace::detach(last.tid)?;
        }
        borrowed::resend(self.emptied.pid, &std::mem::take(&mut self.emptied.held_back));
        Ok(())
    }

    /// Unmaps trampoline and scratch. The leader's way on lies below its red zone meanwhile.
    fn unmap_own(&mut self) -> Result<(), TraceeError> {
        let own = self.emptied.own_range();
        let Some(leader) = self.finals.first() else { return Ok(()) };
        let length = sigframe::full_frame_length(&leader.xstate);
        let at = RunAddress((leader.registers.rsp - RED_ZONE - length) & !63);
        let frame = sigframe::full_frame(at, self.gadgets, &leader.alone, leader.signal_mask, &leader.xstate);
        let memory = &self.emptied.memory;
        let mut before = vec![0; frame.len()];
        memory.read(at, &mut before)?;
        memory.write(at, &frame)?;
        let arguments = [own.start.0, own.len()];
        let registers = sigframe::call_registers(self.gadgets, &leader.alone, libc::SYS_munmap, &arguments, at);
        let outcome = call::run(leader.tid, "munmap", &registers)?;
        self.emptied.held_back.extend(outcome.held_back);
        call::checked(leader.tid, "munmap", outcome.result)?;
        settle(std::slice::from_ref(leader))?;
        memory.write(at, &before)
    }
}

/// Gives threads their final states at event stops, where the kernel restarts the calls in progress.
fn settle(finals: &[FinalState]) -> Result<(), TraceeError> {
    let tids: Vec<i32> = finals.iter().map(|last| last.tid).collect();
    let give = |(last, stopped): (&FinalState, Result<(), TraceeError>)| {
        stopped?;
        ptrace::set_xstate(last.tid, &last.xstate)?;
        ptrace::set_signal_mask(last.tid, last.signal_mask)?;
        ptrace::set_registers(last.tid, &last.registers)
    };
    finals.iter().zip(call::to_event_stops(&tids)).try_for_each(give)
}
