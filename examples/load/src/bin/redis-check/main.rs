//! Data and load for redis that check themselves: `fill` writes a data set that can be made again from nothing,
//! `verify` compares every key with it, `load` asks and checks until it is told to stop.

mod dataset;
mod live;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use dsu_load::{LoadError, REQUEST_DEADLINE, Stop, Summary, finish, run_sessions};
use redis::Connection;

/// Fills, loads and verifies a redis server on this machine.
#[derive(Debug, Parser)]
struct Options {
    /// Where redis listens.
    address: SocketAddr,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Writes the data set. Prints `{"event":"filled","epoch_ms":…}`, the time that `verify` needs.
    Fill {
        /// How many keys.
        #[arg(long, default_value_t = 200_000)]
        keys: u64,
    },
    /// Reads every key of the data set and compares it.
    Verify {
        /// How many keys were filled.
        #[arg(long, default_value_t = 200_000)]
        keys: u64,
        /// What `fill` printed.
        #[arg(long)]
        epoch_ms: u64,
    },
    /// Works on keys of its own until standard input ends or SIGTERM comes.
    Load {
        /// Connections, each in a thread of its own.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1000))]
        clients: u32,
    },
}

/// Opens a connection whose requests fail when they take longer than any drill allows.
fn connect(address: SocketAddr) -> Result<Connection, LoadError> {
    let error = |source| LoadError::Redis { operation: format!("connecting to {address}"), source };
    let client = redis::Client::open(format!("redis://{address}/")).map_err(error)?;
    let connection = client.get_connection_with_timeout(REQUEST_DEADLINE).map_err(error)?;
    connection.set_read_timeout(Some(REQUEST_DEADLINE)).map_err(error)?;
    connection.set_write_timeout(Some(REQUEST_DEADLINE)).map_err(error)?;
    Ok(connection)
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn run(options: &Options) -> Result<Summary, LoadError> {
    match options.task {
        Task::Fill { keys } => {
            let epoch_ms = now_ms();
            let tally = dataset::fill(&mut connect(options.address)?, keys, epoch_ms)?;
            println!("{}", serde_json::json!({ "event": "filled", "keys": keys, "epoch_ms": epoch_ms }));
            Ok(tally.summary(1))
        }
        Task::Verify { keys, epoch_ms } => Ok(dataset::verify(&mut connect(options.address)?, keys, epoch_ms)?.summary(1)),
        Task::Load { clients } => {
            let stop = Stop::listen()?;
            let session = |number| connect(options.address).map(|connection| live::RedisSession::new(connection, number));
            let sessions: Result<Vec<_>, _> = (0..clients).map(session).collect();
            Ok(run_sessions(sessions?, &stop).summary(clients as usize))
        }
    }
}

fn main() -> ExitCode {
    finish("redis-check", run(&Options::parse()))
}
