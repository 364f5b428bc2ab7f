//! The data set: any key's content follows from its number, so that nothing has to be kept to compare it later.
//! Six kinds of values in sizes on both sides of redis' compact encodings; every tenth key expires.

use std::time::Instant;

use dsu_load::{LoadError, Random, Tally};
use redis::{Connection, Pipeline, Value};

use crate::now_ms;

/// Keys per round trip.
const KEYS_PER_BATCH: u64 = 500;
/// How far a clock reading may be from the server's, in milliseconds.
const CLOCK_SLACK_MS: u64 = 50;
/// Nothing in the data set expires earlier than this after the fill, in milliseconds.
const FIRST_EXPIRY_MS: u64 = 15_000;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Text,
    List,
    Hash,
    Set,
    Sorted,
    Stream,
}

/// One key of the data set.
#[derive(Debug)]
pub struct Item {
    key: String,
    kind: Kind,
    /// What reading the value gives, flattened; sorted where redis promises no order.
    content: Vec<String>,
    /// When the key expires, in milliseconds since 1970.
    expires_ms: Option<u64>,
}

impl Item {
    /// Makes key `number` of the data set that was filled at `epoch_ms`.
    pub fn new(number: u64, epoch_ms: u64) -> Self {
        let mut random = Random::new(number ^ 0x5eed_0000_0000);
        let kinds = [Kind::Text, Kind::List, Kind::Hash, Kind::Set, Kind::Sorted, Kind::Stream];
        let kind = kinds[(number % 6) as usize];
        let count = if random.below(200) == 0 { 300 + random.below(400) } else { 1 + random.below(8) };
        let content = match kind {
            Kind::Text if random.below(3) == 0 => vec![(random.number() >> 16).to_string()],
            Kind::Text => vec![random.text(count as usize * 9)],
            Kind::List => (0..count).map(|at| format!("{at}-{}", random.text(6))).collect(),
            Kind::Hash => pairs(count, &mut random, |at, random| [format!("field{at:04}"), random.text(10)]),
            Kind::Set => (0..count).map(|at| format!("member{at:04}{}", random.text(3))).collect(),
            Kind::Sorted => pairs(count, &mut random, |at, random| [random.text(7), (at * 10 + random.below(9)).to_string()]),
            Kind::Stream => (1..=count).flat_map(|at| [format!("{at}-1"), "field".to_owned(), random.text(8)]).collect(),
        };
        let expires_ms = (number % 10 == 3).then(|| match random.below(2) {
            0 => epoch_ms + FIRST_EXPIRY_MS + random.below(120_000),
            _ => epoch_ms + 86_400_000 + random.below(1_000_000),
        });
        Self { key: format!("data:{number}"), kind, content, expires_ms }
    }

    fn write(&self, pipeline: &mut Pipeline) {
        let command = match self.kind {
            Kind::Text => "SET",
            Kind::List => "RPUSH",
            Kind::Hash => "HSET",
            Kind::Set => "SADD",
            Kind::Sorted => "ZADD",
            Kind::Stream => {
                for entry in self.content.chunks(3) {
                    pipeline.cmd("XADD").arg(&self.key).arg(entry).ignore();
                }
                return self.write_expiry(pipeline);
            }
        };
        let content: Vec<_> = match self.kind {
            Kind::Sorted => self.content.chunks(2).flat_map(|pair| pair.iter().rev()).collect(),
            _ => self.content.iter().collect(),
        };
        pipeline.cmd(command).arg(&self.key).arg(content).ignore();
        self.write_expiry(pipeline);
    }

    fn write_expiry(&self, pipeline: &mut Pipeline) {
        if let Some(expires_ms) = self.expires_ms {
            pipeline.cmd("PEXPIREAT").arg(&self.key).arg(expires_ms).ignore();
        }
    }

    /// Asks for the value, and for the time at which it expires.
    fn read(&self, pipeline: &mut Pipeline) {
        let (command, arguments): (_, &[&str]) = match self.kind {
            Kind::Text => ("GET", &[]),
            Kind::List => ("LRANGE", &["0", "-1"]),
            Kind::Hash => ("HGETALL", &[]),
            Kind::Set => ("SMEMBERS", &[]),
            Kind::Sorted => ("ZRANGE", &["0", "-1", "WITHSCORES"]),
            Kind::Stream => ("XRANGE", &["-", "+"]),
        };
        pipeline.cmd(command).arg(&self.key).arg(arguments);
        pipeline.cmd("PEXPIRETIME").arg(&self.key);
    }

    fn check(&self, value: &Value, expiry: &Value, asked_ms: u64, answered_ms: u64, tally: &mut Tally) {
        let mut content = Vec::new();
        flatten(value, &mut content);
        let gone = content.is_empty() && *expiry == Value::Int(-2);
        match self.expires_ms {
            Some(at) if gone && answered_ms + CLOCK_SLACK_MS >= at => return,
            Some(at) if !gone && asked_ms > at + CLOCK_SLACK_MS => {
                return tally.wrong(format!("{}: still there {} ms after it expired", self.key, asked_ms - at));
            }
            _ => {}
        }
        match self.kind {
            Kind::Set => content.sort(),
            Kind::Hash => content = sorted_pairs(&content),
            _ => {}
        }
        tally.expect(&self.key, &content, &self.content);
        let expected_expiry = self.expires_ms.map_or(-1, |at| at as i64);
        // A key may expire between the two requests.
        if !(self.expires_ms.is_some_and(|at| answered_ms + CLOCK_SLACK_MS >= at) && *expiry == Value::Int(-2)) {
            tally.expect(&format!("PEXPIRETIME {}", self.key), expiry, &Value::Int(expected_expiry));
        }
    }
}

