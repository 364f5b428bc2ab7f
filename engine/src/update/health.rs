//! The user's health check: a command that says whether the new version works.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use dsu_formats::spec::model::Health;

use super::error::UpdateError;

/// How often the command is asked whether it has ended.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// Most of what the command says on stderr that is passed on, in bytes.
const MAX_SAID: u64 = 4096;

/// Runs the health check of process `pid`; the command finds the PID in `DSU_PID`.
///
/// # Errors
/// A command that cannot be started, fails, or takes longer than it may; that one is killed.
pub fn check(health: &Health, pid: i32) -> Result<(), UpdateError> {
    let words: Vec<&str> = health.command.iter().map(|word| word.value.as_str()).collect();
    let failed = |reason: String| UpdateError::Health { command: words.join(" "), reason };
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    // A file takes what the command says: a pipe that nobody reads could keep it from ending.
    let mut said = tempfile::tempfile().map_err(|error| failed(format!("it cannot be started: {error}")))?;
    let stderr = said.try_clone().map_err(|error| failed(format!("it cannot be started: {error}")))?;
    let mut command = Command::new(program);
    command.args(arguments).env("DSU_PID", pid.to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let mut child = command.spawn().map_err(|error| failed(format!("it cannot be started: {error}")))?;
    match wait(&mut child, health.within.value) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(failed(format!("{status}{}", words_of(&mut said)))),
        Ok(None) => Err(failed(format!("no answer within {} ms", health.within.value.as_millis()))),
        Err(error) => Err(failed(format!("it cannot be waited for: {error}"))),
    }
}

/// Waits for the end of a child; `None`: it took too long, and is gone.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(left.min(BETWEEN_LOOKS));
    }
}

/// What the command said, on one line.
fn words_of(said: &mut std::fs::File) -> String {
    use std::io::Seek;
    let mut text = Vec::new();
    let read = said.rewind().and_then(|()| said.take(MAX_SAID).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    if read.is_err() || text.is_empty() { String::new() } else { format!(": {text}") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dsu_formats::spec::Spec;

    use super::*;

    fn checked(run: &str, within: &str) -> Result<(), String> {
        let text = format!("[after-restore]\nhealth = {{ run = {run}, within = \"{within}\" }}");
        let health = Spec::parse(Path::new("u.toml"), &text).unwrap().health.unwrap();
        check(&health, 42).map_err(|error| error.to_string())
    }

    #[test]
    fn a_check_passes_fails_or_takes_too_long() {
        assert_eq!(checked("[\"sh\", \"-c\", \"test $DSU_PID = 42\"]", "60s"), Ok(()));
        let failed = checked("[\"sh\", \"-c\", \"echo no answer on 7000 >&2; exit 3\"]", "60s").unwrap_err();
        assert!(failed.contains("exit status: 3: no answer on 7000"), "{failed}");
        let late = checked("[\"sleep\", \"1000\"]", "50ms").unwrap_err();
        assert!(late.contains("`sleep 1000`") && late.contains("no answer within 50 ms"), "{late}");
        let missing = checked("[\"/nonexistent/check\"]", "1s").unwrap_err();
        assert!(missing.contains("cannot be started"), "{missing}");
    }

    #[test]
    fn a_command_that_says_much_ends_all_the_same() {
        let failed = checked("[\"sh\", \"-c\", \"yes | head -c 1000000 >&2; exit 1\"]", "60s").unwrap_err();
        assert!(failed.len() < 5000, "{}", failed.len());
    }
}
