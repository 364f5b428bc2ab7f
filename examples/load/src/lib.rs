//! What the load clients of the drills share: stopping on request, sessions in threads, the tally of what they saw.
//!
//! A client prints one JSON object per line on standard output: events while it runs, and its summary at the end.

mod line;
mod random;
mod session;
mod stop;
mod tally;

pub use line::LineClient;
pub use random::Random;
pub use session::{Session, run_sessions};
pub use stop::Stop;
pub use tally::{Summary, Tally, finish};

use std::io;
use std::net::SocketAddr;

/// How long a request may take before the client calls it lost. Far above any pause that a drill accepts.
pub const REQUEST_DEADLINE: std::time::Duration = std::time::Duration::from_secs(60);

/// What keeps a client from going on.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The server does not accept a connection.
    #[error("connecting to {address}: {source}")]
    Connect {
        /// Where the server should be.
        address: SocketAddr,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A request was not sent, or its reply did not come.
    #[error("{operation}, request {request:?}: {source}")]
    Exchange {
        /// Sending or receiving.
        operation: &'static str,
        /// The request, cut to a readable length.
        request: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The server closed the connection though nobody asked it to.
    #[error("the server closed the connection before it answered {request:?}")]
    Closed {
        /// The request without an answer, cut to a readable length.
        request: String,
    },
    /// A redis request failed.
    #[error("redis, {operation}: {source}")]
    Redis {
        /// The command, or what it was for.
        operation: String,
        /// What the client library reports.
        source: redis::RedisError,
    },
    /// A signal could not be set up for waiting.
    #[error("waiting for SIGTERM: {0}")]
    Signal(#[from] nix::Error),
}
