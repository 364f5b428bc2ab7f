//! What the kernel tells of a UNIX socket through `NETLINK_SOCK_DIAG` (include/uapi/linux/unix_diag.h): peer, queue, shutdown.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};

use super::super::scratch::half;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const UDIAG_SHOW_PEER: u32 = 4;
const UDIAG_SHOW_RQLEN: u32 = 0x10;
const UNIX_DIAG_PEER: u16 = 2;
const UNIX_DIAG_RQLEN: u16 = 4;
const UNIX_DIAG_SHUTDOWN: u16 = 6;
const HEADER: usize = 16;
const MESSAGE: usize = 16;

/// What the kernel told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UnixFacts {
    /// Inode of the peer; `None` when there is none or it is gone.
    pub(super) peer: Option<u64>,
    /// For a listening socket: the backlog asked for.
    pub(super) backlog: u32,
    /// Bit 0: no more receiving; bit 1: no more sending.
    pub(super) shutdown: u8,
}

/// A channel to the kernel's socket monitor, opened when the first question is asked.
#[derive(Debug, Default)]
pub(super) struct Monitor {
    channel: Option<OwnedFd>,
}

impl Monitor {
    /// Asks for the socket with `inode` in the engine's network namespace. `ENOENT` when it is in another one.
    pub(super) fn ask(&mut self, inode: u64) -> Result<UnixFacts, Errno> {
        let inode = u32::try_from(inode).map_err(|_| Errno::ERANGE)?;
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => socket(AddressFamily::Netlink, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?,
        };
        sendto(channel.as_raw_fd(), &request(inode), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut answer = [0u8; 4096];
        let length = recv(channel.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        self.channel = Some(channel);
        parse(answer.get(..length).unwrap_or_default())
    }
}

fn request(inode: u32) -> Vec<u8> {
    const LENGTH: u32 = (HEADER + 24) as u32;
    let mut bytes = Vec::with_capacity(LENGTH as usize);
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // sequence number and port
    bytes.extend([libc::AF_UNIX as u8, 0, 0, 0]);
    // Any state; the inode; what to show; no cookie.
    for word in [u32::MAX, inode, UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN, u32::MAX, u32::MAX] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

fn parse(answer: &[u8]) -> Result<UnixFacts, Errno> {
    let kind = answer.get(4..6).map_or(0, |bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
    if kind == NLMSG_ERROR {
        return Err(Errno::from_raw(-(half(answer, HEADER) as i32)));
    }
    let mut facts = UnixFacts::default();
    let total = (half(answer, 0) as usize).min(answer.len());
    let mut rest = answer.get(HEADER + MESSAGE..total).ok_or(Errno::EBADMSG)?;
    while let Some([low, high, kind_low, kind_high]) = rest.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([*low, *high]));
        let Some(value) = rest.get(4..length) else { return Err(Errno::EBADMSG) };
        match u16::from_ne_bytes([*kind_low, *kind_high]) {
            UNIX_DIAG_PEER => facts.peer = Some(u64::from(half(value, 0))).filter(|peer| *peer != 0),
            UNIX_DIAG_RQLEN => facts.backlog = half(value, 4),
            UNIX_DIAG_SHUTDOWN => facts.shutdown = value.first().copied().unwrap_or(0),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn inode(stream: &UnixStream) -> u64 {
        std::fs::metadata(format!("/proc/self/fd/{}", stream.as_raw_fd())).unwrap().ino()
    }

    #[test]
    fn the_ends_of_a_pair_name_each_other() {
        let (first, second) = UnixStream::pair().unwrap();
        first.shutdown(std::net::Shutdown::Write).unwrap();
        let mut monitor = Monitor::default();
        let facts = monitor.ask(inode(&first)).unwrap();
        assert_eq!((facts.peer, facts.shutdown), (Some(inode(&second)), 2));
        assert_eq!(monitor.ask(inode(&second)).unwrap().shutdown, 1);
        drop(second);
        // A child of another test may have had it for a moment: it is closed when its end can be read.
        assert_eq!((&first).read(&mut [0]).unwrap(), 0);
        assert_eq!(monitor.ask(inode(&first)).unwrap().peer, None);
        assert_eq!(monitor.ask(1), Err(Errno::ENOENT));
    }

    #[test]
    fn broken_answers_are_errors() {
        assert_eq!(parse(&[]), Err(Errno::EBADMSG));
        let mut answer = vec![0; 40];
        answer[0] = 40;
        answer[4] = 20;
        answer[32] = 200;
        assert_eq!(parse(&answer), Err(Errno::EBADMSG));
    }
}
