//! Compiles the programs, each combination of sources and flags once.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::catalogue::{Library, Program};

/// Optimisation level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimisation {
    /// `-O0`.
    None,
    /// `-O2`.
    Two,
}

/// When the loader binds functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// At the first call (`-z lazy`).
    Lazy,
    /// At the start (`-z now`), with a read-only GOT.
    Now,
}

/// How both versions of a program are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Optimisation level.
    pub optimisation: Optimisation,
    /// Binding of functions.
    pub binding: Binding,
    /// Whether the program lies where it was linked for (`-no-pie`).
    pub fixed: bool,
}

impl Style {
    const fn new(optimisation: Optimisation, binding: Binding) -> Self {
        Style { optimisation, binding, fixed: false }
    }

    /// What a distribution builds: `-O2`, lazy binding.
    pub const USUAL: Style = Style::new(Optimisation::Two, Binding::Lazy);

    /// The same at a fixed address, optimised and not.
    pub const FIXED: [Style; 2] =
        [Style { fixed: true, ..Style::USUAL }, Style { fixed: true, ..Style::new(Optimisation::None, Binding::Now) }];

    /// The two styles that differ in both respects: what every program is run in without an update.
    pub const OPPOSITE: [Style; 2] = [Style::USUAL, Style::new(Optimisation::None, Binding::Now)];

    /// All four.
    pub const ALL: [Style; 4] = [
        Style::new(Optimisation::None, Binding::Lazy),
        Style::new(Optimisation::None, Binding::Now),
        Style::new(Optimisation::Two, Binding::Lazy),
        Style::new(Optimisation::Two, Binding::Now),
    ];
}

/// A build of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Version one.
    One,
    /// Version one once more, in another file and with another build-id: an update to it changes nothing else.
    OneAgain,
    /// Version two.
    Two,
}

impl Version {
    /// The value of the macro `VERSION`.
    pub fn number(self) -> u32 {
        match self {
            Version::One | Version::OneAgain => 1,
            Version::Two => 2,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Version::One => "v1",
            Version::OneAgain => "v1-again",
            Version::Two => "v2",
        }
    }
}

/// Where the sources of the programs are.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// The spec for updates of `program` to version `to`, if there is one: `specs/NAME.toml`, or `specs/NAME.back.toml` for the way back.
pub fn spec(program: &Program, to: Version) -> Option<PathBuf> {
    let name = match to {
        Version::Two => format!("{}.toml", program.name),
        Version::One => format!("{}.back.toml", program.name),
        Version::OneAgain => return None,
    };
    Some(specs().join(name)).filter(|path| path.exists())
}

/// Where the specs of the programs are.
pub fn specs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("specs")
}

/// Directory of the profile that this test was built in: home of `dsu` and of the compiled programs.
pub fn profile_directory() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test knows its own path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path
}

/// Builds `version` of `program` in `style` and returns the path of the executable.
pub fn program(program: &Program, version: Version, style: Style) -> PathBuf {
    with_flags(program, version, style, &[])
}

/// As [`program`], with `extra` flags after all others.
pub fn with_flags(program: &Program, version: Version, style: Style, extra: &[&str]) -> PathBuf {
    let mut flags = common_flags(style);
    flags.push(format!("-DVERSION={}", version.number()));
    if version == Version::OneAgain {
        flags.push("-Wl,--build-id=0xa6a1a6a1a6a1a6a1a6a1a6a1a6a1a6a1a6a1a6a1".to_owned());
    } else {
        flags.push("-Wl,--build-id=sha1".to_owned());
    }
    let mut inputs: Vec<String> = program.sources.iter().map(|&source| source.to_owned()).collect();
    if let Some(Library::Linked(source)) = program.library {
        let library = shared_library(source);
        let directory = library.parent().expect("a library lies in a directory");
        flags.push(format!("-Wl,-rpath,{}", directory.display()));
        inputs.push(library.display().to_string());
    }
    flags.extend(program.flags.iter().chain(extra).map(|&flag| flag.to_owned()));
    compile(&format!("{}-{}", program.name, version.suffix()), &inputs, &flags)
}

/// Compiles `source` with exactly `flags` to a file `name`: for builds that no update can start from or lead to.
pub fn by_hand(name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    compile(name, &[source.to_owned()], &flags)
}

