//! Socket addresses for people, from the bytes of `sockaddr` (`sys/socket.h`, `netinet/in.h`, `sys/un.h`).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use nix::libc;

use crate::cli::output::human;

/// Name of an address family.
pub fn family(family: i32) -> String {
    match family {
        libc::AF_UNIX => "unix".to_owned(),
        libc::AF_INET => "ipv4".to_owned(),
        libc::AF_INET6 => "ipv6".to_owned(),
        libc::AF_NETLINK => "netlink".to_owned(),
        libc::AF_PACKET => "packet".to_owned(),
        other => format!("family {other}"),
    }
}

/// Name of a socket type.
pub fn kind(kind: i32) -> String {
    match kind {
        libc::SOCK_STREAM => "stream".to_owned(),
        libc::SOCK_DGRAM => "datagram".to_owned(),
        libc::SOCK_SEQPACKET => "seqpacket".to_owned(),
        libc::SOCK_RAW => "raw".to_owned(),
        other => format!("type {other}"),
    }
}

/// An address; nothing for none or for an unnamed one.
pub fn text(bytes: &[u8]) -> Option<String> {
    let family = i32::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    let rest = bytes.get(2..)?;
    match family {
        libc::AF_INET => Some(SocketAddrV4::new(Ipv4Addr::from(*rest.get(2..)?.first_chunk::<4>()?), port(rest)?).to_string()),
        libc::AF_INET6 => {
            let address = Ipv6Addr::from(*rest.get(6..)?.first_chunk::<16>()?);
            Some(SocketAddrV6::new(address, port(rest)?, 0, 0).to_string())
        }
        libc::AF_UNIX => unix(rest),
        _ => None,
    }
}

fn port(rest: &[u8]) -> Option<u16> {
    rest.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// A path ends at a zero; an abstract name begins with one.
fn unix(path: &[u8]) -> Option<String> {
    match path.split_first()? {
        (0, name) if name.iter().any(|byte| *byte != 0) => Some(format!("@{}", human::text(name))),
        (0, _) => None,
        _ => Some(human::text(path.split(|byte| *byte == 0).next()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_its_form() {
        assert_eq!(text(&[2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]).as_deref(), Some("127.0.0.1:8080"));
        let mut six = vec![10, 0, 0, 80, 0, 0, 0, 0];
        six.extend([0; 15]);
        six.push(1);
        assert_eq!(text(&six).as_deref(), Some("[::1]:80"));
        assert_eq!(text(b"\x01\0/run/x\0junk").as_deref(), Some("/run/x"));
        assert_eq!(text(b"\x01\0\0name").as_deref(), Some("@name"));
    }

    #[test]
    fn cut_or_empty_addresses_are_nothing() {
        for bytes in [&b""[..], b"\x02", b"\x02\0\x1f", b"\x02\0\x1f\x90\x7f", b"\x01\0", b"\x01\0\0\0", b"\x63\0abc"] {
            assert_eq!(text(bytes), None, "{bytes:?}");
        }
    }
}
