//! A client of a line protocol over TCP. It never connects again: a lost connection is what drills look for.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::{LoadError, REQUEST_DEADLINE, Tally};

/// One connection. Requests end in CR LF; reply lines are given without their end.
#[derive(Debug)]
pub struct LineClient {
    stream: BufReader<TcpStream>,
}

impl LineClient {
    /// Connects to a server on this machine.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: SocketAddr) -> Result<Self, LoadError> {
        let connect = |source| LoadError::Connect { address, source };
        let stream = TcpStream::connect_timeout(&address, REQUEST_DEADLINE).map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        stream.set_read_timeout(Some(REQUEST_DEADLINE)).map_err(connect)?;
        stream.set_write_timeout(Some(REQUEST_DEADLINE)).map_err(connect)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends bytes as they are: a request, several, or a part of one.
    ///
    /// # Errors
    /// When the connection takes no more.
    pub fn send(&mut self, text: &str) -> Result<(), LoadError> {
        let sent = self.stream.get_mut().write_all(text.as_bytes());
        sent.map_err(|source| LoadError::Exchange { operation: "sending", request: cut(text), source })
    }

    /// Waits for one line of the reply to `request`.
    ///
    /// # Errors
    /// When the connection ends, or nothing comes within [`REQUEST_DEADLINE`].
    pub fn line(&mut self, request: &str) -> Result<String, LoadError> {
        let mut line = String::new();
        let count = self.stream.read_line(&mut line).map_err(|source| receive_error(request, source))?;
        if count == 0 || !line.ends_with('\n') {
            return Err(LoadError::Closed { request: cut(request) });
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }

    /// Waits for `length` bytes and the line end after them (memcached's data blocks).
    ///
    /// # Errors
    /// As [`LineClient::line`].
    pub fn block(&mut self, request: &str, length: usize) -> Result<Vec<u8>, LoadError> {
        let mut block = vec![0; length + 2];
        self.stream.read_exact(&mut block).map_err(|source| receive_error(request, source))?;
        block.truncate(length);
        Ok(block)
    }

    /// Sends one request and waits for the one line that answers it.
    ///
    /// # Errors
    /// As [`LineClient::send`] and [`LineClient::line`].
    pub fn ask(&mut self, request: &str, tally: &mut Tally) -> Result<String, LoadError> {
        let start = Instant::now();
        self.send(&format!("{request}\r\n"))?;
        let reply = self.line(request)?;
        tally.answered(start.elapsed());
        Ok(reply)
    }
}

fn receive_error(request: &str, source: std::io::Error) -> LoadError {
    LoadError::Exchange { operation: "receiving", request: cut(request), source }
}

fn cut(text: &str) -> String {
    text.trim_end().chars().take(80).collect()
}
