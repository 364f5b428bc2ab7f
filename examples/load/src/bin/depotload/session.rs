//! One session with what depot must know of it and what its files must hold.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use dsu_load::{LineClient, LoadError, Random, Session, Tally};

use crate::connection::{Data, expect};
use crate::content::{bytes, done};
use crate::world::World;

/// Steps that one that holds makes with each version before it holds still.
const FREE_STEPS: u64 = 20;
/// The large file's length; more than both ends of a connection take before somebody waits.
const LARGE: usize = 3 << 20;
/// A name of the folder `many` is filled up to this length.
const MANY_NAME: usize = 60;

/// What a session is in the middle of while it holds still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing: it never does.
    Busy,
    /// A command, of which half was sent.
    HalfLine,
    /// Fetching a file, of which some has come.
    Fetching,
    /// Sending a file, of which half was sent.
    Sending,
    /// Fetching one whose data connection it has not opened.
    Announced,
    /// Fetching the names of a folder, of which some have come.
    Listing,
    /// Saying who it is: the name but not the password, of which half was sent.
    Entering,
    /// Sending what is to be added to a file.
    Adding,
    /// Fetching the last part of a file.
    FetchingRest,
}

impl Role {
    /// The role of client `number`.
    pub fn of(number: u32) -> Self {
        let all = [
            Self::Busy,
            Self::HalfLine,
            Self::Fetching,
            Self::Sending,
            Self::Announced,
            Self::Listing,
            Self::Entering,
            Self::Adding,
            Self::FetchingRest,
        ];
        all[number as usize % all.len()]
    }

    /// Whether it holds still at all.
    pub fn holds(self) -> bool {
        self != Self::Busy
    }
}

/// One session.
pub struct DepotSession {
    control: LineClient,
    random: Random,
    world: Arc<World>,
    role: Role,
    user: String,
    folder: String,
    files: BTreeMap<String, Vec<u8>>,
    many: u32,
    version: u32,
    steps_with_version: u64,
    commands: u64,
    bytes: u64,
    served: u64,
}

