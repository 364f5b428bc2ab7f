//! What one session knows: the keys that are its own, and which requests the version at hand understands.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dsu_load::Random;

/// Keys of each kind that a session uses.
const KEYS_PER_KIND: u64 = 12;
/// kvd's limit for keys; up to 1.0.0 one less than documented.
const KEY_MAX_LEN: usize = 64;
/// Longest text that is set; appending stays below kvd's limit of 1024.
const TEXT_MAX_LEN: u64 = 300;
/// The first release that knows INFO and SPACES.
const REGROUPED: Release = Release(2, 0, 0);

/// A release of kvd, comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Release(pub u32, pub u32, pub u32);

impl Release {
    /// Reads `1.2.3`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.').map(str::parse);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => Some(Self(major, minor, patch)),
            _ => None,
        }
    }
}

/// What may answer a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Expect {
    /// This line.
    Line(String),
    /// Some error.
    Error,
    /// This line, or an error when the server is older than the release.
    LineSince(Release, String),
    /// These lines in any order, then a dot.
    List(Vec<String>),
    /// All of these lines among others, then a dot; an error where the server may be older than the release.
    Among(Release, Vec<String>),
    /// Numbers with names, then a dot; `commands` and `busy_us` never fall.
    Stats,
    /// The server's version; never an older one than before, unless it may go back.
    Version,
}

/// A request and what may answer it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The line to send, without its end.
    pub request: String,
    /// What has to come back.
    pub expect: Expect,
}

/// The session's keys and their values.
#[derive(Debug)]
pub struct Model {
    prefix: String,
    texts: BTreeMap<String, String>,
    numbers: BTreeMap<String, i64>,
    random: Random,
}

impl Model {
    /// The model of session `number`, which starts with no keys.
    pub fn new(number: u32) -> Self {
        let random = Random::new(u64::from(number) + 1);
        Self { prefix: format!("c{number}:"), texts: BTreeMap::new(), numbers: BTreeMap::new(), random }
    }

    /// One to eight exchanges; the model is already where they lead.
    pub fn batch(&mut self, release: Release) -> Vec<Exchange> {
        (0..=self.random.below(8)).map(|_| self.exchange(release)).collect()
    }

    /// A place at which to cut a request of `length` bytes in two, now and then.
    pub fn cut(&mut self, length: usize) -> usize {
        if self.random.below(4) == 0 { self.random.below(length as u64) as usize } else { length }
    }

    /// A key that will expire, and how many milliseconds from now; none most of the time.
    pub fn short_lived(&mut self) -> Option<(String, u64)> {
        let chosen = self.random.below(10) == 0;
        chosen.then(|| (format!("e{}", self.key('e')), [30, 150, 3_600_000][self.random.below(3) as usize]))
    }

    fn key(&mut self, kind: char) -> String {
        format!("{}{kind}{}", self.prefix, self.random.below(KEYS_PER_KIND))
    }

    fn exchange(&mut self, release: Release) -> Exchange {
        match self.random.below(25) {
            0..=4 => self.set(),
            5..=8 => self.get(),
            9..=11 => self.add("INCR", 1),
            12 => self.delete(),
            13 => self.list_keys(),
            14 => self.mistake(),
            15 => Exchange { request: "STATS".into(), expect: Expect::Stats },
            16 => self.ping(),
            17 if release >= Release(1, 1, 0) => self.append(),
            18 if release >= Release(1, 2, 0) => self.add("DECR", -1),
            19 if release >= Release(1, 2, 0) => self.swap(),
            20 => self.count(),
            21 => self.form(),
            22 if release >= REGROUPED => self.info(),
            23 if release >= REGROUPED => self.spaces(),
            _ => Exchange { request: "VERSION".into(), expect: Expect::Version },
        }
    }

    fn set(&mut self) -> Exchange {
        let key = self.key('t');
        let words = (self.random.text(8), self.random.below(TEXT_MAX_LEN) as usize);
        let value = format!("{} {}", words.0, self.random.text(words.1));
        let value = value.trim_end().to_owned();
        let request = format!("SET {key} {value}");
        self.texts.insert(key, value);
        Exchange { request, expect: Expect::Line("+OK".into()) }
    }

    fn get(&mut self) -> Exchange {
        if self.random.below(3) == 0 {
            let key = self.key('n');
            let expect = self.numbers.get(&key).map_or("_".into(), |number| format!("={number}"));
            return Exchange { request: format!("GET {key}"), expect: Expect::Line(expect) };
        }
        let key = self.key('t');
        let expect = self.texts.get(&key).map_or("_".into(), |text| format!("={text}"));
        Exchange { request: format!("get {key}"), expect: Expect::Line(expect) }
    }

    fn add(&mut self, command: &str, delta: i64) -> Exchange {
        let key = self.key('n');
        let request = format!("{command} {key}");
        let number = self.numbers.entry(key).or_default();
        *number += delta;
        Exchange { request, expect: Expect::Line(format!(":{number}")) }
    }

    fn delete(&mut self) -> Exchange {
        let (text, number) = (self.key('t'), self.key('n'));
        let had = [self.texts.remove(&text).is_some(), self.numbers.remove(&number).is_some()];
        let deleted = had.into_iter().filter(|had| *had).count();
        Exchange { request: format!("DEL {text} {number} {text}"), expect: Expect::Line(format!(":{deleted}")) }
    }

    fn list_keys(&mut self) -> Exchange {
        let keys = self.texts.keys().map(|key| format!("={key}")).collect();
        Exchange { request: format!("KEYS {}t", self.prefix), expect: Expect::List(keys) }
    }

