//! Load for pulsed that checks every reply and every tick. Runs until its standard input ends or SIGTERM comes, then prints a summary;
//! exits with 1 when a request failed or a value was wrong.

mod session;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use dsu_load::{LoadError, Stop, Summary, finish, run_sessions};

use session::PulseSession;

/// Asks pulsed for this and that over many connections and checks every reply.
#[derive(Debug, Parser)]
struct Options {
    /// Where pulsed listens.
    address: SocketAddr,
    /// Connections, each in a thread of its own.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    clients: u32,
}

fn run(options: &Options) -> Result<Summary, LoadError> {
    let stop = Stop::listen()?;
    let sessions: Result<Vec<_>, _> = (0..options.clients).map(|number| PulseSession::connect(options.address, number)).collect();
    let tally = run_sessions(sessions?, &stop);
    Ok(tally.summary(options.clients as usize))
}

fn main() -> ExitCode {
    finish("pulseload", run(&Options::parse()))
}