fn pairs(count: u64, random: &mut Random, make: impl Fn(u64, &mut Random) -> [String; 2]) -> Vec<String> {
    (0..count).flat_map(|at| make(at, random)).collect()
}

fn sorted_pairs(content: &[String]) -> Vec<String> {
    let mut pairs: Vec<_> = content.chunks(2).collect();
    pairs.sort();
    pairs.concat()
}

/// All strings of a reply, in order. A null, or an empty array, is nothing.
pub fn flatten(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::BulkString(bytes) => into.push(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => into.push(text.clone()),
        Value::Int(number) => into.push(number.to_string()),
        Value::Okay => into.push("OK".to_owned()),
        Value::Array(values) => values.iter().for_each(|value| flatten(value, into)),
        _ => {}
    }
}

fn batches(keys: u64, epoch_ms: u64) -> impl Iterator<Item = Vec<Item>> {
    let starts = (0..keys).step_by(KEYS_PER_BATCH as usize);
    starts.map(move |start| (start..keys.min(start + KEYS_PER_BATCH)).map(|number| Item::new(number, epoch_ms)).collect())
}

/// Writes the data set.
///
/// # Errors
/// When a batch is refused.
pub fn fill(connection: &mut Connection, keys: u64, epoch_ms: u64) -> Result<Tally, LoadError> {
    let mut tally = Tally::default();
    for batch in batches(keys, epoch_ms) {
        let mut pipeline = redis::pipe();
        batch.iter().for_each(|item| item.write(&mut pipeline));
        let start = Instant::now();
        pipeline.query::<()>(connection).map_err(|source| LoadError::Redis { operation: "filling".into(), source })?;
        tally.answered(start.elapsed());
    }
    Ok(tally)
}

/// Compares every key with the data set.
///
/// # Errors
/// When the server does not answer; what differs is the tally's.
pub fn verify(connection: &mut Connection, keys: u64, epoch_ms: u64) -> Result<Tally, LoadError> {
    let mut tally = Tally::default();
    for batch in batches(keys, epoch_ms) {
        let mut pipeline = redis::pipe();
        batch.iter().for_each(|item| item.read(&mut pipeline));
        let (start, asked_ms) = (Instant::now(), now_ms());
        let values: Vec<Value> =
            pipeline.query(connection).map_err(|source| LoadError::Redis { operation: "verifying".into(), source })?;
        tally.answered(start.elapsed());
        for (item, pair) in batch.iter().zip(values.chunks_exact(2)) {
            item.check(&pair[0], &pair[1], asked_ms, now_ms(), &mut tally);
        }
        if values.len() != batch.len() * 2 {
            tally.wrong(format!("{} replies to {} requests", values.len(), batch.len() * 2));
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn wrong(item: &Item, value: Value, expiry: i64, at: u64) -> u64 {
        let mut tally = Tally::default();
        tally.answered(std::time::Duration::ZERO);
        item.check(&value, &Value::Int(expiry), at, at, &mut tally);
        tally.summary(1).wrong
    }

    #[test]
    fn the_same_number_makes_the_same_item() {
        for number in 0..100 {
            assert_eq!(Item::new(number, 5).content, Item::new(number, 5).content);
        }
    }

    #[test]
    fn a_changed_missing_or_overdue_value_is_wrong() {
        let text = Item { key: "k".into(), kind: Kind::Text, content: vec!["v".into()], expires_ms: None };
        assert_eq!(wrong(&text, bulk("v"), -1, 0), 0);
        assert_eq!(wrong(&text, bulk("w"), -1, 0), 1);
        assert_eq!(wrong(&text, Value::Nil, -2, 0), 2);
        let short = Item { expires_ms: Some(1000), ..text };
        assert_eq!(wrong(&short, bulk("v"), 1000, 500), 0);
        assert_eq!(wrong(&short, bulk("v"), -1, 500), 1, "the time to live was lost");
        assert_eq!(wrong(&short, Value::Nil, -2, 500), 2, "gone too early");
        assert_eq!(wrong(&short, Value::Nil, -2, 2000), 0);
        assert_eq!(wrong(&short, bulk("v"), 1000, 2000), 1, "still there");
    }

    #[test]
    fn the_order_of_a_hash_does_not_matter_but_its_pairs_do() {
        let content = ["a", "1", "b", "2"].map(str::to_owned).to_vec();
        let hash = Item { key: "k".into(), kind: Kind::Hash, content, expires_ms: None };
        let reply = |texts: [&str; 4]| Value::Array(texts.map(bulk).to_vec());
        assert_eq!(wrong(&hash, reply(["b", "2", "a", "1"]), -1, 0), 0);
        assert_eq!(wrong(&hash, reply(["b", "1", "a", "2"]), -1, 0), 1);
    }
}
