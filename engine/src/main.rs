//! The command `dsu`: moves a running, unmodified program onto a new build of itself.
//!
//! Everything that is said to people is here, in [`cli`]; what is done is in the library.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::run(std::env::args_os())
}
