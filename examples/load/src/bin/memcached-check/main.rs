//! Data and load for memcached that check themselves: `fill`, `verify`, `load`, as `redis-check` does for redis.

mod live;
mod protocol;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dsu_load::{LoadError, Random, Stop, Summary, Tally, finish, run_sessions};

use protocol::{Memcached, Stored};

/// Fills, loads and verifies a memcached server on this machine.
#[derive(Debug, Parser)]
struct Options {
    /// Where memcached listens.
    address: SocketAddr,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Writes the data set; any key's value follows from its number.
    Fill {
        /// How many keys; the server must have room for all of them.
        #[arg(long, default_value_t = 100_000)]
        keys: u64,
    },
    /// Reads every key of the data set and compares it.
    Verify {
        /// How many keys were filled.
        #[arg(long, default_value_t = 100_000)]
        keys: u64,
    },
    /// Works on keys of its own until standard input ends or SIGTERM comes.
    Load {
        /// Connections, each in a thread of its own.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        clients: u32,
    },
}

/// Key `number` of the data set.
fn item(number: u64) -> (String, Stored) {
    let mut random = Random::new(number ^ 0x3e3c_0000_0000);
    let length = if random.below(100) == 0 { 2000 + random.below(6000) } else { 10 + random.below(300) };
    (format!("data:{number}"), Stored { flags: random.below(1 << 16) as u32, value: random.text(length as usize) })
}

fn fill(server: &mut Memcached, keys: u64, tally: &mut Tally) -> Result<(), LoadError> {
    for number in 0..keys {
        let (key, stored) = item(number);
        let reply = server.store("set", &key, &stored, "", tally)?;
        tally.expect(&format!("set {key}"), &reply.as_str(), &"STORED");
    }
    Ok(())
}

fn verify(server: &mut Memcached, keys: u64, tally: &mut Tally) -> Result<(), LoadError> {
    for start in (0..keys).step_by(50) {
        let items: Vec<_> = (start..keys.min(start + 50)).map(item).collect();
        let names: Vec<_> = items.iter().map(|(key, _)| key.as_str()).collect();
        let found = server.get(&names, tally)?;
        for (key, stored) in &items {
            tally.expect(&format!("get {key}"), &found.get(key), &Some(stored));
        }
    }
    Ok(())
}

fn run(options: &Options) -> Result<Summary, LoadError> {
    let mut tally = Tally::default();
    match options.task {
        Task::Fill { keys } => fill(&mut Memcached::connect(options.address)?, keys, &mut tally)?,
        Task::Verify { keys } => verify(&mut Memcached::connect(options.address)?, keys, &mut tally)?,
        Task::Load { clients } => {
            let stop = Stop::listen()?;
            let sessions: Result<Vec<_>, _> =
                (0..clients).map(|number| live::MemcachedSession::connect(options.address, number)).collect();
            return Ok(run_sessions(sessions?, &stop).summary(clients as usize));
        }
    }
    Ok(tally.summary(1))
}

fn main() -> ExitCode {
    finish("memcached-check", run(&Options::parse()))
}
