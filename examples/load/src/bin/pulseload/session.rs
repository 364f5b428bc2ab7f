//! One connection with what pulsed must know of it: its sum, its commands, its name, the ticks that it has sent.

use std::net::SocketAddr;
use std::time::Instant;

use dsu_load::{LineClient, LoadError, Random, Session, Tally};

/// How often the server is to say TICK, in milliseconds.
const PERIOD: u64 = 40;

/// One connection, in step with the server.
pub struct PulseSession {
    client: LineClient,
    random: Random,
    steps: u64,
    sum: i64,
    commands: u64,
    name: String,
    /// The last tick that came.
    ticks: u64,
    /// Alarms that were asked for.
    alarms: u64,
    /// Updates that the server has told of.
    generation: Option<u64>,
}

impl PulseSession {
    /// Connects as client `number`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: SocketAddr, number: u32) -> Result<Self, LoadError> {
        Ok(Self {
            client: LineClient::connect(address)?,
            random: Random::new(u64::from(number) + 1),
            steps: 0,
            sum: 0,
            commands: 0,
            name: "nobody".to_owned(),
            ticks: 0,
            alarms: 0,
            generation: None,
        })
    }

    /// The next line that is no tick; ticks must come one after the other, none twice and none left out.
    fn line(&mut self, request: &str, tally: &mut Tally) -> Result<String, LoadError> {
        loop {
            let line = self.client.line(request)?;
            let Some(tick) = line.strip_prefix("TICK ") else { return Ok(line) };
            self.ticks += 1;
            tally.expect("a tick", &tick.to_owned(), &self.ticks.to_string());
        }
    }

    /// Sends a command, now and then in two parts, and gives the reply.
    fn ask(&mut self, request: &str, tally: &mut Tally) -> Result<String, LoadError> {
        let start = Instant::now();
        let whole = format!("{request}\r\n");
        let (first, second) = whole.split_at(if self.random.below(3) == 0 { whole.len() / 2 } else { 0 });
        self.client.send(first)?;
        if !first.is_empty() {
            std::thread::yield_now();
        }
        self.client.send(second)?;
        self.commands += 1;
        let reply = self.line(request, tally)?;
        tally.answered(start.elapsed());
        Ok(reply)
    }

    fn expect(&mut self, request: &str, expected: &str, tally: &mut Tally) -> Result<(), LoadError> {
        let reply = self.ask(request, tally)?;
        tally.expect(request, &reply, &expected.to_owned());
        Ok(())
    }

    /// Several commands at once.
    fn burst(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let start = Instant::now();
        let add = self.random.below(1000) as i64;
        self.client.send(&format!("ADD {add}\r\nCOUNT\r\nWHO\r\n"))?;
        self.sum += add;
        self.commands += 3;
        let expected = [format!("SUM {}", self.sum), format!("COMMANDS {}", self.commands - 1), format!("NAME {}", self.name)];
        for expected in expected {
            let reply = self.line("a burst", tally)?;
            tally.expect("a burst", &reply, &expected);
        }
        tally.answered(start.elapsed());
        Ok(())
    }

    /// An alarm that goes off once, after its time and not before.
    fn alarm(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let (after, start) = (5 + self.random.below(60), Instant::now());
        self.alarms += 1;
        let request = format!("AFTER {after} {}", self.alarms);
        self.expect(&request, "OK", tally)?;
        let reply = self.line(&request, tally)?;
        tally.expect(&request, &reply, &format!("FIRED {}", self.alarms));
        // The server counts whole milliseconds.
        if start.elapsed().as_millis() + 2 < u128::from(after) {
            tally.wrong(format!("{request}: it went off after {} ms", start.elapsed().as_millis()));
        }
        Ok(())
    }

    /// Versions go up one by one, as does the number of updates.
    fn version(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let reply = self.ask("VERSION", tally)?;
        let mut words = reply.split(' ').skip(1);
        let (version, generation) = (words.next().unwrap_or_default(), words.next().and_then(|word| word.parse().ok()));
        let is_new = tally.versions().last().is_none_or(|last| last != version);
        let expected = match self.generation {
            None => generation,
            Some(known) => Some(known + u64::from(is_new)),
        };
        tally.expect("VERSION", &generation, &expected);
        self.generation = generation;
        tally.saw_version(version);
        Ok(())
    }
}

impl Session for PulseSession {
    fn step(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        self.steps += 1;
        if self.steps == 1 {
            self.expect(&format!("EVERY {PERIOD}"), "OK", tally)?;
        }
        if self.steps.is_multiple_of(3) {
            self.version(tally)?;
        }
        match self.random.below(6) {
            0 => {
                let add = self.random.below(2000) as i64 - 1000;
                self.sum += add;
                let sum = self.sum;
                self.expect(&format!("ADD {add}"), &format!("SUM {sum}"), tally)
            }
            1 => {
                let expected = format!("COMMANDS {}", self.commands + 1);
                self.expect("COUNT", &expected, tally)
            }
            2 => {
                self.name = self.random.text(12);
                let (request, expected) = (format!("NAME {}", self.name), format!("HELLO {}", self.name));
                self.expect(&request, &expected, tally)
            }
            3 => {
                let expected = format!("NAME {}", self.name);
                self.expect("WHO", &expected, tally)
            }
            4 => self.burst(tally),
            _ => self.alarm(tally),
        }
    }
}
