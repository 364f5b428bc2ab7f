//! Runs the oracle over all programs, or those named, and compares with the counts kept from the last run.
//!
//! `oracle [--all] [--style COMPILER-LEVEL]… [--random COUNT [--seed FIRST]] [PROGRAM]…`; `--all` tells every refusal in full, `--random` runs
//! so many programs made by chance in place of those in `frames/`. Exits with 1 if a value, a run or a
//! plan is wrong, or if something that was right is not any more.

use std::process::ExitCode;
use std::sync::Mutex;

use dsu_tests::build::profile_directory;
use dsu_tests::oracle::kept::{self, Kept};
use dsu_tests::oracle::program::{self, Program, Style};
use dsu_tests::oracle::random;
use dsu_tests::oracle::run::{Report, run};
use dsu_tests::oracle::tally;

/// The command line.
struct Asked {
    refusals: bool,
    styles: Vec<Style>,
    programs: Vec<Program>,
}

fn main() -> ExitCode {
    let asked = match read_arguments() {
        Ok(asked) => asked,
        Err(problem) => {
            eprintln!("oracle: {problem}\nusage: oracle [--all] [--style gcc-2]… [--random COUNT [--seed FIRST]] [PROGRAM]…");
            return ExitCode::from(2);
        }
    };
    let (reports, broken) = run_all(&asked);
    if asked.refusals {
        for report in reports.iter().filter(|report| !report.refusals.is_empty()) {
            println!("{} ({}):\n  {}", report.program, report.style, report.refusals.join("\n  "));
        }
    }
    print!("{}{}", tally::findings(&reports), tally::table(&reports));
    print!("{}", tally::shares(&asked.programs, &reports));
    let is_whole = asked.styles == Style::all() && asked.programs == program::all();
    conclude(&reports, broken, is_whole)
}

fn read_arguments() -> Result<Asked, String> {
    let (mut refusals, mut styles, mut names) = (false, Vec::new(), Vec::new());
    let (mut random, mut first) = (None, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--all" => refusals = true,
            "--style" => {
                let name = arguments.next().unwrap_or_default();
                let style = Style::all().into_iter().find(|style| format!("{}-{}", style.compiler, style.level) == name);
                styles.push(style.ok_or_else(|| format!("expected a style such as gcc-2, found {name:?}"))?);
            }
            "--random" => random = Some(number(arguments.next())?),
            "--seed" => first = number(arguments.next())?,
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            _ => names.push(argument),
        }
    }
    let all = program::all();
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|program| program.name == **name)) {
        return Err(format!("no program {unknown}"));
    }
    let programs = match random {
        Some(count) => made_by_chance(first, count)?,
        None => all.into_iter().filter(|program| names.is_empty() || names.contains(&program.name)).collect(),
    };
    Ok(Asked { refusals, styles: if styles.is_empty() { Style::all() } else { styles }, programs })
}

fn number(text: Option<String>) -> Result<u64, String> {
    let text = text.unwrap_or_default();
    text.parse().map_err(|_| format!("expected a number, found {text:?}"))
}

fn made_by_chance(first: u64, count: u64) -> Result<Vec<Program>, String> {
    let directory = profile_directory().join("programs").join("random");
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    Ok((first..first + count).map(|seed| random::make(seed, &directory)).collect())
}

/// Runs every program in every style, on all processors; also tells which runs came to nothing.
fn run_all(asked: &Asked) -> (Vec<Report>, Vec<String>) {
    let jobs: Vec<(&Program, Style)> =
        asked.programs.iter().flat_map(|program| asked.styles.iter().map(move |style| (program, *style))).collect();
    let left = Mutex::new(jobs.into_iter());
    let reports = Mutex::new(Vec::new());
    let broken = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some((program, style)) = left.lock().expect("no worker panics here").next() else { return };
            match std::panic::catch_unwind(|| run(program, style)) {
                Ok(report) => reports.lock().expect("no worker panics here").push(report),
                Err(_) => broken.lock().expect("no worker panics here").push(format!("{} ({style}) has no result", program.name)),
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let mut reports = reports.into_inner().expect("all workers are done");
    reports.sort_by(|left, right| (&left.program, left.style).cmp(&(&right.program, right.style)));
    (reports, broken.into_inner().expect("all workers are done"))
}

/// Compares with the kept counts, and keeps the new ones if nothing is lost.
fn conclude(reports: &[Report], broken: Vec<String>, is_whole: bool) -> ExitCode {
    let now = Kept::of(reports);
    let before = std::fs::read_to_string(kept::path()).unwrap_or_default();
    let before = match Kept::parse(&before) {
        Ok(before) => before,
        Err(problem) => {
            eprintln!("oracle: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let mut problems = broken;
    problems.extend(now.losses(&before));
    if is_whole {
        problems.extend(now.falls(&before));
    }
    let wrong = reports.iter().filter(|report| !report.is_right()).count();
    if wrong > 0 {
        problems.push(format!("{wrong} runs are wrong"));
    }
    for problem in &problems {
        println!("FAILED: {problem}");
    }
    if !problems.is_empty() {
        return ExitCode::FAILURE;
    }
    if !is_whole {
        return ExitCode::SUCCESS;
    }
    match std::fs::write(kept::path(), now.text()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("oracle: writing {}: {error}", kept::path().display());
            ExitCode::FAILURE
        }
    }
}
