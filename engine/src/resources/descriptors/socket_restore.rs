//! Restore of sockets that no peer holds: listening, bound, and untouched ones.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dsu_formats::model::latest::{Socket, SocketState};
use nix::errno::Errno;

use super::super::error::ResourceError;
use super::socket::show;
use super::socket_options;
use crate::tracee::sockets;

/// Why a fresh socket cannot take this one's place. Sockets connected to each other inside the image are `unix_pair`'s.
pub(super) fn obstacle(socket: &Socket) -> Option<String> {
    let inet = [libc::AF_INET, libc::AF_INET6].contains(&socket.family);
    if !inet && socket.family != libc::AF_UNIX {
        return Some(format!("sockets of family {} are not carried", socket.family));
    }
    if inet && ![libc::IPPROTO_TCP, libc::IPPROTO_UDP].contains(&socket.protocol) {
        return Some(format!("sockets of protocol {} are not carried", socket.protocol));
    }
    let local = show(socket.family, &socket.local);
    match socket.state {
        SocketState::Connected if socket.family == libc::AF_UNIX && socket.peer_inode.is_none() => {
            Some(format!("its peer ({}) is gone or unknown", show(socket.family, &socket.peer)))
        }
        SocketState::Connected => {
            Some(format!("it is connected to {} (from {local}), outside the image", show(socket.family, &socket.peer)))
        }
        SocketState::Transient => Some(format!("it is being connected or closed ({local})")),
        _ => match unix_path(socket) {
            Some(path) if !path.is_absolute() => Some(format!("its name {local} is relative to a directory")),
            Some(path) => path_obstacle(socket, &path),
            None => None,
        },
    }
}

/// The path that a UNIX socket is bound to.
fn unix_path(socket: &Socket) -> Option<PathBuf> {
    if socket.family != libc::AF_UNIX {
        return None;
    }
    let name = socket.local.get(2..).filter(|name| !name.is_empty() && name[0] != 0)?;
    let path = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(PathBuf::from(OsString::from_vec(path.to_vec())))
}

/// What stands at the path of a UNIX socket: nothing, a socket that nobody answers on, or an obstacle.
fn path_obstacle(socket: &Socket, path: &Path) -> Option<String> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return None };
    if !metadata.file_type().is_socket() {
        return Some(format!("{} is no socket now", path.display()));
    }
    let probe = sockets::create(libc::AF_UNIX, socket.kind, 0).and_then(|probe| sockets::connect(probe.as_fd(), &socket.local));
    match probe {
        Err(Errno::ECONNREFUSED) => None,
        Ok(()) | Err(Errno::EAGAIN) => Some(format!("somebody else answers on {}", path.display())),
        Err(other) => Some(format!("{} cannot be probed: {other}", path.display())),
    }
}

pub(super) fn restore(saved: &Socket) -> Result<OwnedFd, ResourceError> {
    let local = show(saved.family, &saved.local);
    let failed = |call| move |source| ResourceError::call(call, show(saved.family, &saved.local), source);
    let socket = sockets::create(saved.family, saved.kind, saved.protocol).map_err(failed("socket"))?;
    socket_options::restore(socket.as_fd(), &saved.options, socket_options::is_before_bind)?;
    if saved.state != SocketState::Unbound {
        bind(&socket, saved).map_err(|error| match error {
            ResourceError::Call { call, source, .. } => ResourceError::call(call, &local, source),
            other => other,
        })?;
    }
    if saved.state == SocketState::Listening {
        sockets::listen(socket.as_fd(), saved.backlog).map_err(failed("listen"))?;
    }
    socket_options::restore(socket.as_fd(), &saved.options, |level, name| !socket_options::is_before_bind(level, name))?;
    Ok(socket)
}

fn bind(socket: &OwnedFd, saved: &Socket) -> Result<(), ResourceError> {
    let failed = |call| move |source| ResourceError::call(call, "", source);
    let Some(path) = unix_path(saved) else {
        return bind_port(socket, saved).map_err(failed("bind"));
    };
    let stale = std::fs::symlink_metadata(&path).ok();
    if stale.is_some() {
        // `obstacle` has seen that it is a socket nobody answers on; see once more, right before it goes.
        if let Some(reason) = path_obstacle(saved, &path) {
            return Err(ResourceError::Unexpected {
                object: path.display().to_string(),
                expected: "a socket that nobody answers on",
                found: reason,
            });
        }
        std::fs::remove_file(&path).map_err(|source| ResourceError::file("remove", &path, source))?;
    }
    sockets::bind(socket.as_fd(), &saved.local).map_err(failed("bind"))?;
    let Some(stale) = stale else { return Ok(()) };
    std::os::unix::fs::lchown(&path, Some(stale.uid()), Some(stale.gid()))
        .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(stale.mode() & 0o7777)))
        .map_err(|source| ResourceError::file("set owner and mode of", &path, source))
}

/// Binds to a port. Connections of the old process may linger in TIME_WAIT, which only SO_REUSEADDR lets one pass; the
/// option is as it was afterwards.
fn bind_port(socket: &OwnedFd, saved: &Socket) -> Result<(), Errno> {
    let set = |value: i32| sockets::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &value.to_ne_bytes());
    let before = sockets::number(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    if before == 0 && saved.protocol == libc::IPPROTO_TCP {
        set(1)?;
        sockets::bind(socket.as_fd(), &saved.local)?;
        return set(before);
    }
    sockets::bind(socket.as_fd(), &saved.local)
}
