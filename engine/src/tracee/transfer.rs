//! Descriptors between the engine and the tracee: in through a socket pair, out through `pidfd_getfd(2)`. Through the same pair a
//! vessel says that it has worked off its tables of calls.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use dsu_formats::address::RunAddress;
use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{ControlMessage, MsgFlags, recv, sendmsg, setsockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::error::TraceeError;
use super::inject::Injector;

/// Descriptors that one message may carry (`SCM_MAX_FD`, `include/net/scm.h`).
pub const BATCH: usize = 250;
/// How long [`Channel::has_notice`] waits, in microseconds.
const NOTICE_WAIT_US: i64 = 10_000;

/// A socket pair with one end in the tracee.
#[derive(Debug)]
pub struct Channel {
    ours: OwnedFd,
    theirs: RawFd,
}

impl Channel {
    /// Makes the pair in the tracee and takes one end out.
    pub fn open(injector: &mut dyn Injector) -> Result<Self, TraceeError> {
        let (channel, spare) = Self::make(injector)?;
        let mut close = |number: RawFd| injector.leader_call("close", libc::SYS_close, &[number as u64]);
        match close(spare) {
            Ok(_) => Ok(channel),
            Err(error) => {
                close(spare)?;
                close(channel.theirs)?;
                Err(error)
            }
        }
    }

    /// As [`Channel::open`], but the end that was taken out is still open in the tracee, too: it has this number there.
    pub fn make(injector: &mut dyn Injector) -> Result<(Self, RawFd), TraceeError> {
        let scratch = injector.scratch().start;
        let kind = (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as u64;
        injector.leader_call("socketpair", libc::SYS_socketpair, &[libc::AF_UNIX as u64, kind, 0, scratch.0])?;
        let pair = injector.memory().read_u64(scratch)?;
        let (theirs, spare) = (pair as u32 as RawFd, (pair >> 32) as RawFd);
        let tid = injector.threads()[0];
        let taken = injector.export(spare).and_then(|ours| {
            setsockopt(&ours, ReceiveTimeout, &TimeVal::microseconds(NOTICE_WAIT_US))
                .map(|()| ours)
                .map_err(|source| TraceeError::Call { call: "setsockopt", tid, source })
        });
        match taken {
            Ok(ours) => Ok((Self { ours, theirs }, spare)),
            Err(error) => {
                for number in [spare, theirs] {
                    injector.leader_call("close", libc::SYS_close, &[number as u64])?;
                }
                Err(error)
            }
        }
    }

    /// Gives the tracee a descriptor for each of `descriptors` (at most [`BATCH`]); they are close-on-exec there.
    pub fn send(&self, injector: &mut dyn Injector, descriptors: &[BorrowedFd<'_>]) -> Result<Vec<RawFd>, TraceeError> {
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let tid = injector.threads()[0];
        sendmsg::<()>(
            self.ours.as_raw_fd(),
            &[IoSlice::new(b"x")],
            &[ControlMessage::ScmRights(&raw)],
            MsgFlags::MSG_DONTWAIT,
            None,
        )
        .map_err(|source| TraceeError::Call { call: "sendmsg", tid, source })?;
        self.receive(injector, raw.len())
    }

    fn receive(&self, injector: &mut dyn Injector, count: usize) -> Result<Vec<RawFd>, TraceeError> {
        // struct msghdr, struct iovec, one byte, then the control buffer: a cmsghdr of 16 bytes and the numbers.
        let base = injector.scratch().start;
        let at = |offset: u64| RunAddress(base.0 + offset);
        let control_length = 16 + 4 * count as u64;
        let mut block = Vec::with_capacity(80);
        for word in [0, 0, at(56).0, 1, at(128).0, control_length.next_multiple_of(8), 0, at(72).0, 1] {
            block.extend_from_slice(&u64::to_le_bytes(word));
        }
        injector.memory().write(base, &block)?;
        let flags = (libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT) as u64;
        injector.leader_call("recvmsg", libc::SYS_recvmsg, &[self.theirs as u64, base.0, flags])?;
        let mut control = vec![0u8; control_length as usize];
        injector.memory().read(at(128), &mut control)?;
        let received = control.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length));
        if received != control_length {
            let tid = injector.threads()[0];
            // The kernel cut the list: the tracee has no numbers left.
            return Err(TraceeError::Call { call: "recvmsg", tid, source: Errno::EMFILE });
        }
        Ok(control[16..].chunks_exact(4).map(|n| i32::from_le_bytes([n[0], n[1], n[2], n[3]])).collect())
    }

    /// Waits a moment for a byte that the tracee sends ([`super::table`]); `false` when none came.
    pub(super) fn has_notice(&self) -> Result<bool, TraceeError> {
        match recv(self.ours.as_raw_fd(), &mut [0], MsgFlags::empty()) {
            Ok(_) => Ok(true),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
            Err(source) => Err(TraceeError::Call { call: "recv", tid: 0, source }),
        }
    }

    /// Takes what an earlier wait that was given up has left.
    pub(super) fn forget_notices(&self) {
        while recv(self.ours.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT).is_ok() {}
    }

    /// Number of the tracee's end.
    pub fn theirs(&self) -> RawFd {
        self.theirs
    }

    /// Closes the tracee's end.
    pub fn close(self, injector: &mut dyn Injector) -> Result<(), TraceeError> {
        injector.leader_call("close", libc::SYS_close, &[self.theirs as u64]).map(drop)
    }
}
