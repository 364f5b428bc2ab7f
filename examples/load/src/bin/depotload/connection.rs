//! The two connections of a session: commands with their replies, and one data connection for each transfer.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};

use dsu_load::{LineClient, LoadError, REQUEST_DEADLINE, Tally};
use nix::sys::socket::{setsockopt, sockopt};

/// A data connection.
#[derive(Debug)]
pub struct Data {
    stream: TcpStream,
    what: String,
}

impl Data {
    /// Opens the one that a reply to PASV announced; `what` is it for.
    ///
    /// # Errors
    /// When the reply announces none, or nobody listens there.
    pub fn open(reply: &str, what: &str) -> Result<Self, LoadError> {
        let port = port(reply).ok_or_else(|| exchange("reading", what, io::Error::other(format!("no port in {reply:?}"))))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connect = |source| LoadError::Connect { address, source };
        let stream = TcpStream::connect_timeout(&address, REQUEST_DEADLINE).map_err(connect)?;
        stream.set_read_timeout(Some(REQUEST_DEADLINE)).map_err(connect)?;
        stream.set_write_timeout(Some(REQUEST_DEADLINE)).map_err(connect)?;
        // Where depot closes first, its port would stay taken for a minute: a fast machine runs out of ports (EADDRINUSE).
        let no_waiting = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&stream, sockopt::Linger, &no_waiting).map_err(|number| connect(number.into()))?;
        Ok(Self { stream, what: what.to_owned() })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection takes no more.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        self.stream.write_all(bytes).map_err(|source| exchange("sending", &self.what, source))
    }

    /// Says that all was sent.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn end(&self) -> Result<(), LoadError> {
        self.stream.shutdown(Shutdown::Write).map_err(|source| exchange("ending", &self.what, source))
    }

    /// Takes `length` bytes.
    ///
    /// # Errors
    /// When fewer come.
    pub fn take(&mut self, length: usize) -> Result<Vec<u8>, LoadError> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).map_err(|source| exchange("receiving", &self.what, source))?;
        Ok(bytes)
    }

    /// Takes what is left.
    ///
    /// # Errors
    /// When the connection breaks off.
    pub fn rest(mut self) -> Result<Vec<u8>, LoadError> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).map_err(|source| exchange("receiving", &self.what, source))?;
        Ok(bytes)
    }
}

/// Waits for the reply to `request` and counts it wrong unless it is what was expected.
///
/// # Errors
/// As [`LineClient::line`].
pub fn expect(control: &mut LineClient, request: &str, expected: &str, tally: &mut Tally) -> Result<(), LoadError> {
    let reply = control.line(request)?;
    tally.expect(request, &reply.as_str(), &expected);
    Ok(())
}

fn port(reply: &str) -> Option<u16> {
    let numbers = reply.strip_prefix("227 ")?.rsplit_once('(')?.1.strip_suffix(')')?;
    let mut last = numbers.rsplit(',').map(|number| number.parse::<u16>().ok());
    let (low, high) = (last.next()??, last.next()??);
    high.checked_mul(256)?.checked_add(low)
}

fn exchange(operation: &'static str, request: &str, source: io::Error) -> LoadError {
    LoadError::Exchange { operation, request: request.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_in_the_last_two_numbers() {
        assert_eq!(port("227 entering passive mode (127,0,0,1,1,2)"), Some(258));
        assert_eq!(port("425 no data connection"), None);
    }
}
