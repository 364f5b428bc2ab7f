//! What can be written after `dsu`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dsu_formats::spec::duration::duration;

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or already up to date
  1  failed; nothing was changed
  2  wrong usage
  3  blocked: the reasons are listed, the process goes on untouched
  4  rolled back: the old version runs
  5  this machine or user lacks something (`dsu doctor` says what)
  6  updated, but a later step failed
  7  the process is parked: run `dsu recover --pid PID`

Environment:
  DSU_LOG            what to log to stderr, such as `debug` or `dsu_engine::vessel=trace`
  DSU_FAULT          for tests: fail or die at steps, `STEP:N` or `die:STEP:N`, several with commas
  DSU_NO_FILE_CAPABILITIES
                     for tests: 1 moves programs without privilege as where no file can give them any
  DSU_SYSLOG_SOCKET  where the line for the system log goes instead of /dev/log";

/// Moves a running, unmodified program onto a new build of itself: same PID, same connections, same memory, new code.
#[derive(Debug, Parser)]
#[command(name = "dsu", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Arguments {
    /// Print the result as one JSON object on stdout, also on failure
    #[arg(long, global = true)]
    pub json: bool,
    /// Log what is done to stderr; twice or three times for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check what this machine and this user offer, and what each gap means
    #[command(after_help = "Exits with 5 when something is missing without which an update cannot work.")]
    Doctor(DoctorArguments),
    /// Write an image of a running process to a file
    #[command(after_help = "\
Examples:
  dsu checkpoint --pid 4242 --output kvd.dsu
  dsu checkpoint --pid 4242 --output kvd.dsu --then kill

An image holds every secret of the process: it is written with mode 0600; keep it so.")]
    Checkpoint(CheckpointArguments),
    /// Start a process from an image, with the PID and the threads it had
    #[command(after_help = "Example:\n  dsu restore kvd.dsu")]
    Restore(RestoreArguments),
    /// Move a running process to a new build of its program
    #[command(after_help = "\
Examples:
  dsu update --pid 4242 --program ./kvd-v2
  dsu update --pid $(pidof redis-server) --program /usr/bin/redis-server --wait 30s --keep-image before.dsu

Both builds need debug information (gcc -g, or a debug package). The process is changed wholly or not at all.")]
    Update(UpdateArguments),
    /// Say what an update would do, or what stands in its way; the process stands still for a moment and goes on unchanged
    #[command(after_help = "\
Examples:
  dsu plan --pid 4242 --program ./kvd-v2
  dsu plan --image kvd.dsu --program ./kvd-v2

A plan for an image looks at no process.")]
    Plan(PlanArguments),
    /// Rewrite an image for a new build of its program, so that the new program goes on from it; no process is needed
    #[command(after_help = "\
Example:
  dsu checkpoint --pid 4242 --output kvd.dsu --then kill
  dsu transform kvd.dsu --program ./kvd-v2 -o kvd-v2.dsu
  dsu restore kvd-v2.dsu

Both builds need debug information, and the old one is looked for where it was, then by its build-id. The new image is complete in
itself: a restore needs neither the old image nor the old build. An image of the very build that is asked for is up to date, and
nothing is written.")]
    Transform(TransformArguments),
    /// Show what changed between two builds, and draft the answers that an update needs; no process is needed
    #[command(after_help = "\
Examples:
  dsu diff ./kvd-v1 ./kvd-v2
  dsu diff ./kvd-v1 ./kvd-v2 -o update.toml

An existing file is never overwritten.")]
    Diff(DiffArguments),
    /// Finish or take back an update whose engine died
    #[command(after_help = "Example:\n  dsu recover --pid 4242")]
    Recover(RecoverArguments),
    /// Show what is in an image
    #[command(after_help = "Examples:\n  dsu inspect kvd.dsu\n  dsu inspect --json kvd.dsu | jq .threads")]
    Inspect(InspectArguments),
    /// Check every checksum and every cross reference of an image, and list all that is wrong
    #[command(after_help = "Example:\n  dsu verify kvd.dsu")]
    Verify(VerifyArguments),
    /// Become a plugin, shut away from everything else; what dsu itself starts
    #[command(hide = true)]
    PluginSandbox(PluginSandboxArguments),
}