impl DepotSession {
    /// Connects client `number`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(address: SocketAddr, number: u32, many: u32, world: Arc<World>) -> Result<Self, LoadError> {
        let mut control = LineClient::connect(address)?;
        control.line("the greeting")?;
        Ok(Self {
            control,
            random: Random::new(u64::from(number) + 1),
            world,
            role: Role::of(number),
            user: format!("user{number}"),
            folder: String::new(),
            files: BTreeMap::new(),
            many,
            version: 0,
            steps_with_version: 0,
            commands: 0,
            bytes: 0,
            served: 0,
        })
    }

    /// Sends a command, now and then in two parts, and gives the reply.
    fn ask(&mut self, request: &str, tally: &mut Tally) -> Result<String, LoadError> {
        let start = Instant::now();
        let whole = format!("{request}\r\n");
        let (first, second) = whole.split_at(if self.random.below(3) == 0 { whole.len() / 2 } else { 0 });
        self.control.send(first)?;
        self.control.send(second)?;
        self.commands += 1;
        let reply = self.control.line(request)?;
        tally.answered(start.elapsed());
        Ok(reply)
    }

    fn expect(&mut self, request: &str, expected: &str, tally: &mut Tally) -> Result<(), LoadError> {
        let reply = self.ask(request, tally)?;
        tally.expect(request, &reply.as_str(), &expected);
        Ok(())
    }

    /// Enters as a user, into the session's folder, where a large file is put.
    fn begin(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        self.expect("PWD", "530 who are you?", tally)?;
        self.enter(tally)?;
        self.go_to(&self.user.clone(), tally)?;
        let large = bytes(&mut self.random, LARGE);
        self.store("STOR", "large", &large, tally)?;
        self.files.insert("large".to_owned(), large);
        Ok(())
    }

    fn enter(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let user = self.user.clone();
        self.expect(&format!("USER {user}"), "331 and the password?", tally)?;
        self.expect(&format!("PASS of-{user}"), "230 come in", tally)
    }

    fn go_to(&mut self, folder: &str, tally: &mut Tally) -> Result<(), LoadError> {
        self.folder = folder.to_owned();
        self.expect(&format!("CWD /{folder}"), "250 done", tally)
    }

    /// Announces a data connection and a transfer; the reply to PASV says where.
    fn announce(&mut self, request: &str, tally: &mut Tally) -> Result<String, LoadError> {
        let passive = self.ask("PASV", tally)?;
        let begins = match request.split(' ').next() {
            Some("STOR" | "APPE") => "150 send it",
            Some("RETR") => "150 here it comes",
            _ => "150 here they come",
        };
        self.expect(request, begins, tally)?;
        Ok(passive)
    }

    /// The end of a transfer that moved these bytes.
    fn end(&mut self, request: &str, moved: &[u8], tally: &mut Tally) -> Result<(), LoadError> {
        self.bytes += moved.len() as u64;
        expect(&mut self.control, request, &done(moved), tally)
    }

    fn store(&mut self, command: &str, name: &str, content: &[u8], tally: &mut Tally) -> Result<(), LoadError> {
        let request = format!("{command} {name}");
        let passive = self.announce(&request, tally)?;
        let mut data = Data::open(&passive, &request)?;
        let start = Instant::now();
        data.send(content)?;
        data.end()?;
        self.end(&request, content, tally)?;
        tally.answered(start.elapsed());
        Ok(())
    }

    /// Fetches a file from a place on; holds still in the middle if told to.
    fn fetch(&mut self, name: &str, from: usize, holds: bool, tally: &mut Tally) -> Result<(), LoadError> {
        if from > 0 {
            self.expect(&format!("REST {from}"), &format!("350 from {from}"), tally)?;
        }
        let request = format!("RETR {name}");
        let passive = self.announce(&request, tally)?;
        let mut data = Data::open(&passive, &request)?;
        let mut got = Vec::new();
        if holds {
            got = data.take(100_000)?;
            self.world.hold(self.version);
        }
        let start = Instant::now();
        got.extend(data.rest()?);
        let expected = self.files.get(name).and_then(|content| content.get(from..)).unwrap_or_default().to_vec();
        if got != expected {
            let at = got.iter().zip(&expected).position(|(one, other)| one != other);
            tally.wrong(format!("{request}: {} bytes of {}, the first other one at {at:?}", got.len(), expected.len()));
        }
        self.end(&request, &expected, tally)?;
        tally.answered(start.elapsed());
        Ok(())
    }

    /// Sends a file in two parts and holds still between them.
    fn send_in_parts(&mut self, command: &str, name: &str, length: usize, tally: &mut Tally) -> Result<(), LoadError> {
        let content = bytes(&mut self.random, length);
        let request = format!("{command} {name}");
        let passive = self.announce(&request, tally)?;
        let mut data = Data::open(&passive, &request)?;
        let (first, second) = content.split_at(length / 2);
        data.send(first)?;
        self.world.hold(self.version);
        let start = Instant::now();
        data.send(second)?;
        data.end()?;
        self.end(&request, &content, tally)?;
        tally.answered(start.elapsed());
        match command {
            "APPE" => self.files.entry(name.to_owned()).or_default().extend(content),
            _ => drop(self.files.insert(name.to_owned(), content)),
        }
        self.fetch(name, 0, false, tally)
    }

    /// Opens the data connection of an announced transfer only after holding still.
    fn announced(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let passive = self.announce("RETR large", tally)?;
        self.world.hold(self.version);
        let start = Instant::now();
        let got = Data::open(&passive, "RETR large")?.rest()?;
        let expected = self.files.get("large").cloned().unwrap_or_default();
        if got != expected {
            tally.wrong(format!("RETR large: {} bytes that differ", got.len()));
        }
        self.end("RETR large", &expected, tally)?;
        tally.answered(start.elapsed());
        Ok(())
    }

    /// Sends half a command and holds still.
    fn half_line(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let text = self.random.text(90);
        let (first, second) = text.split_at(40);
        self.control.send(&format!("NOOP {first}"))?;
        self.world.hold(self.version);
        let start = Instant::now();
        self.control.send(&format!("{second}\r\n"))?;
        self.commands += 1;
        expect(&mut self.control, "NOOP in two parts", &format!("200 {text}"), tally)?;
        tally.answered(start.elapsed());
        Ok(())
    }

    /// Holds still between the name and the password.
    fn half_entered(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let user = self.user.clone();
        self.expect(&format!("USER {user}"), "331 and the password?", tally)?;
        self.control.send("PASS of-")?;
        self.world.hold(self.version);
        let start = Instant::now();
        self.control.send(&format!("{user}\r\nPWD\r\n"))?;
        self.commands += 2;
        expect(&mut self.control, "PASS in two parts", "230 come in", tally)?;
        expect(&mut self.control, "PWD", &format!("257 /{}", self.folder), tally)?;
        tally.answered(start.elapsed());
        Ok(())
    }

    /// The names of the folder `many`, holding still in the middle of them.
    fn many(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let own = self.folder.clone();
        self.go_to("many", tally)?;
        let passive = self.announce("LIST", tally)?;
        let mut data = Data::open(&passive, "LIST")?;
        let mut text = data.take(1000)?;
        self.world.hold(self.version);
        let start = Instant::now();
        text.extend(data.rest()?);
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut names: Vec<&str> = text.lines().collect();
        names.sort_unstable();
        let expected: Vec<String> = (0..self.many).map(|number| format!("{:x<MANY_NAME$} 0", format!("f-{number:04}"))).collect();
        tally.expect("LIST of many", &(names == expected), &true);
        expect(&mut self.control, "LIST", &format!("226 {} names", self.many), tally)?;
        tally.answered(start.elapsed());
        self.go_to(&own, tally)
    }

    /// The session's own files with their lengths.
    fn list(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let passive = self.announce("LIST", tally)?;
        let text = Data::open(&passive, "LIST")?.rest()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let expected: Vec<String> = self.files.iter().map(|(name, content)| format!("{name} {}", content.len())).collect();
        tally.expect("LIST", &lines, &expected.iter().map(String::as_str).collect());
        expect(&mut self.control, "LIST", &format!("226 {} names", self.files.len()), tally)
    }

    /// What the server counts, and which version it is.
    fn stat(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let reply = self.ask("STAT", tally)?;
        let version = reply.strip_prefix("211 depot ").and_then(|rest| rest.split(':').next()).unwrap_or_default().to_owned();
        let rest = format!(
            "211 depot {version}: user {}, folder /{}, command {}, {} bytes, ",
            self.user, self.folder, self.commands, self.bytes
        );
        let served = reply.strip_prefix(&rest).and_then(|served| served.strip_suffix(" served")?.parse().ok());
        let served = served.unwrap_or_default();
        if served < self.served.max(1) {
            tally.wrong(format!("STAT: got {reply:?}, expected {rest:?} and at least {} served", self.served));
        }
        self.served = served;
        let number: u32 = version.parse().unwrap_or_default();
        if number != self.version {
            if number < self.version {
                tally.wrong(format!("STAT: version {version} after {}", self.version));
            }
            (self.version, self.steps_with_version) = (number, 0);
            self.world.saw(number);
        }
        tally.saw_version(&version);
        Ok(())
    }

    /// Several commands at once.
    fn burst(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let start = Instant::now();
        let (one, other) = (self.random.text(30), self.random.text(7));
        self.control.send(&format!("NOOP {one}\r\nPWD\r\nREST 7\r\nREST 0\r\nnoop {other}\r\n"))?;
        self.commands += 5;
        let folder = format!("257 /{}", self.folder);
        for expected in [&format!("200 {one}"), &folder, "350 from 7", "350 from 0", &format!("200 {other}")] {
            expect(&mut self.control, "a burst", expected, tally)?;
        }
        tally.answered(start.elapsed());
        Ok(())
    }

    /// Mistakes, and what must come of them.
    fn mistake(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        match self.random.below(5) {
            0 => self.expect("FROB", "500 what?", tally),
            1 => self.expect("RETR large", "425 no data connection", tally),
            2 => self.expect("CWD ../outside", "550 no such folder", tally),
            3 => {
                self.ask("PASV", tally)?;
                self.expect("RETR nothing", "550 no such file", tally)?;
                self.list(tally)
            }
            _ => {
                let user = self.user.clone();
                self.expect(&format!("USER {user}"), "331 and the password?", tally)?;
                self.expect("PASS of-nobody", "530 no", tally)?;
                self.expect("PWD", "530 who are you?", tally)?;
                self.enter(tally)
            }
        }
    }

    /// One thing or another with the session's files.
    fn work(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let name = format!("file{}", self.random.below(4));
        match self.random.below(8) {
            0 => self.mistake(tally),
            1 => self.burst(tally),
            2 | 3 => {
                let length = self.random.below(60_000) as usize;
                let content = bytes(&mut self.random, length);
                self.store("STOR", &name, &content, tally)?;
                self.files.insert(name, content);
                Ok(())
            }
            4 => {
                let length = self.random.below(3_000) as usize;
                let content = bytes(&mut self.random, length);
                self.store("APPE", &name, &content, tally)?;
                self.files.entry(name).or_default().extend(content);
                Ok(())
            }
            5 => self.list(tally),
            6 if self.version >= 2 => self.expect("SIZE large", &format!("213 {LARGE}"), tally),
            _ => match self.files.get(&name).map(Vec::len) {
                Some(length) => {
                    let from = self.random.below(length as u64 + 1) as usize;
                    self.fetch(&name, from, false, tally)
                }
                None => self.expect(&format!("CWD {}", self.folder.clone()), "250 done", tally),
            },
        }
    }

    fn hold(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        match self.role {
            Role::Busy => Ok(()),
            Role::HalfLine => self.half_line(tally),
            Role::Fetching => self.fetch("large", 0, true, tally),
            Role::Sending => self.send_in_parts("STOR", "half", LARGE / 2, tally),
            Role::Announced => self.announced(tally),
            Role::Listing => self.many(tally),
            Role::Entering => self.half_entered(tally),
            Role::Adding => self.send_in_parts("APPE", "added", LARGE / 8, tally),
            Role::FetchingRest => self.fetch("large", LARGE / 4, true, tally),
        }
    }
}

impl Session for DepotSession {
    fn step(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        if self.files.is_empty() {
            self.begin(tally)?;
        }
        self.stat(tally)?;
        self.steps_with_version += 1;
        if self.role.holds() && self.steps_with_version > FREE_STEPS {
            return self.hold(tally);
        }
        self.work(tally)
    }
}
