//! Capture of sockets: family, state, addresses, options; for UNIX sockets the peer and what waits to be received.

use std::os::fd::{AsFd, BorrowedFd};

use dsu_formats::model::latest::{Descriptors, Kind, Socket, SocketState};
use nix::errno::Errno;

use super::super::error::ResourceError;
use super::super::scratch::half;
use super::capture::{Context, Entry};
use super::socket_options;
use super::unix_diag::Monitor;
use crate::tracee::objects;
use crate::tracee::sockets::{self, Peeked};

/// States of TCP (include/net/tcp_states.h).
const TCP_ESTABLISHED: u8 = 1;
const TCP_CLOSE: u8 = 7;
const TCP_LISTEN: u8 = 10;
/// `tcpi_sacked` of `struct tcp_info`: for a listening socket the backlog.
const TCPI_SACKED: usize = 28;
const TCP_INFO_ROOM: usize = 104;
const MOST_MESSAGES: usize = 65536;

pub(super) fn capture(context: &mut Context, entry: &Entry) -> Result<Kind, ResourceError> {
    let socket = entry.file.as_fd();
    let failed = |call| move |source| ResourceError::call(call, format_args!("descriptor {}", entry.number), source);
    let number = |name| sockets::number(socket, libc::SOL_SOCKET, name).map_err(failed("getsockopt"));
    let (family, kind, protocol) = (number(libc::SO_DOMAIN)?, number(libc::SO_TYPE)?, number(libc::SO_PROTOCOL)?);
    let local = sockets::local_address(socket).map_err(failed("getsockname"))?;
    let mut found = Socket {
        family,
        kind,
        protocol,
        inode: entry.inode.1,
        state: SocketState::Transient,
        local,
        peer: sockets::peer_address(socket).unwrap_or_default(),
        peer_inode: None,
        backlog: 0,
        options: Vec::new(),
        receive_queue: Vec::new(),
        ancillary_queued: false,
        shutdown: 0,
    };
    found.state = state(socket, &mut found);
    if family == libc::AF_UNIX {
        unix_facts(&mut context.monitor, &mut found).map_err(failed("sock_diag"))?;
    }
    // An exec keeps the socket with its options, and a connection cannot be made again with or without them.
    if !context.durable {
        return Ok(Kind::Socket(found));
    }
    if found.state != SocketState::Connected || family == libc::AF_UNIX {
        found.options = socket_options::capture(socket, family, protocol);
        if let Some(what) = socket_options::attached(socket) {
            return Ok(Kind::Unknown { name: format!("socket with {what}") });
        }
    }
    Ok(Kind::Socket(found))
}

/// Where the socket is in its life; fills in the backlog of a TCP socket.
fn state(socket: BorrowedFd<'_>, found: &mut Socket) -> SocketState {
    if found.protocol == libc::IPPROTO_TCP && [libc::AF_INET, libc::AF_INET6].contains(&found.family) {
        let info = sockets::option(socket, libc::IPPROTO_TCP, libc::TCP_INFO, TCP_INFO_ROOM).unwrap_or_default();
        match info.first() {
            Some(&TCP_LISTEN) => {
                found.backlog = half(&info, TCPI_SACKED);
                return SocketState::Listening;
            }
            Some(&TCP_ESTABLISHED) => return SocketState::Connected,
            Some(&TCP_CLOSE) => {}
            _ => return SocketState::Transient,
        }
    }
    if sockets::number(socket, libc::SOL_SOCKET, libc::SO_ACCEPTCONN).is_ok_and(|listening| listening != 0) {
        return SocketState::Listening;
    }
    match sockets::peer_address(socket) {
        Ok(_) => SocketState::Connected,
        Err(_) if is_bound(found) => SocketState::Bound,
        Err(_) => SocketState::Unbound,
    }
}

/// Whether the local address has a name, or a port.
fn is_bound(found: &Socket) -> bool {
    match found.family {
        libc::AF_INET | libc::AF_INET6 => found.local.get(2..4).is_some_and(|port| port != [0, 0]),
        _ => found.local.len() > 2,
    }
}

fn unix_facts(monitor: &mut Monitor, found: &mut Socket) -> Result<(), Errno> {
    match monitor.ask(found.inode) {
        Ok(facts) => {
            found.peer_inode = facts.peer;
            found.shutdown = facts.shutdown;
            if found.state == SocketState::Listening {
                found.backlog = facts.backlog;
            }
            Ok(())
        }
        // In another network namespace, or a kernel without the module: then no peer is known.
        Err(Errno::ENOENT | Errno::EPROTONOSUPPORT | Errno::EINVAL) => Ok(()),
        Err(other) => Err(other),
    }
}

/// Records what waits in UNIX sockets whose peer is a description of the same image.
pub(super) fn link_peers(found: &mut Descriptors, entries: &[&Entry]) -> Result<(), ResourceError> {
    let inodes: Vec<u64> = found.descriptions.iter().filter_map(|description| unix_inode(&description.kind)).collect();
    for (index, description) in found.descriptions.iter_mut().enumerate() {
        let Kind::Socket(socket) = &mut description.kind else { continue };
        if socket.family != libc::AF_UNIX || !socket.peer_inode.is_some_and(|peer| inodes.contains(&peer)) {
            continue;
        }
        let entry = entries[index];
        let messages = peek_all(entry.file.as_fd(), socket.shutdown & 1 != 0)
            .map_err(|source| ResourceError::call("recvmsg(MSG_PEEK)", format_args!("descriptor {}", entry.number), source))?;
        socket.ancillary_queued = messages.iter().any(|message| message.has_control);
        socket.receive_queue = messages.into_iter().map(|message| message.bytes).collect();
    }
    Ok(())
}

