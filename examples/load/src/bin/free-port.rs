//! Prints a TCP port on which nobody listens, found by binding. For servers that cannot choose one themselves.

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;

fn main() -> ExitCode {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr()) {
        Ok(address) => {
            println!("{}", address.port());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("free-port: binding a port of 127.0.0.1: {error}");
            ExitCode::FAILURE
        }
    }
}
