//! Runs the binary, and processes for it to look at.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// How a run ended.
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let outcome = Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) };
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        outcome
    }
}

impl Outcome {
    /// The one JSON object on stdout; its `exit` is the exit code.
    pub fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "one line of JSON: {}{}", self.stdout, self.stderr);
        let value: Value = serde_json::from_str(&self.stdout).unwrap();
        assert_eq!(value["exit"].as_i64(), self.code.map(i64::from), "{value}");
        assert!(value["result"].is_string(), "{value}");
        value
    }
}

/// The binary with its environment as a user has it.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dsu"));
    command.env_remove("DSU_FAULT").env_remove("DSU_LOG").stdin(Stdio::null());
    command
}

/// `dsu` with these words.
pub fn dsu(words: &[&str]) -> Outcome {
    command().args(words).output().unwrap().into()
}

/// A process that waits; killed and reaped when dropped.
pub struct Waiting(Child);

impl Waiting {
    /// Starts `sleep`, which waits longer than any test.
    pub fn sleep() -> Self {
        Self::start(Path::new("sleep"), &["10000"])
    }

    pub fn start(program: &Path, words: &[&str]) -> Self {
        Self(Command::new(program).args(words).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A failure as people and as programs see it: the same code, the facts in both.
pub fn assert_fails(words: &[&str], code: i32, name: &str, facts: &[&str]) {
    let human = dsu(words);
    assert_eq!(human.code, Some(code), "{words:?}: {}{}", human.stdout, human.stderr);
    assert_eq!(human.stdout, "", "{words:?}");
    assert!(human.stderr.contains("hint: "), "{words:?}: {}", human.stderr);
    let mut with_json = words.to_vec();
    with_json.push("--json");
    let outcome = dsu(&with_json);
    let value = outcome.json();
    assert_eq!(outcome.code, Some(code), "{value}");
    assert_eq!(value["error"]["code"], name, "{value}");
    assert!(value["error"]["hints"][0].as_str().is_some_and(|hint| !hint.is_empty()), "{value}");
    let message = format!("{} {}", value["error"]["message"], value["error"]["causes"]);
    for fact in facts {
        assert!(human.stderr.contains(fact), "`{fact}` is not in: {}", human.stderr);
        assert!(message.contains(fact), "`{fact}` is not in: {message}");
    }
}
