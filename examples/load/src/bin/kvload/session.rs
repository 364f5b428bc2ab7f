//! One connection to kvd: sends batches from its model, some cut in two, and checks what comes back.

use std::net::SocketAddr;
use std::time::Instant;

use dsu_load::{LineClient, LoadError, Session, Tally};

use crate::model::{Exchange, Expect, Model, Release, ShortLived};

/// What a server says to a command of a later release.
const UNKNOWN: &str = "-ERR unknown command";

/// A connection and what it knows about the server behind it.
pub struct KvdSession {
    client: LineClient,
    model: Model,
    release: Release,
    may_go_back: bool,
    commands: u64,
    busy_us: u64,
    expiring: Vec<ShortLived>,
}

impl KvdSession {
    /// Connects session `number`. The server may become an older one only where it `may_go_back`.
    ///
    /// # Errors
    /// When kvd does not listen there.
    pub fn connect(address: SocketAddr, number: u32, may_go_back: bool) -> Result<Self, LoadError> {
        let client = LineClient::connect(address)?;
        let (model, release, expiring) = (Model::new(number), Release::default(), Vec::new());
        Ok(Self { client, model, release, may_go_back, commands: 0, busy_us: 0, expiring })
    }

    fn check(&mut self, exchange: &Exchange, reply: &str, tally: &mut Tally) -> Result<(), LoadError> {
        let request = exchange.request.as_str();
        match &exchange.expect {
            Expect::Line(line) => tally.expect(request, &reply, &line.as_str()),
            Expect::Error => tally.expect(request, &reply.starts_with("-ERR "), &true),
            Expect::LineSince(since, line) => {
                let excused = self.release < *since && reply.starts_with("-ERR ");
                if !excused {
                    tally.expect(request, &reply, &line.as_str());
                }
            }
            Expect::List(lines) => {
                let mut listed = self.list(request, reply)?;
                listed.sort();
                tally.expect(request, &listed, lines);
            }
            Expect::Among(since, lines) => {
                let excused = (self.may_go_back || self.release < *since) && reply == UNKNOWN;
                if !excused {
                    let listed = self.list(request, reply)?;
                    let missing: Vec<&String> =
                        lines.iter().filter(|line| !listed.iter().any(|one| one.starts_with(line.as_str()))).collect();
                    tally.expect(request, &missing, &Vec::new());
                }
            }
            Expect::Stats => {
                let lines = self.list(request, reply)?;
                self.check_stats(&lines, tally);
            }
            Expect::Version => self.check_version(reply, tally),
        }
        Ok(())
    }

    /// The rest of a list whose first line is `line`.
    fn list(&mut self, request: &str, line: &str) -> Result<Vec<String>, LoadError> {
        let mut lines = Vec::new();
        let mut line = line.to_owned();
        while line != "." {
            lines.push(line);
            line = self.client.line(request)?;
        }
        Ok(lines)
    }

    fn check_stats(&mut self, lines: &[String], tally: &mut Tally) {
        let number = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)?.parse().ok());
        match number("=commands ") {
            Some(count) if count > self.commands => self.commands = count,
            count => tally.wrong(format!("STATS: {count:?} commands after {}", self.commands)),
        }
        match number("=busy_us ") {
            Some(busy) if busy >= self.busy_us => self.busy_us = busy,
            busy => tally.wrong(format!("STATS: {busy:?} us spent after {}", self.busy_us)),
        }
    }

    fn check_version(&mut self, reply: &str, tally: &mut Tally) {
        let text = reply.strip_prefix("+kvd ").unwrap_or(reply);
        match Release::parse(text) {
            Some(release) if release >= self.release || self.may_go_back => {
                self.release = release;
                tally.saw_version(text);
            }
            _ => tally.wrong(format!("VERSION: {reply:?} after {:?}", self.release)),
        }
    }

    fn start_expiring(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let Some((key, ttl_ms)) = self.model.short_lived() else { return Ok(()) };
        if self.expiring.iter().any(|known| known.key == key) {
            return Ok(());
        }
        let set = self.client.ask(&format!("SET {key} {key}"), tally)?;
        tally.expect("SET of a key that will expire", &set.as_str(), &"+OK");
        let asked = Instant::now();
        let reply = self.client.ask(&format!("EXPIRE {key} {ttl_ms}"), tally)?;
        tally.expect("EXPIRE", &reply.as_str(), &"+OK");
        self.expiring.push(ShortLived::new(key, ttl_ms, asked, Instant::now()));
        Ok(())
    }

    fn check_expiring(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let Some(known) = self.expiring.pop() else { return Ok(()) };
        let asked = Instant::now();
        let reply = self.client.ask(&format!("GET {}", known.key), tally)?;
        if !known.allows(&reply, asked, Instant::now()) {
            tally.wrong(format!("GET {}: {reply:?} does not fit its time to live", known.key));
        }
        if !known.over(asked) {
            self.expiring.insert(0, known);
        }
        Ok(())
    }
}

impl Session for KvdSession {
    fn step(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        self.start_expiring(tally)?;
        self.check_expiring(tally)?;
        let batch = self.model.batch(self.release);
        let text: String = batch.iter().flat_map(|one| [one.request.as_str(), "\r\n"]).collect();
        let (head, tail) = text.split_at(self.model.cut(text.len()));
        let start = Instant::now();
        self.client.send(head)?;
        self.client.send(tail)?;
        for exchange in &batch {
            let reply = self.client.line(&exchange.request)?;
            tally.answered(start.elapsed());
            self.check(exchange, &reply, tally)?;
        }
        Ok(())
    }
}