/// Where the programs are that are about answers of a spec, with their specs.
pub fn said() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("said")
}

/// Builds version `version` of `source`, a path or a name in `programs/`, with `flags` such as `-O0` or `-DCASE=1`.
pub fn of_version(source: &Path, version: u32, flags: &[&str]) -> PathBuf {
    let (headers, macro_flag) = (format!("-I{}", sources().display()), format!("-DVERSION={version}"));
    let common = ["-std=gnu11", "-g", "-pthread", "-fPIE", "-pie", "-Wl,--build-id=sha1", &headers, &macro_flag];
    let flags: Vec<&str> = common.into_iter().chain(flags.iter().copied()).collect();
    let name = source.file_stem().unwrap_or_default().to_string_lossy();
    by_hand(&format!("{name}-v{version}"), &source.display().to_string(), &flags)
}

/// Builds the shared library `source` (a file of `programs/`), the same for all versions of its program.
pub fn shared_library(source: &str) -> PathBuf {
    let flags = ["-g", "-O2", "-fPIC", "-shared", "-Wl,-z,lazy"].map(str::to_owned);
    compile(&source.replace(".c", ".so"), &[source.to_owned()], &flags)
}

fn common_flags(style: Style) -> Vec<String> {
    let optimisation = match style.optimisation {
        Optimisation::None => "-O0",
        Optimisation::Two => "-O2",
    };
    let binding = match style.binding {
        Binding::Lazy => "-Wl,-z,lazy",
        Binding::Now => "-Wl,-z,now",
    };
    let place = if style.fixed { ["-fno-pie", "-no-pie"] } else { ["-fPIE", "-pie"] };
    let common = ["-std=gnu11", "-g", "-Wall", "-Wextra", "-pthread", "-Wl,-z,relro"];
    common.iter().copied().chain(place).chain([optimisation, binding]).map(str::to_owned).collect()
}

/// Compiles `inputs` (names in `programs/`, or absolute paths) to a file `name`, unless that was done before.
fn compile(name: &str, inputs: &[String], flags: &[String]) -> PathBuf {
    compile_with(&compiler(), &sources(), name, inputs, flags)
}

/// As [`compile`], with a compiler and a directory of sources of the caller's.
pub(crate) fn compile_with(compiler: &str, sources: &Path, name: &str, inputs: &[String], flags: &[String]) -> PathBuf {
    let digest = digest(compiler, sources, name, inputs, flags);
    let directory = profile_directory().join("programs").join(format!("{digest:016x}"));
    let path = directory.join(name);
    if path.exists() {
        return path;
    }
    fs::create_dir_all(&directory).unwrap_or_else(|error| panic!("creating {}: {error}", directory.display()));
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let temporary = directory.join(format!("{name}.{}.{}", id(), SERIAL.fetch_add(1, Ordering::Relaxed)));
    let mut command = Command::new(compiler);
    // Flags stand on both sides of the inputs, so that `-l` and `-Wl,--no-as-needed -l` both work where they are.
    command.current_dir(sources).args(flags).args(inputs).args(flags.iter().filter(|flag| flag.starts_with("-l")));
    let output = command.arg("-o").arg(&temporary).output().unwrap_or_else(|error| panic!("running {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    fs::rename(&temporary, &path).unwrap_or_else(|error| panic!("renaming {}: {error}", temporary.display()));
    path
}

fn compiler() -> String {
    std::env::var("CC").unwrap_or_else(|_| "cc".to_owned())
}

/// A number that changes with every flag and with every byte of the sources.
fn digest(compiler: &str, sources: &Path, name: &str, inputs: &[String], flags: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, inputs, flags, compiler).hash(&mut hasher);
    let headers = headers(sources);
    for file in inputs.iter().chain(&headers) {
        let path = sources.join(file);
        fs::read(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display())).hash(&mut hasher);
    }
    hasher.finish()
}

/// Every header, in the order of their names: what a program includes is not looked into.
fn headers(sources: &Path) -> Vec<String> {
    let entries = fs::read_dir(sources).expect("the programs are there");
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<String> = names.filter(|name| name.ends_with(".h")).collect();
    found.sort_unstable();
    found
}