fn unix_inode(kind: &Kind) -> Option<u64> {
    match kind {
        Kind::Socket(socket) if socket.family == libc::AF_UNIX => Some(socket.inode),
        _ => None,
    }
}

/// Every message that waits, without taking one: the peek offset walks over them and is put back. `ended` says that an end
/// of file is to be expected behind them.
fn peek_all(socket: BorrowedFd<'_>, ended: bool) -> Result<Vec<Peeked>, Errno> {
    let number = |name| sockets::number(socket, libc::SOL_SOCKET, name);
    let is_stream = number(libc::SO_TYPE)? == libc::SOCK_STREAM;
    // For a stream all bytes that wait, for others the first message only: no message is longer than a sender's buffer.
    let waiting = objects::readable_bytes(socket)?;
    let room = match is_stream {
        true if waiting == 0 => return Ok(Vec::new()),
        true => waiting,
        false => usize::try_from(number(libc::SO_SNDBUF)?.max(number(libc::SO_RCVBUF)?)).unwrap_or(0).max(1 << 18),
    };
    let before = number(libc::SO_PEEK_OFF)?;
    // Most queues are empty. Without an offset of the program's own a look moves nothing.
    if before < 0 && sockets::peek(socket, room)?.is_none() {
        return Ok(Vec::new());
    }
    let set = |offset: i32| sockets::set_option(socket, libc::SOL_SOCKET, libc::SO_PEEK_OFF, &offset.to_ne_bytes());
    set(0)?;
    let messages = walk(socket, room, is_stream || ended);
    set(before)?;
    messages
}

/// Walks over the messages from the first on; `may_end` says that an empty one is the end of the connection.
fn walk(socket: BorrowedFd<'_>, room: usize, may_end: bool) -> Result<Vec<Peeked>, Errno> {
    let mut messages = Vec::new();
    while let Some(message) = sockets::peek(socket, room)? {
        if message.bytes.is_empty() {
            // A socket that has ended reads as empty for ever. An empty datagram does not move the offset: what is behind it
            // cannot be seen, and it counts as one that cannot be recorded.
            if !may_end {
                messages.push(Peeked { has_control: true, ..message });
            }
            return Ok(messages);
        }
        messages.push(message);
        if messages.len() > MOST_MESSAGES {
            return Err(Errno::EMSGSIZE);
        }
    }
    Ok(messages)
}

/// An address for people.
pub(super) fn show(family: i32, address: &[u8]) -> String {
    let port = || address.get(2..4).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    match family {
        libc::AF_INET => match address.get(4..8).and_then(|bytes| bytes.first_chunk::<4>()) {
            Some(bytes) => format!("{}:{}", std::net::Ipv4Addr::from(*bytes), port()),
            None => "no address".to_owned(),
        },
        libc::AF_INET6 => match address.get(8..24).and_then(|bytes| bytes.first_chunk::<16>()) {
            Some(bytes) => format!("[{}]:{}", std::net::Ipv6Addr::from(*bytes), port()),
            None => "no address".to_owned(),
        },
        libc::AF_UNIX => match address.get(2..).unwrap_or_default() {
            [] => "unnamed".to_owned(),
            [0, name @ ..] => format!("@{}", String::from_utf8_lossy(name)),
            name => String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned(),
        },
        family => format!("family {family}"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn messages_are_seen_in_order_and_stay() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        for message in [&b"one"[..], b"two", b"three"] {
            sender.send(message).unwrap();
        }
        for _ in 0..2 {
            let seen: Vec<_> = peek_all(receiver.as_fd(), false).unwrap().into_iter().map(|message| message.bytes).collect();
            assert_eq!(seen, [&b"one"[..], b"two", b"three"]);
        }
        assert_eq!(sockets::number(receiver.as_fd(), libc::SOL_SOCKET, libc::SO_PEEK_OFF), Ok(-1));
        let mut buffer = [0; 8];
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 3);
    }

    #[test]
    fn a_stream_is_seen_whole_and_descriptors_in_it_are_noticed() {
        use std::io::{Read, Write};
        let (mut sender, mut receiver) = UnixStream::pair().unwrap();
        sender.write_all(&[7; 5000]).unwrap();
        sender.write_all(&[8; 3000]).unwrap();
        let seen = peek_all(receiver.as_fd(), false).unwrap();
        assert_eq!(seen.iter().map(|message| message.bytes.len()).sum::<usize>(), 8000);
        assert!(!seen.iter().any(|message| message.has_control));
        let mut bytes = vec![0; 8000];
        receiver.read_exact(&mut bytes).unwrap();
        assert!(bytes[..5000].iter().all(|byte| *byte == 7) && bytes[5000..].iter().all(|byte| *byte == 8));

        use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
        use std::os::fd::AsRawFd;
        let rights = [std::io::stdin().as_raw_fd()];
        let control = [ControlMessage::ScmRights(&rights)];
        sendmsg::<()>(sender.as_raw_fd(), &[std::io::IoSlice::new(b"x")], &control, MsgFlags::empty(), None).unwrap();
        assert!(peek_all(receiver.as_fd(), false).unwrap()[0].has_control);
    }

    #[test]
    fn addresses_are_shown_as_people_write_them() {
        let v4 = [2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(show(libc::AF_INET, &v4), "127.0.0.1:8080");
        assert_eq!(show(libc::AF_UNIX, b"\x01\0/run/x\0"), "/run/x");
        assert_eq!(show(libc::AF_UNIX, b"\x01\0\0name"), "@name");
        assert_eq!(show(libc::AF_UNIX, b"\x01\0"), "unnamed");
        assert_eq!(show(libc::AF_INET, &[]), "no address");
    }
}
