//! Frames: a little-endian 32-bit length, then that many bytes of postcard.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest frame in bytes. A batch stays far below it; a length beyond it is an error before anything is allocated.
pub const LONGEST: u32 = 64 << 20;

/// A frame cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The pipe failed or ended.
    #[error("the pipe to the other side")]
    Pipe(#[source] io::Error),
    /// The other side closed the pipe between two frames.
    #[error("the other side has closed the pipe")]
    Closed,
    /// A length that no frame has.
    #[error("a frame of {length} bytes; the longest that may be is {LONGEST}")]
    TooLong {
        /// Length as announced or to be sent.
        length: u64,
    },
    /// The bytes are no message of this protocol.
    #[error("{length} bytes that are no message of the plugin protocol")]
    Malformed {
        /// Length of the frame.
        length: usize,
        /// Cause.
        #[source]
        source: postcard::Error,
    },
}

/// Sends one message.
///
/// # Errors
/// A message longer than [`LONGEST`], or a broken pipe.
pub fn send<M: Serialize>(to: &mut impl Write, message: &M) -> Result<(), FrameError> {
    let body = postcard::to_stdvec(message).map_err(|source| FrameError::Malformed { length: 0, source })?;
    let length = u32::try_from(body.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or(FrameError::TooLong { length: body.len() as u64 })?;
    to.write_all(&length.to_le_bytes()).and_then(|()| to.write_all(&body)).and_then(|()| to.flush()).map_err(FrameError::Pipe)
}

/// Receives one message.
///
/// # Errors
/// The end of the pipe, a length beyond [`LONGEST`], bytes that are no message or hold more than one.
pub fn receive<M: DeserializeOwned>(from: &mut impl Read) -> Result<M, FrameError> {
    let mut length = [0; 4];
    let mut filled = 0;
    while filled < length.len() {
        match from.read(&mut length[filled..]) {
            Ok(0) if filled == 0 => return Err(FrameError::Closed),
            Ok(0) => return Err(FrameError::Pipe(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FrameError::Pipe(error)),
        }
    }
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(FrameError::TooLong { length: length.into() });
    }
    let mut body = Vec::new();
    from.take(length.into()).read_to_end(&mut body).map_err(FrameError::Pipe)?;
    if body.len() < length as usize {
        return Err(FrameError::Pipe(io::ErrorKind::UnexpectedEof.into()));
    }
    let malformed = |source| FrameError::Malformed { length: body.len(), source };
    match postcard::take_from_bytes(&body).map_err(malformed)? {
        (message, []) => Ok(message),
        _ => Err(malformed(postcard::Error::DeserializeBadEncoding)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plugin::message::{FromPlugin, ToPlugin};

    #[test]
    fn what_is_sent_is_received() {
        let mut pipe = Vec::new();
        let message = FromPlugin::Read { address: 0x1234, length: 17 };
        send(&mut pipe, &message).unwrap();
        assert_eq!(receive::<FromPlugin>(&mut &pipe[..]).unwrap(), message);
        assert!(matches!(receive::<FromPlugin>(&mut &pipe[..3]), Err(FrameError::Pipe(_))));
        assert!(matches!(receive::<FromPlugin>(&mut &pipe[..0]), Err(FrameError::Closed)));
    }

    #[test]
    fn a_huge_length_is_refused_before_it_is_allocated() {
        let error = receive::<FromPlugin>(&mut &u32::MAX.to_le_bytes()[..]).unwrap_err();
        assert!(matches!(error, FrameError::TooLong { length } if length == u64::from(u32::MAX)), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
            framed.extend(&bytes);
            let _ = receive::<FromPlugin>(&mut &framed[..]);
            let _ = receive::<ToPlugin>(&mut &framed[..]);
            let _ = receive::<FromPlugin>(&mut &bytes[..]);
        }
    }
}
