//! Socket options that a program sets and a fresh socket would lack.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::super::error::ResourceError;
use crate::tracee::sockets;

/// Longest value that is asked for: an interface's or an algorithm's name, or two long words.
const ROOM: usize = 32;
/// From headers that the libc crate does not cover (asm-generic/socket.h, linux/in.h, linux/in6.h, linux/tcp.h).
const SO_BUSY_POLL: i32 = 46;
const SO_MAX_PACING_RATE: i32 = 47;
const TCP_THIN_LINEAR_TIMEOUTS: i32 = 16;
const TCP_NOTSENT_LOWAT: i32 = 25;

/// Options by level, in the order in which they are set again.
const OPTIONS: [(i32, i32); 52] = [
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT),
    (libc::SOL_SOCKET, libc::SO_BINDTODEVICE),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_BROADCAST),
    (libc::SOL_SOCKET, libc::SO_LINGER),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_RCVLOWAT),
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO),
    (libc::SOL_SOCKET, libc::SO_PASSCRED),
    (libc::SOL_SOCKET, libc::SO_PASSSEC),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMP),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS),
    (libc::SOL_SOCKET, libc::SO_PRIORITY),
    (libc::SOL_SOCKET, libc::SO_MARK),
    (libc::SOL_SOCKET, libc::SO_DONTROUTE),
    (libc::SOL_SOCKET, libc::SO_NO_CHECK),
    (libc::SOL_SOCKET, libc::SO_RXQ_OVFL),
    (libc::SOL_SOCKET, libc::SO_PEEK_OFF),
    (libc::SOL_SOCKET, libc::SO_ZEROCOPY),
    (libc::SOL_SOCKET, SO_BUSY_POLL),
    (libc::SOL_SOCKET, SO_MAX_PACING_RATE),
    (libc::IPPROTO_IP, libc::IP_TOS),
    (libc::IPPROTO_IP, libc::IP_TTL),
    (libc::IPPROTO_IP, libc::IP_FREEBIND),
    (libc::IPPROTO_IP, libc::IP_TRANSPARENT),
    (libc::IPPROTO_IP, libc::IP_PKTINFO),
    (libc::IPPROTO_IP, libc::IP_RECVERR),
    (libc::IPPROTO_IP, libc::IP_RECVTOS),
    (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_CORK),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_TCP, libc::TCP_FASTOPEN),
    (libc::IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS),
    (libc::IPPROTO_TCP, TCP_NOTSENT_LOWAT),
    (libc::IPPROTO_TCP, libc::TCP_CONGESTION),
    (libc::IPPROTO_UDP, libc::UDP_GRO),
];

/// Options that a program can set and nobody can read back: what they hold stays with the kernel.
const FILTERS: [(i32, &str); 1] = [(libc::SO_GET_FILTER, "a packet filter (SO_ATTACH_FILTER)")];

/// Every option of the list that the socket has.
pub(super) fn capture(socket: BorrowedFd<'_>, family: i32, protocol: i32) -> Vec<(i32, i32, Vec<u8>)> {
    let applies = |level: i32| match level {
        libc::SOL_SOCKET => true,
        libc::IPPROTO_IP => family == libc::AF_INET,
        libc::IPPROTO_IPV6 => family == libc::AF_INET6,
        level => level == protocol && family != libc::AF_UNIX,
    };
    let wanted = OPTIONS.iter().filter(|(level, _)| applies(*level));
    // An option that this kernel, or this family, does not have cannot have been set.
    wanted.filter_map(|(level, name)| Some((*level, *name, sockets::option(socket, *level, *name, ROOM).ok()?))).collect()
}

/// What is attached to the socket that the options do not hold.
pub(super) fn attached(socket: BorrowedFd<'_>) -> Option<&'static str> {
    // With no room for the filter itself the kernel tells its length, as the option's length.
    let is_attached = |name| matches!(filter_length(socket, name), Ok(1..));
    FILTERS.iter().find(|(name, _)| is_attached(*name)).map(|(_, what)| *what)
}

fn filter_length(socket: BorrowedFd<'_>, name: i32) -> Result<usize, Errno> {
    sockets::length_of_option(socket, libc::SOL_SOCKET, name)
}

/// Sets every saved option that a fresh socket has otherwise. `before_bind` is asked which to set in this round.
pub(super) fn restore(
    socket: BorrowedFd<'_>,
    options: &[(i32, i32, Vec<u8>)],
    wanted: impl Fn(i32, i32) -> bool,
) -> Result<(), ResourceError> {
    for (level, name, value) in options.iter().filter(|(level, name, _)| wanted(*level, *name)) {
        if sockets::option(socket, *level, *name, ROOM).is_ok_and(|present| present == *value) {
            continue;
        }
        set(socket, *level, *name, value)
            .map_err(|source| ResourceError::call("setsockopt", format_args!("option {name} of level {level}"), source))?;
    }
    Ok(())
}

fn set(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    let is_buffer = level == libc::SOL_SOCKET && (name == libc::SO_SNDBUF || name == libc::SO_RCVBUF);
    match (is_buffer, value.first_chunk::<4>()) {
        // The kernel doubles what is asked for and reports the double (net/core/sock.c).
        (true, Some(bytes)) => {
            let half = (i32::from_ne_bytes(*bytes) / 2).to_ne_bytes();
            let forced = if name == libc::SO_SNDBUF { libc::SO_SNDBUFFORCE } else { libc::SO_RCVBUFFORCE };
            sockets::set_option(socket, level, forced, &half).or_else(|_| sockets::set_option(socket, level, name, &half))
        }
        _ => sockets::set_option(socket, level, name, value),
    }
}

/// Options that have to be in place before `bind`.
pub(super) fn is_before_bind(level: i32, name: i32) -> bool {
    match level {
        libc::SOL_SOCKET => [libc::SO_REUSEADDR, libc::SO_REUSEPORT, libc::SO_BINDTODEVICE, libc::SO_RCVBUF].contains(&name),
        libc::IPPROTO_IP => [libc::IP_FREEBIND, libc::IP_TRANSPARENT].contains(&name),
        libc::IPPROTO_IPV6 => name == libc::IPV6_V6ONLY,
        _ => false,
    }
}
