//! One connection that works on keys of its own and knows what every reply must be.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dsu_load::{LoadError, Random, Session, Tally};

use crate::protocol::{Memcached, Stored};

const KEYS: u64 = 20;
/// Values stay below this when something is appended to them.
const VALUE_MAX_LEN: usize = 4000;

/// A connection and the model of its keys.
pub struct MemcachedSession {
    server: Memcached,
    prefix: String,
    random: Random,
    values: BTreeMap<String, Stored>,
    numbers: BTreeMap<String, u64>,
}

impl MemcachedSession {
    /// Connects session `number`.
    ///
    /// # Errors
    /// When memcached does not listen there.
    pub fn connect(address: SocketAddr, number: u32) -> Result<Self, LoadError> {
        Ok(Self {
            server: Memcached::connect(address)?,
            prefix: format!("live:{number}:"),
            random: Random::new(u64::from(number) + 991),
            values: BTreeMap::new(),
            numbers: BTreeMap::new(),
        })
    }

    fn key(&mut self, kind: char) -> String {
        format!("{}{kind}{}", self.prefix, self.random.below(KEYS))
    }

    fn fresh(&mut self) -> Stored {
        let length = self.random.below(800) as usize;
        Stored { flags: self.random.below(1 << 20) as u32, value: self.random.text(length) }
    }

    fn store(&mut self, command: &str, tally: &mut Tally) -> Result<(), LoadError> {
        let (key, stored) = (self.key('v'), self.fresh());
        let held = self.values.contains_key(&key);
        let done = match command {
            "add" => !held,
            "replace" => held,
            _ => true,
        };
        let reply = self.server.store(command, &key, &stored, "", tally)?;
        tally.expect(&format!("{command} {key}"), &reply.as_str(), &if done { "STORED" } else { "NOT_STORED" });
        if done {
            self.values.insert(key, stored);
        }
        Ok(())
    }

    fn append(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let (key, tail) = (self.key('v'), self.random.text(7));
        if self.values.get(&key).is_some_and(|known| known.value.len() > VALUE_MAX_LEN) {
            return self.delete(tally);
        }
        let reply = self.server.store("append", &key, &Stored { flags: 0, value: tail.clone() }, "", tally)?;
        let known = self.values.get_mut(&key);
        tally.expect(&format!("append {key}"), &reply.as_str(), &if known.is_some() { "STORED" } else { "NOT_STORED" });
        if let Some(known) = known {
            known.value.push_str(&tail);
        }
        Ok(())
    }

    fn get_some(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let keys: Vec<_> = (0..=self.random.below(6)).map(|_| self.key('v')).collect();
        let found = self.server.get(&keys.iter().map(String::as_str).collect::<Vec<_>>(), tally)?;
        for key in &keys {
            tally.expect(&format!("get {key}"), &found.get(key), &self.values.get(key));
        }
        Ok(())
    }

    /// Swaps a value by its number: once with the right one, once with one that is spent.
    fn swap(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let (key, stored) = (self.key('v'), self.fresh());
        let found = self.server.gets("gets", &[&key], tally)?;
        tally.expect(&format!("gets {key}"), &found.get(&key).map(|(stored, _)| stored), &self.values.get(&key));
        let Some((_, number)) = found.get(&key) else { return Ok(()) };
        for expected in ["STORED", "EXISTS"] {
            let reply = self.server.store("cas", &key, &stored, &format!(" {number}"), tally)?;
            tally.expect(&format!("cas {key}"), &reply.as_str(), &expected);
        }
        self.values.insert(key, stored);
        Ok(())
    }

    fn count(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let (key, step) = (self.key('n'), self.random.below(9));
        let Some(number) = self.numbers.get_mut(&key) else {
            let reply = self.server.store("add", &key, &Stored { flags: 0, value: "0".to_owned() }, "", tally)?;
            tally.expect(&format!("add {key}"), &reply.as_str(), &"STORED");
            self.numbers.insert(key, 0);
            return Ok(());
        };
        *number += step;
        let reply = self.server.ask(&format!("incr {key} {step}"), tally)?;
        tally.expect(&format!("incr {key}"), &reply, &number.to_string());
        Ok(())
    }

    fn delete(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let key = self.key('v');
        let held = self.values.remove(&key).is_some();
        let reply = self.server.ask(&format!("delete {key}"), tally)?;
        tally.expect(&format!("delete {key}"), &reply.as_str(), &if held { "DELETED" } else { "NOT_FOUND" });
        Ok(())
    }

    fn look_at_version(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let reply = self.server.ask("version", tally)?;
        match reply.strip_prefix("VERSION ") {
            Some(version) => tally.saw_version(version),
            None => tally.wrong(format!("version: {reply:?}")),
        }
        Ok(())
    }
}

impl Session for MemcachedSession {
    fn step(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        match self.random.below(20) {
            0..=4 => self.store("set", tally),
            5 => self.store("add", tally),
            6 => self.store("replace", tally),
            7 => self.append(tally),
            8..=13 => self.get_some(tally),
            14 | 15 => self.swap(tally),
            16 | 17 => self.count(tally),
            18 => self.delete(tally),
            _ => self.look_at_version(tally),
        }
    }
}
