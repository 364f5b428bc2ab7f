//! UNIX sockets connected to each other inside the image (`socketpair(2)`), with what waits in both directions.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use dsu_formats::model::latest::{Descriptors, Kind, Socket, SocketState};

use super::super::error::ResourceError;
use super::socket::show;
use super::socket_options;
use crate::tracee::sockets;

/// The socket of the image that `socket` is connected to, when that is connected back.
pub(super) fn peer_of<'a>(socket: &Socket, found: &'a Descriptors) -> Option<&'a Socket> {
    let inode = socket.peer_inode?;
    let sockets = found.descriptions.iter().filter_map(|description| match &description.kind {
        Kind::Socket(other) => Some(other),
        _ => None,
    });
    sockets.into_iter().find(|other| other.inode == inode && other.peer_inode == Some(socket.inode))
}

/// Why a fresh pair cannot take the place of this end of one.
pub(super) fn obstacle(socket: &Socket, peer: &Socket) -> Option<String> {
    if [&socket.local, &peer.local].iter().any(|address| address.len() > 2) {
        return Some(format!(
            "it was connected through a name ({}), which a pair has not",
            show(socket.family, if socket.local.len() > 2 { &socket.local } else { &peer.local })
        ));
    }
    if socket.ancillary_queued {
        return Some("descriptors or credentials wait in its queue".to_owned());
    }
    (socket.state != SocketState::Connected).then(|| "it is not connected as a pair is".to_owned())
}

/// Pairs of a restore by the inode of the end that is still to be asked for.
#[derive(Default)]
pub(super) struct Pairs {
    waiting: HashMap<u64, OwnedFd>,
}

impl Pairs {
    /// The socket for one end; the pair is made and filled for the first of its ends.
    pub(super) fn end(&mut self, saved: &Socket, peer: &Socket) -> Result<OwnedFd, ResourceError> {
        if let Some(made) = self.waiting.remove(&saved.inode) {
            return Ok(made);
        }
        let failed = |call| move |source| ResourceError::call(call, "a socket pair", source);
        let (own, other) = sockets::create_pair(saved.kind, saved.protocol).map_err(failed("socketpair"))?;
        fill(other.as_fd(), saved)?;
        fill(own.as_fd(), peer)?;
        for (socket, saved) in [(&own, saved), (&other, peer)] {
            socket_options::restore(socket.as_fd(), &saved.options, |_, _| true)?;
        }
        for (socket, mask) in [(&own, saved.shutdown), (&other, peer.shutdown)] {
            let how = match mask & 3 {
                1 => libc::SHUT_RD,
                2 => libc::SHUT_WR,
                3 => libc::SHUT_RDWR,
                _ => continue,
            };
            sockets::shutdown(socket.as_fd(), how).map_err(failed("shutdown"))?;
        }
        self.waiting.insert(peer.inode, other);
        Ok(own)
    }
}

/// Sends into `sender` what waited at its peer, whose saved state is `receiver`.
fn fill(sender: BorrowedFd<'_>, receiver: &Socket) -> Result<(), ResourceError> {
    let failed = |source| ResourceError::call("send", "a socket pair", source);
    let bytes: usize = receiver.receive_queue.iter().map(Vec::len).sum();
    // Room for all of it at once, whatever the sender's limit is; the options are set afterwards.
    let room = i32::try_from(bytes.saturating_mul(2).max(1 << 16)).unwrap_or(i32::MAX).to_ne_bytes();
    let forced = sockets::set_option(sender, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &room);
    forced.or_else(|_| sockets::set_option(sender, libc::SOL_SOCKET, libc::SO_SNDBUF, &room)).map_err(failed)?;
    receiver.receive_queue.iter().try_for_each(|message| sockets::send(sender, message).map_err(failed))
}
