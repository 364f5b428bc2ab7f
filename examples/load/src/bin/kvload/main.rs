//! Load for kvd that checks every reply. Runs until its standard input ends or SIGTERM comes, then prints a summary;
//! exits with 1 when a request failed or a value was wrong.

mod model;
mod session;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use dsu_load::{LoadError, Stop, Summary, finish, run_sessions};

use session::KvdSession;

/// Asks kvd for this and that over many connections and checks every reply.
#[derive(Debug, Parser)]
struct Options {
    /// Where kvd listens.
    address: SocketAddr,
    /// Connections, each in a thread of its own.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
    /// The server may also become an older release.
    #[arg(long)]
    may_go_back: bool,
}

fn run(options: &Options) -> Result<Summary, LoadError> {
    let stop = Stop::listen()?;
    let sessions: Result<Vec<_>, _> =
        (0..options.clients).map(|number| KvdSession::connect(options.address, number, options.may_go_back)).collect();
    let tally = run_sessions(sessions?, &stop);
    Ok(tally.summary(options.clients as usize))
}

fn main() -> ExitCode {
    finish("kvload", run(&Options::parse()))
}