impl Command {
    /// The process that the command works on.
    pub fn pid(&self) -> Option<i32> {
        match self {
            Command::Checkpoint(arguments) => Some(arguments.pid),
            Command::Update(arguments) => Some(arguments.pid),
            Command::Plan(arguments) => arguments.pid,
            Command::Recover(arguments) => Some(arguments.pid),
            Command::Doctor(_)
            | Command::Diff(_)
            | Command::Restore(_)
            | Command::Transform(_)
            | Command::Inspect(_)
            | Command::Verify(_)
            | Command::PluginSandbox(_) => None,
        }
    }
}

/// Arguments of `dsu doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Directory with separate debug information, laid out as /usr/lib/debug is (repeatable)
    #[arg(long = "debug-dir", value_name = "DIR")]
    pub debug_directories: Vec<PathBuf>,
}

/// Arguments of `dsu checkpoint`.
#[derive(Debug, Args)]
pub struct CheckpointArguments {
    /// The process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub pid: i32,
    /// Where the image goes; an old file of that name is replaced at the very end
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// What becomes of the process
    #[arg(long, value_enum, default_value_t = Afterwards::Run)]
    pub then: Afterwards,
    /// Go on although the program's seccomp filter would end it if dsu itself were killed in the middle
    #[arg(long)]
    pub accept_seccomp_risk: bool,
}

/// What becomes of a process after its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Afterwards {
    /// It goes on
    Run,
    /// It is stopped (SIGSTOP)
    Stop,
    /// It is killed, so that it can be restored from the image
    Kill,
}

/// Arguments of `dsu restore`.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
}

