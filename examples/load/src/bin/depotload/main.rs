//! Load for depot: sessions that move files and check every byte, and sessions that hold still in the middle of something until a new version
//! runs. Goes on until its standard input ends or SIGTERM comes, then prints a summary; exits with 1 when a request failed or something was wrong.

mod connection;
mod content;
mod session;
mod world;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use dsu_load::{LoadError, Stop, Summary, finish, run_sessions};

use session::{DepotSession, Role};
use world::World;

/// Moves files to and from depot over many sessions and checks every reply and every byte.
#[derive(Debug, Parser)]
struct Options {
    /// Where depot listens.
    address: SocketAddr,
    /// Sessions, each in a thread of its own; some go on all the time, most hold still in the middle of something.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(8..=200))]
    clients: u32,
    /// Files that the folder `many` has, named f-0000 and so on.
    #[arg(long, default_value_t = 4000)]
    many: u32,
}

fn run(options: &Options) -> Result<Summary, LoadError> {
    let stop = Stop::listen()?;
    let holders = (0..options.clients).filter(|number| Role::of(*number).holds()).count();
    let world = Arc::new(World::new(holders, stop.clone()));
    let connect = |number| DepotSession::connect(options.address, number, options.many, Arc::clone(&world));
    let sessions: Result<Vec<_>, _> = (0..options.clients).map(connect).collect();
    let tally = run_sessions(sessions?, &stop);
    Ok(tally.summary(options.clients as usize))
}

fn main() -> ExitCode {
    finish("depotload", run(&Options::parse()))
}
