//! Raw socket calls: addresses and options as the kernel's bytes, which the saved types keep as they are.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// Longest address of any family (`struct sockaddr_storage`).
const ADDRESS_LENGTH: usize = 128;

/// `getsockopt(2)`: the option's bytes, at most `room`.
pub fn option(socket: BorrowedFd<'_>, level: i32, name: i32, room: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0u8; room];
    let mut length = room as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into the live buffer and the new length through the last pointer.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, bytes.as_mut_ptr().cast(), &raw mut length) };
    Errno::result(result)?;
    bytes.truncate(length as usize);
    Ok(bytes)
}

/// An option whose value is an `int`.
pub fn number(socket: BorrowedFd<'_>, level: i32, name: i32) -> Result<i32, Errno> {
    let bytes = option(socket, level, name, 4)?;
    bytes.first_chunk::<4>().map(|bytes| i32::from_ne_bytes(*bytes)).ok_or(Errno::EINVAL)
}

/// `setsockopt(2)`.
pub fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many bytes as the live slice has.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), value.len() as libc::socklen_t) };
    Errno::result(result).map(drop)
}

/// `getsockname(2)`, as the bytes of the address.
pub fn local_address(socket: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    address(socket, libc::getsockname)
}

/// `getpeername(2)`, as the bytes of the address.
pub fn peer_address(socket: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    address(socket, libc::getpeername)
}

type AddressCall = unsafe extern "C" fn(libc::c_int, *mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int;

fn address(socket: BorrowedFd<'_>, call: AddressCall) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0u8; ADDRESS_LENGTH];
    let mut length = ADDRESS_LENGTH as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into the live buffer and the new length through the last pointer.
    let result = unsafe { call(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), &raw mut length) };
    Errno::result(result)?;
    bytes.truncate(length as usize);
    Ok(bytes)
}

/// `socket(2)`, close-on-exec.
pub fn create(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers.
    let result = Errno::result(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// `socketpair(2)` of UNIX sockets, close-on-exec.
pub fn create_pair(kind: i32, protocol: i32) -> Result<(OwnedFd, OwnedFd), Errno> {
    let mut pair = [0; 2];
    // SAFETY: the kernel writes two ints into the live array.
    let result = unsafe { libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, protocol, pair.as_mut_ptr()) };
    Errno::result(result)?;
    // SAFETY: the kernel has just made both descriptors for us alone.
    Ok(unsafe { (OwnedFd::from_raw_fd(pair[0]), OwnedFd::from_raw_fd(pair[1])) })
}

/// `bind(2)` to an address of the kernel's own making.
pub fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many bytes as the live slice has.
    let result = unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as libc::socklen_t) };
    Errno::result(result).map(drop)
}

/// `connect(2)` likewise.
pub fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many bytes as the live slice has.
    let result = unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as libc::socklen_t) };
    Errno::result(result).map(drop)
}

/// `listen(2)`.
pub fn listen(socket: BorrowedFd<'_>, backlog: u32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::listen(socket.as_raw_fd(), backlog as i32) }).map(drop)
}

/// `shutdown(2)`.
pub fn shutdown(socket: BorrowedFd<'_>, how: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::shutdown(socket.as_raw_fd(), how) }).map(drop)
}

/// One message seen without being taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peeked {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether descriptors or credentials come with it.
    pub has_control: bool,
}

/// Looks at the message at the socket's peek offset (`SO_PEEK_OFF`), of at most `room` bytes. `None` when there is none.
///
/// Without room for control data nothing is installed; the kernel only says that there was some.
pub fn peek(socket: BorrowedFd<'_>, room: usize) -> Result<Option<Peeked>, Errno> {
    let mut bytes = vec![0u8; room];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: room };
    // SAFETY: an all-zero msghdr is a valid one without name, parts and control data.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    // SAFETY: the header names one part, the live buffer above with its length; both outlive the call.
    let result =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_TRUNC) };
    match Errno::result(result) {
        Ok(length) if length as usize > room => Err(Errno::EMSGSIZE),
        Ok(length) => {
            bytes.truncate(length as usize);
            Ok(Some(Peeked { bytes, has_control: header.msg_flags & libc::MSG_CTRUNC != 0 }))
        }
        Err(Errno::EAGAIN) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Sends one message whole, without waiting.
pub fn send(socket: BorrowedFd<'_>, message: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads as many bytes as the live slice has.
    let result = unsafe {
        libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    match Errno::result(result)? as usize {
        sent if sent == message.len() => Ok(()),
        _ => Err(Errno::EMSGSIZE),
    }
}

/// The length that the kernel reports for an option when it is given no room. For SO_GET_FILTER: the number of instructions.
pub fn length_of_option(socket: BorrowedFd<'_>, level: i32, name: i32) -> Result<usize, Errno> {
    let mut length: libc::socklen_t = 0;
    // SAFETY: without room nothing is written but the length.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, std::ptr::null_mut(), &raw mut length) };
    Errno::result(result).map(|_| length as usize)
}
