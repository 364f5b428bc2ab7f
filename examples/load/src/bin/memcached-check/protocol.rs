//! memcached's text protocol, as far as the drill needs it (doc/protocol.txt in its source).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use dsu_load::{LineClient, LoadError, Tally};

/// A value with its flags, as memcached keeps them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stored {
    /// The client's own 32 bits.
    pub flags: u32,
    /// The data block.
    pub value: String,
}

/// A connection.
pub struct Memcached(LineClient);

impl Memcached {
    /// Connects to a server on this machine.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: SocketAddr) -> Result<Self, LoadError> {
        LineClient::connect(address).map(Self)
    }

    /// A storage command: set, add, append, cas (with its number in `extra`); returns the reply line.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn store(
        &mut self,
        command: &str,
        key: &str,
        stored: &Stored,
        extra: &str,
        tally: &mut Tally,
    ) -> Result<String, LoadError> {
        let Stored { flags, value } = stored;
        self.0.ask(&format!("{command} {key} {flags} 0 {}{extra}\r\n{value}", value.len()), tally)
    }

    /// A command that one line asks and one line answers.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn ask(&mut self, request: &str, tally: &mut Tally) -> Result<String, LoadError> {
        self.0.ask(request, tally)
    }

    /// Reads keys; those that are missing are left out.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn get(&mut self, keys: &[&str], tally: &mut Tally) -> Result<BTreeMap<String, Stored>, LoadError> {
        let found = self.gets("get", keys, tally)?;
        Ok(found.into_iter().map(|(key, (stored, _))| (key, stored)).collect())
    }

    /// Reads keys with their cas numbers (`gets`) or without (`get`: the number is empty).
    ///
    /// # Errors
    /// When the connection fails.
    pub fn gets(
        &mut self,
        command: &str,
        keys: &[&str],
        tally: &mut Tally,
    ) -> Result<BTreeMap<String, (Stored, String)>, LoadError> {
        let request = format!("{command} {}", keys.join(" "));
        let start = Instant::now();
        self.0.send(&format!("{request}\r\n"))?;
        let mut found = BTreeMap::new();
        loop {
            let line = self.0.line(&request)?;
            let words: Vec<_> = line.split(' ').collect();
            match (words.as_slice(), parse_header(&words)) {
                (["END"], _) => break,
                (_, Some((key, flags, length, cas))) => {
                    let block = self.0.block(&request, length)?;
                    let value = String::from_utf8_lossy(&block).into_owned();
                    found.insert(key.to_owned(), (Stored { flags, value }, cas.to_owned()));
                }
                _ => {
                    tally.wrong(format!("{request:.80}: unexpected line {line:.80?}"));
                    break;
                }
            }
        }
        tally.answered(start.elapsed());
        Ok(found)
    }
}

/// `VALUE key flags length [cas]`
fn parse_header<'a>(words: &[&'a str]) -> Option<(&'a str, u32, usize, &'a str)> {
    match words {
        ["VALUE", key, flags, length, rest @ ..] => {
            Some((key, flags.parse().ok()?, length.parse().ok()?, rest.first().copied().unwrap_or("")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_with_and_without_a_cas_number() {
        assert_eq!(parse_header(&["VALUE", "k", "7", "3"]), Some(("k", 7, 3, "")));
        assert_eq!(parse_header(&["VALUE", "k", "7", "3", "99"]), Some(("k", 7, 3, "99")));
        assert_eq!(parse_header(&["VALUE", "k", "x", "3"]), None);
        assert_eq!(parse_header(&["SERVER_ERROR", "out", "of", "memory"]), None);
    }
}
