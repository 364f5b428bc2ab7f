//! The commands, and the only place with words for people, hints, exit codes and progress.

mod arguments;
mod commands;
mod failure;
mod log;
mod output;
mod progress;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use dsu_engine::tracee::fault::{self, Fault};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use arguments::{Arguments, Command};
use failure::{Exit, Failure};
use output::Ending;
use progress::Progress;

/// Runs `dsu` with the words of its command line, its own name first.
pub fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.collect();
    let exit = match Arguments::try_parse_from(&words) {
        Ok(arguments) => output::deliver(&guarded(&arguments), arguments.json),
        Err(error) => usage(&error, &words),
    };
    ExitCode::from(exit.code())
}

/// A panic is an error of dsu's own; also then the answer is one, and says what to do about the process.
fn guarded(arguments: &Arguments) -> Ending {
    let run = std::panic::AssertUnwindSafe(|| execute(arguments));
    std::panic::catch_unwind(run).unwrap_or_else(|_| Err(Box::new(Failure::defect(arguments.command.pid()))))
}

fn execute(arguments: &Arguments) -> Ending {
    let is_logging = start_log(arguments.verbose)?;
    arm_fault()?;
    let progress = || Progress::new(is_logging);
    match &arguments.command {
        Command::Doctor(arguments) => commands::doctor::run(arguments),
        Command::Checkpoint(arguments) => commands::checkpoint::run(arguments, progress()),
        Command::Restore(arguments) => commands::restore::run(arguments, progress()),
        Command::Update(arguments) => commands::update::run(arguments, progress()),
        Command::Plan(arguments) => commands::plan::run(arguments, progress()),
        Command::Transform(arguments) => commands::transform::run(arguments, progress()),
        Command::Diff(arguments) => commands::diff::run(arguments),
        Command::Recover(arguments) => commands::recover::run(arguments, progress()),
        Command::Inspect(arguments) => commands::inspect::run(arguments),
        Command::Verify(arguments) => commands::verify::run(arguments),
        Command::PluginSandbox(arguments) => commands::plugin_sandbox::run(arguments),
    }
}

/// Help and version are answers; everything else is wrong usage, told to programs in JSON when they asked for that.
fn usage(error: &clap::Error, words: &[OsString]) -> Exit {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_answer || !words.iter().any(|word| word == "--json") {
        // Nobody is left to tell when the terminal is gone.
        let _ = error.print();
        return if is_answer { Exit::Done } else { Exit::Usage };
    }
    let text = error.render().to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    output::deliver(&Err(Box::new(Failure::new(Exit::Usage, "usage", message, "`dsu help COMMAND` shows what it takes"))), true)
}

/// Logs to stderr when `-v` or `DSU_LOG` ask for it; says whether they do.
fn start_log(verbose: u8) -> Result<bool, Box<Failure>> {
    let level = match verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let targets: Targets = match variable("DSU_LOG")? {
        Some(text) => text.parse().map_err(|_| {
            wrong_variable(
                "DSU_LOG",
                &text,
                "a level or pairs of module and level, such as `debug` or `dsu_engine::vessel=trace`",
            )
        })?,
        None if verbose == 0 => return Ok(false),
        None => Targets::new().with_default(level),
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(layer).with(targets).init();
    Ok(true)
}

fn arm_fault() -> Result<(), Box<Failure>> {
    let Some(text) = variable("DSU_FAULT")? else { return Ok(()) };
    let faults =
        Fault::parse_all(&text).ok_or_else(|| wrong_variable("DSU_FAULT", &text, "`STEP:N` or `die:STEP:N`, N from 1"))?;
    fault::arm(faults);
    Ok(())
}

/// A variable of the environment that is set and not empty.
fn variable(name: &'static str) -> Result<Option<String>, Box<Failure>> {
    match std::env::var(name) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(text)) => Err(wrong_variable(name, &text.to_string_lossy(), "UTF-8")),
    }
}

fn wrong_variable(name: &str, found: &str, expected: &str) -> Box<Failure> {
    let message = format!("the environment variable {name} is `{found}`: expected {expected}");
    Box::new(Failure::new(Exit::Usage, "wrong-variable", message, format!("correct it, or run `env -u {name} dsu ...`")))
}