    fn ping(&mut self) -> Exchange {
        let text = self.random.text(20);
        Exchange { expect: Expect::Line(format!("+{text}")), request: format!("PING {text}") }
    }

    fn mistake(&mut self) -> Exchange {
        // Of a space of its own: whether it is stored depends on the version.
        let long = format!("{:x<1$}", format!("l{}", self.prefix), KEY_MAX_LEN);
        let (request, expect) = match self.random.below(4) {
            0 => (format!("FROB {}", self.prefix), Expect::Error),
            1 => ("SET alone".to_owned(), Expect::Error),
            2 => (format!("SET {long}x value"), Expect::Error),
            _ => (format!("SET {long} value"), Expect::LineSince(Release(1, 1, 0), "+OK".into())),
        };
        Exchange { request, expect }
    }

    fn append(&mut self) -> Exchange {
        let (key, tail) = (self.key('t'), self.random.text(5));
        let text = self.texts.entry(key.clone()).or_default();
        if text.len() + tail.len() > 1000 {
            return Exchange { request: format!("GET {key}"), expect: Expect::Line(format!("={text}")) };
        }
        text.push_str(&tail);
        Exchange { request: format!("APPEND {key} {tail}"), expect: Expect::Line("+OK".into()) }
    }

    /// The space that the session's keys are in, and how many there are.
    fn space(&self) -> (&str, usize) {
        (self.prefix.trim_end_matches(':'), self.texts.len() + self.numbers.len())
    }

    fn count(&mut self) -> Exchange {
        let (space, keys) = self.space();
        Exchange { request: format!("SPACE {space}"), expect: Expect::Line(format!(":{keys}")) }
    }

    fn form(&mut self) -> Exchange {
        let (kind, name) = if self.random.below(2) == 0 { ('t', "text") } else { ('n', "number") };
        let key = self.key(kind);
        let is_there = self.texts.contains_key(&key) || self.numbers.contains_key(&key);
        let line = if is_there { format!("+{name}") } else { "_".to_owned() };
        Exchange { request: format!("TYPE {key}"), expect: Expect::Line(line) }
    }

    fn info(&mut self) -> Exchange {
        let key = self.key('t');
        let request = format!("INFO {key}");
        match self.texts.get(&key) {
            Some(text) => {
                let lines = vec!["=type text".to_owned(), format!("=length {}", text.len())];
                Exchange { request, expect: Expect::Among(REGROUPED, lines) }
            }
            None => Exchange { request: format!("TYPE {key}"), expect: Expect::Line("_".to_owned()) },
        }
    }

    /// The spaces are listed with what was read in them since there is such a number: the line's start alone is known.
    fn spaces(&mut self) -> Exchange {
        let (space, keys) = self.space();
        let lines = if keys == 0 { Vec::new() } else { vec![format!("={space} keys {keys} ")] };
        Exchange { request: "SPACES".to_owned(), expect: Expect::Among(REGROUPED, lines) }
    }

    fn swap(&mut self) -> Exchange {
        let (key, value) = (self.key('t'), self.random.text(30));
        let request = format!("GETSET {key} {value}");
        let before = self.texts.insert(key, value);
        Exchange { request, expect: Expect::Line(before.map_or("_".into(), |text| format!("={text}"))) }
    }
}

/// A key that the session let expire: gone for sure after `latest`, there for sure before `earliest`.
#[derive(Debug)]
pub struct ShortLived {
    /// The key; its value is the same text.
    pub key: String,
    earliest: Instant,
    latest: Instant,
}

impl ShortLived {
    /// What is known when EXPIRE was sent at `asked` and answered at `answered`.
    pub fn new(key: String, ttl_ms: u64, asked: Instant, answered: Instant) -> Self {
        let (ttl, slack) = (Duration::from_millis(ttl_ms), Duration::from_millis(2));
        Self { key, earliest: asked + ttl - slack, latest: answered + ttl + slack }
    }

    /// Whether a reply to GET, sent at `asked` and answered at `answered`, can be right.
    pub fn allows(&self, reply: &str, asked: Instant, answered: Instant) -> bool {
        match reply {
            "_" => answered > self.earliest,
            found => found.strip_prefix('=') == Some(&self.key) && asked < self.latest,
        }
    }

    /// Whether the key is gone for sure when it is `now`.
    pub fn over(&self, now: Instant) -> bool {
        now > self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        assert!(Release::parse("1.10.0") > Release::parse("1.9.7"));
        assert_eq!(Release::parse("1.x"), None);
    }

    #[test]
    fn old_releases_are_not_asked_for_what_they_lack() {
        let mut model = Model::new(3);
        let requests: Vec<_> = (0..2000).flat_map(|_| model.batch(Release(1, 0, 0))).map(|one| one.request).collect();
        let too_new = ["APPEND", "DECR", "INFO", "SPACES"];
        assert!(!requests.iter().any(|text| too_new.iter().any(|command| text.starts_with(command))));
        let newer: Vec<_> = (0..2000).flat_map(|_| model.batch(Release(1, 2, 0))).map(|one| one.request).collect();
        assert!(newer.iter().any(|text| text.starts_with("GETSET")));
    }

    #[test]
    fn a_short_lived_key_may_be_either_only_around_its_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let key = ShortLived::new("k".into(), 100, at(0), at(10));
        assert!(key.allows("=k", at(50), at(60)) && !key.allows("_", at(50), at(60)));
        assert!(key.allows("=k", at(105), at(106)) && key.allows("_", at(105), at(106)));
        assert!(!key.allows("=k", at(200), at(201)) && key.allows("_", at(200), at(201)));
        assert!(!key.allows("=other", at(50), at(60)));
    }
}
