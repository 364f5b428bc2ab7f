//! One connection that works on keys of its own and knows what every reply must be. Every seventh pair of sessions is a
//! producer and a consumer that is blocked most of the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use dsu_load::{LoadError, Random, Session, Tally};
use redis::{Cmd, Connection, Value};

use crate::dataset::flatten;

const NAMES: u64 = 12;
/// Length at which collections are taken down again.
const COLLECTION_MAX: usize = 200;
/// How long a consumer blocks before it looks whether to stop, in seconds.
const BLOCK_SECONDS: u64 = 1;

enum Role {
    Worker,
    Producer,
    Consumer,
}

/// A connection and the model of its keys.
pub struct RedisSession {
    connection: Connection,
    role: Role,
    prefix: String,
    random: Random,
    steps: u64,
    texts: BTreeMap<String, String>,
    number: i64,
    list: VecDeque<String>,
    hash: BTreeMap<String, String>,
    set: BTreeSet<String>,
    scores: BTreeMap<String, i64>,
    entries: u64,
    sequence: i64,
}

impl RedisSession {
    /// Session `number` of a load.
    pub fn new(connection: Connection, number: u32) -> Self {
        let (role, prefix) = match number % 14 {
            12 => (Role::Producer, format!("queue:{}", number / 14)),
            13 => (Role::Consumer, format!("queue:{}", number / 14)),
            _ => (Role::Worker, format!("live:{number}")),
        };
        Self {
            connection,
            role,
            prefix,
            random: Random::new(u64::from(number) + 77),
            steps: 0,
            texts: BTreeMap::new(),
            number: 0,
            list: VecDeque::new(),
            hash: BTreeMap::new(),
            set: BTreeSet::new(),
            scores: BTreeMap::new(),
            entries: 0,
            sequence: 0,
        }
    }

    fn ask(&mut self, command: &Cmd, tally: &mut Tally) -> Result<Vec<String>, LoadError> {
        let start = Instant::now();
        let reply: Value = command.query(&mut self.connection).map_err(|source| {
            let packed = command.get_packed_command();
            LoadError::Redis { operation: String::from_utf8_lossy(&packed).chars().take(80).collect(), source }
        })?;
        tally.answered(start.elapsed());
        let mut texts = Vec::new();
        flatten(&reply, &mut texts);
        Ok(texts)
    }

    /// Asks and compares with what must come back.
    fn expect(&mut self, words: &[&str], expected: &[&str], tally: &mut Tally) -> Result<(), LoadError> {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let reply = self.ask(&command, tally)?;
        tally.expect(&words.join(" "), &reply.iter().map(String::as_str).collect::<Vec<_>>(), &expected.to_vec());
        Ok(())
    }

    fn key(&self, kind: &str) -> String {
        format!("{}:{kind}", self.prefix)
    }

    fn name(&mut self) -> String {
        format!("n{}", self.random.below(NAMES))
    }

    fn work(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        match self.random.below(12) {
            0..=2 => self.work_text(tally),
            3 => self.work_number(tally),
            4 => self.work_script(tally),
            5 | 6 => self.work_list(tally),
            7 | 8 => self.work_hash(tally),
            9 => self.work_set(tally),
            10 => self.work_scores(tally),
            _ => self.work_stream(tally),
        }
    }

    fn work_text(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let name = self.name();
        let key = self.key(&name);
        match self.random.below(4) {
            0 => {
                let length = self.random.below(400) as usize + 1;
                let text = self.random.text(length);
                self.expect(&["SET", &key, &text], &["OK"], tally)?;
                self.texts.insert(key, text);
                Ok(())
            }
            1 => {
                let tail = self.random.text(3);
                let text = self.texts.entry(key.clone()).or_default();
                text.push_str(&tail);
                let length = text.len().to_string();
                self.expect(&["APPEND", &key, &tail], &[&length], tally)
            }
            2 => {
                let known = self.texts.get(&key).cloned();
                self.expect(&["GET", &key], known.as_deref().as_slice(), tally)
            }
            _ => {
                let known = self.texts.remove(&key);
                self.expect(&["GETDEL", &key], known.as_deref().as_slice(), tally)
            }
        }
    }

    fn work_number(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        self.number += 1;
        let (key, number) = (self.key("number"), self.number.to_string());
        self.expect(&["INCR", &key], &[&number], tally)
    }