/// Arguments of `dsu update`.
#[derive(Debug, Args)]
pub struct UpdateArguments {
    /// The process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub pid: i32,
    /// What to move it to, and how.
    #[command(flatten)]
    pub pair: PairArguments,
    /// Write an image of the old process to this file once the new one runs
    #[arg(long, value_name = "FILE")]
    pub keep_image: Option<PathBuf>,
    /// Move the process even when it already runs this very build
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `dsu plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// The process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..), required_unless_present = "image")]
    pub pid: Option<i32>,
    /// An image, in place of a process
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["pid", "wait", "accept_seccomp_risk"])]
    pub image: Option<PathBuf>,
    /// The build that the image was made of, where it is not found by itself
    #[arg(long, value_name = "FILE", conflicts_with = "pid")]
    pub old: Option<PathBuf>,
    /// Show the stacks of all threads, before and after, frame by frame
    #[arg(long)]
    pub stacks: bool,
    /// What it would be moved to, and how.
    #[command(flatten)]
    pub pair: PairArguments,
}

/// Arguments of `dsu transform`.
#[derive(Debug, Args)]
pub struct TransformArguments {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// The new build
    #[arg(long, value_name = "FILE")]
    pub program: PathBuf,
    /// Where the new image goes; an old file of that name is replaced at the very end
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// The build that the image was made of, where it is not found by itself
    #[arg(long, value_name = "FILE")]
    pub old: Option<PathBuf>,
    /// The answers to what dsu cannot decide for this pair of builds (`dsu diff OLD NEW -o FILE` drafts one)
    #[arg(long, value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// The program of a plugin that the spec names, where it lies elsewhere than the spec says (repeatable)
    #[arg(long = "plugin", value_name = "FILE", requires = "spec")]
    pub plugins: Vec<PathBuf>,
    /// Take no evidence for proof: blocks of the heap that could hold an object that changes, and that nothing but evidence clears, are
    /// in the way
    #[arg(long)]
    pub strict: bool,
    /// Directory with separate debug information, laid out as /usr/lib/debug is (repeatable)
    #[arg(long = "debug-dir", value_name = "DIR")]
    pub debug_directories: Vec<PathBuf>,
}

/// A build to move a process to, and how.
#[derive(Debug, Args)]
pub struct PairArguments {
    /// The new build
    #[arg(long, value_name = "FILE")]
    pub program: PathBuf,
    /// The answers to what dsu cannot decide for this pair of builds (`dsu diff OLD NEW -o FILE` drafts one)
    #[arg(long, value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// The program of a plugin that the spec names, where it lies elsewhere than the spec says (repeatable)
    #[arg(long = "plugin", value_name = "FILE", requires = "spec")]
    pub plugins: Vec<PathBuf>,
    /// How long to try for a moment at which no changed function is active, such as 100ms, 5s or 2m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub wait: Duration,
    /// Go on although the program's seccomp filter would end it if dsu itself were killed in the middle
    #[arg(long)]
    pub accept_seccomp_risk: bool,
    /// Take no evidence for proof: blocks of the heap that could hold an object that changes, and that nothing but evidence clears, are
    /// in the way
    #[arg(long)]
    pub strict: bool,
    /// Directory with separate debug information, laid out as /usr/lib/debug is (repeatable)
    #[arg(long = "debug-dir", value_name = "DIR")]
    pub debug_directories: Vec<PathBuf>,
    /// Neither take from earlier updates nor keep for later ones what is found out about frames ($XDG_CACHE_HOME/dsu or ~/.cache/dsu)
    #[arg(long)]
    pub no_cache: bool,
}

impl PairArguments {
    /// Where what is found out about frames is kept.
    pub fn cache(&self) -> Option<PathBuf> {
        if self.no_cache { None } else { dsu_engine::update::cache::default_directory() }
    }
}

/// Arguments of `dsu diff`.
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// The old build
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The new build
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// Write the draft of a spec to this file: guards, and a commented question wherever dsu cannot decide
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Answers that are known already: pairs and renames
    #[arg(long, value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// Directory with separate debug information, laid out as /usr/lib/debug is (repeatable)
    #[arg(long = "debug-dir", value_name = "DIR")]
    pub debug_directories: Vec<PathBuf>,
}

/// Arguments of `dsu recover`.
#[derive(Debug, Args)]
pub struct RecoverArguments {
    /// The process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub pid: i32,
}

/// Arguments of `dsu inspect`.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// Show the registers of every thread too
    #[arg(long)]
    pub registers: bool,
}

/// Arguments of `dsu verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,
    /// The image that it was made from, when its manifest names one
    #[arg(long, value_name = "IMAGE")]
    pub parent: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_plan_is_for_a_process_or_for_an_image() {
        let parse = |words: &[&str]| Arguments::try_parse_from([&["dsu", "plan", "--program", "p"], words].concat()).is_ok();
        assert!(parse(&["--pid", "7", "--wait", "1s"]) && parse(&["--image", "i"]) && parse(&["--image", "i", "--old", "o"]));
        assert!(!parse(&[]) && !parse(&["--pid", "7", "--image", "i"]) && !parse(&["--pid", "7", "--old", "o"]));
        assert!(!parse(&["--image", "i", "--wait", "1s"]) && !parse(&["--image", "i", "--accept-seccomp-risk"]));
    }

    #[test]
    fn no_pid_below_one_is_taken() {
        for pid in ["0", "-1", "x", "99999999999"] {
            assert!(Arguments::try_parse_from(["dsu", "recover", "--pid", pid]).is_err(), "{pid}");
        }
    }
}

/// Arguments of `dsu plugin-sandbox`.
#[derive(Debug, Args)]
pub struct PluginSandboxArguments {
    /// The plugin
    #[arg(value_name = "PLUGIN")]
    pub plugin: PathBuf,
    /// Processor time in seconds
    #[arg(value_name = "SECONDS")]
    pub processor_s: u64,
    /// Address space in bytes
    #[arg(value_name = "BYTES")]
    pub memory: u64,
    /// What the plugin is started with
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}
