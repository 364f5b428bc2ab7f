//! The programs in `frames/`: what each says of itself, and its builds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::build::compile_with;

/// What may come of an update of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Good {
    /// Its rules prove everything: a refusal is an opportunity lost.
    Right,
    /// Nothing can prove it: a plan is a rule missing, even where the values are right by chance.
    Refused,
    /// A proof may or may not be found.
    Either,
}

/// What a program stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A change as releases make them, written without a look at what the rules let through.
    Release,
    /// A change or a mechanism that a rule has to deal with.
    Case,
    /// Made to show what a rule must not let through, or to be decided by a question.
    Counterexample,
}

impl Kind {
    /// Whether it counts among ordinary changes.
    pub fn is_ordinary(self) -> bool {
        self != Kind::Counterexample
    }
}

/// One program of the oracle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Name of its source without `.c`.
    pub name: String,
    /// The rules of PROOF.md that it is about.
    pub rule: String,
    /// What it stands for.
    pub kind: Kind,
    /// What may come of its update.
    pub good: Good,
    /// In which call of `point()` it is stopped, from 1 on.
    pub point: usize,
    /// What it reads from its standard input.
    pub input: String,
    /// Flags of its own for the compiler.
    pub flags: Vec<String>,
    /// Where its source is.
    pub directory: PathBuf,
}

/// How both versions of a program are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Style {
    /// Command of the compiler.
    pub compiler: &'static str,
    /// Optimisation level, 0 to 3.
    pub level: u8,
}

impl Style {
    /// Compilers that the programs are built with.
    pub const COMPILERS: [&str; 2] = ["gcc", "clang"];

    /// Every compiler at every level.
    pub fn all() -> Vec<Style> {
        Self::COMPILERS.iter().flat_map(|&compiler| (0..4).map(move |level| Style { compiler, level })).collect()
    }
}

impl std::fmt::Display for Style {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -O{}", self.compiler, self.level)
    }
}

/// Where the sources are.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("frames")
}

/// All programs, by name.
pub fn all() -> Vec<Program> {
    let entries = fs::read_dir(sources()).expect("the programs are there");
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".c")?.to_owned()))
        .filter(|name| name != "point")
        .collect();
    names.sort_unstable();
    names.iter().map(|name| Program::read(name)).collect()
}

impl Program {
    /// Reads what `frames/NAME.c` says of itself.
    fn read(name: &str) -> Self {
        let path = sources().join(format!("{name}.c"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
        Self::parse(name, &text).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()))
    }

    /// Reads the comment lines that `text` opens with.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let (mut rule, mut good, mut point, mut input, mut flags) = (None, None, None, String::new(), Vec::new());
        let mut kind = Kind::Case;
        let mut described = false;
        for line in text.lines().map_while(|line| line.strip_prefix("// ")) {
            match line.split_once(": ") {
                Some(("rule", text)) => rule = Some(text.to_owned()),
                Some(("kind", "release")) => kind = Kind::Release,
                Some(("kind", "counterexample")) => kind = Kind::Counterexample,
                Some(("kind", other)) => return Err(format!("kind: expected release or counterexample, found {other}")),
                Some(("good", "right")) => good = Some(Good::Right),
                Some(("good", "refused")) => good = Some(Good::Refused),
                Some(("good", "either")) => good = Some(Good::Either),
                Some(("good", other)) => return Err(format!("good: expected right, refused or either, found {other}")),
                Some(("point", text)) => {
                    let number = text.parse().ok().filter(|number| *number > 0);
                    point = Some(number.ok_or_else(|| format!("point: expected a number from 1 on, found {text}"))?);
                }
                Some(("input", text)) => text.clone_into(&mut input),
                Some(("flags", text)) => flags = text.split_whitespace().map(str::to_owned).collect(),
                _ => described = true,
            }
        }
        if !described {
            return Err("expected a first line that says what it is about".to_owned());
        }
        let missing = |what: &str| format!("expected a line `// {what}: …`");
        Ok(Self {
            name: name.to_owned(),
            rule: rule.ok_or_else(|| missing("rule"))?,
            kind,
            good: good.ok_or_else(|| missing("good"))?,
            point: point.ok_or_else(|| missing("point"))?,
            input,
            flags,
            directory: sources(),
        })
    }

    /// Builds version `version` (1 or 2) and returns the executable's path. Both paths are equally long: the stacks of the old and the
    /// new program then begin alike.
    pub fn build(&self, version: u32, style: Style) -> PathBuf {
        let common = ["-std=gnu11", "-g", "-Wall", "-fPIE", "-pie", "-Wl,--build-id=sha1"];
        let mut flags: Vec<String> = common.map(str::to_owned).to_vec();
        flags.push(format!("-O{}", style.level));
        flags.push(format!("-DVERSION={version}"));
        flags.extend(self.flags.iter().cloned());
        let inputs = [format!("{}.c", self.name), sources().join("point.c").display().to_string()];
        compile_with(style.compiler, &self.directory, &format!("{}-v{version}", self.name), &inputs, &flags)
    }
}