    /// Lua keeps a heap of its own, with pointers to the server's functions.
    fn work_script(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        self.number += 2;
        let (key, number) = (self.key("number"), self.number.to_string());
        let script = "local n = redis.call('incrby', KEYS[1], ARGV[1]); return {n, string.rep('x', 3), #KEYS}";
        self.expect(&["EVAL", script, "1", &key, "2"], &[&number, "xxx", "1"], tally)
    }

    fn work_list(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let key = self.key("list");
        if self.list.len() > COLLECTION_MAX || self.random.below(3) == 0 {
            let last = self.list.pop_back();
            return self.expect(&["RPOP", &key], last.as_deref().as_slice(), tally);
        }
        let item = self.random.text(12);
        self.list.push_front(item.clone());
        let length = self.list.len().to_string();
        self.expect(&["LPUSH", &key, &item], &[&length], tally)
    }

    fn work_hash(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let (key, field) = (self.key("hash"), self.name());
        if self.random.below(2) == 0 {
            let known = self.hash.get(&field).cloned();
            return self.expect(&["HGET", &key, &field], known.as_deref().as_slice(), tally);
        }
        let value = self.random.text(20);
        let added = self.hash.insert(field.clone(), value.clone()).is_none();
        self.expect(&["HSET", &key, &field, &value], &[if added { "1" } else { "0" }], tally)
    }

    fn work_set(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let (key, member) = (self.key("set"), self.name());
        let (command, had) = match self.random.below(3) {
            0 => ("SADD", !self.set.insert(member.clone())),
            1 => ("SREM", !self.set.remove(&member)),
            _ => ("SISMEMBER", !self.set.contains(&member)),
        };
        self.expect(&[command, &key, &member], &[if had { "0" } else { "1" }], tally)
    }

    fn work_scores(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let (key, member) = (self.key("scores"), self.name());
        let score = self.scores.entry(member.clone()).or_default();
        *score += 3;
        let text = score.to_string();
        self.expect(&["ZINCRBY", &key, "3", &member], &[&text], tally)
    }

    fn work_stream(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        self.entries += 1;
        let (key, id, text) = (self.key("stream"), format!("{}-7", self.entries), self.random.text(9));
        self.expect(&["XADD", &key, "MAXLEN", "=", "50", &id, "f", &text], &[&id], tally)?;
        let length = self.entries.min(50).to_string();
        self.expect(&["XLEN", &key], &[&length], tally)
    }

    /// Pushes the next number when the queue is empty.
    fn produce(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let key = self.prefix.clone();
        let mut command = redis::cmd("LLEN");
        command.arg(&key);
        if self.ask(&command, tally)? == ["0"] {
            self.sequence += 1;
            let (number, mut command) = (self.sequence.to_string(), redis::cmd("LPUSH"));
            command.arg(&key).arg(&number);
            self.ask(&command, tally)?;
        }
        Ok(())
    }

    /// Blocks for the next number. Waiting for work is no stall, so it is not timed.
    fn consume(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let reply: Value = redis::cmd("BRPOP")
            .arg(&self.prefix)
            .arg(BLOCK_SECONDS)
            .query(&mut self.connection)
            .map_err(|source| LoadError::Redis { operation: "BRPOP".into(), source })?;
        tally.answered(Duration::ZERO);
        let mut texts = Vec::new();
        flatten(&reply, &mut texts);
        if !texts.is_empty() {
            self.sequence += 1;
            tally.expect("BRPOP", &texts, &vec![self.prefix.clone(), self.sequence.to_string()]);
        }
        Ok(())
    }

    /// Both builds call themselves by the same version; only the build id tells them apart.
    fn look_at_build(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        let mut command = redis::cmd("INFO");
        command.arg("server");
        let info = self.ask(&command, tally)?.concat();
        match info.lines().find_map(|line| line.strip_prefix("redis_build_id:")) {
            Some(build) => tally.saw_version(build.trim()),
            None => tally.wrong("INFO server names no build"),
        }
        Ok(())
    }
}

impl Session for RedisSession {
    fn step(&mut self, tally: &mut Tally) -> Result<(), LoadError> {
        self.steps += 1;
        match self.role {
            Role::Consumer if self.steps % 100 != 1 => self.consume(tally),
            _ if self.steps % 20 == 1 => self.look_at_build(tally),
            Role::Producer => self.produce(tally),
            _ => self.work(tally),
        }
    }
}
