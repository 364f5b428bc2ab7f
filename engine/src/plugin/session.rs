//! The conversation with a plugin. Nothing that it sends is believed unchecked.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dsu_formats::address::RunAddress;
use dsu_formats::plugin::frame::{FrameError, receive, send};
use dsu_formats::plugin::layout::Layout;
use dsu_formats::plugin::message::{Batch, FromPlugin, LONGEST_READ, MAGIC, NEWEST, OLDEST, Rewritten, ToPlugin, TypePair};

use super::child::PluginProcess;
use super::error::PluginError;
use super::layout::{self, LayoutProblem};
use super::sandbox::Limits;
use crate::plan::source::MemorySource;
use crate::program::types::{TypeId, TypeTable};

/// How long a plugin may take to start and to answer a greeting.
const GREETING_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take for one batch.
const BATCH_LIMIT: Duration = Duration::from_secs(30);
/// Most bytes of new blocks in one answer.
const BLOCKS_LIMIT: u64 = 64 << 20;

/// How a plugin is started: a program that takes the plugin's path and limits as its last arguments and calls
/// [`super::sandbox::become_plugin`].
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// Its first arguments.
    pub arguments: Vec<OsString>,
}

/// A plugin that has agreed to its types.
#[derive(Debug)]
pub struct Session {
    name: String,
    process: PluginProcess,
    /// What it rewrites, in its order.
    kinds: Vec<Kind>,
    /// What is left of the time for all objects.
    left: Option<Duration>,
}

/// A type that a plugin rewrites.
#[derive(Clone, Debug)]
pub struct Kind {
    /// In the old build.
    pub old: TypeId,
    /// In the new build.
    pub new: TypeId,
    /// Both layouts.
    pub layouts: TypePair,
}

/// What a plugin is given and may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Arguments of its program.
    pub arguments: Vec<OsString>,
    /// What its process may use.
    pub limits: Limits,
    /// How long it may take for all its objects; without it each batch has a limit of its own.
    pub within: Option<Duration>,
}

/// What a plugin names in its greeting.
struct Named {
    rewritten: Vec<(String, String)>,
    looked_at: Vec<String>,
}

impl Session {
    /// Starts the plugin at `path`, greets it and agrees with it on the types that it names.
    ///
    /// # Errors
    /// No such program, no answer, another protocol, types that a build does not have.
    pub fn start(
        launcher: &Launcher,
        path: &Path,
        terms: &Terms,
        (old, new): (&TypeTable, &TypeTable),
    ) -> Result<Self, PluginError> {
        let process = PluginProcess::start(launcher, path, &terms.arguments, terms.limits);
        let process = process.map_err(|source| PluginError::Start { path: path.to_owned(), source })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut session = Self { name, process, kinds: Vec::new(), left: terms.within };
        let named = session.greet()?;
        session.agree(&named, old, new)?;
        Ok(session)
    }

    /// The plugin's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The types that it rewrites; all objects of one are to be given before those of the next.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Has objects rewritten; the batch says their type by its position in [`Session::kinds`]. While the plugin works, `meanwhile` is
    /// called once.
    ///
    /// # Errors
    /// No answer in time, a wrong one, or a refusal.
    pub fn rewrite(
        &mut self,
        batch: Batch,
        memory: &dyn MemorySource,
        meanwhile: impl FnOnce(),
    ) -> Result<Rewritten, PluginError> {
        const STEP: &str = "rewrite objects";
        let start = Instant::now();
        let limit = self.left.unwrap_or(BATCH_LIMIT);
        self.process.deadline = start + limit;
        let (count, kind) = (batch.addresses.len() as u64, batch.kind as usize);
        self.tell(STEP, limit, &ToPlugin::Batch(batch))?;
        meanwhile();
        let rewritten = loop {
            match self.hear(STEP, limit)? {
                FromPlugin::Read { address, length } => {
                    let answer = ToPlugin::Memory(read(memory, address, length));
                    self.tell(STEP, limit, &answer)?;
                }
                FromPlugin::Rewritten(rewritten) => break rewritten,
                FromPlugin::Refused { address, reason } => return Err(self.refused(Some(kind), address, reason)),
                other => return Err(self.answer("its answer to a batch", "the objects", format!("{other:?}"))),
            }
        };
        let layout = self.kinds.get(kind).map(|kind| &kind.layouts.new);
        self.check(&rewritten, layout.map_or(0, |layout| u64::from(layout.size)) * count)?;
        self.left = self.left.map(|left| left.saturating_sub(start.elapsed()));
        Ok(rewritten)
    }

    /// Ends the plugin.
    ///
    /// # Errors
    /// It does not end well: then nothing that it did is to be trusted.
    pub fn end(mut self) -> Result<(), PluginError> {
        const STEP: &str = "end";
        self.process.deadline = Instant::now() + GREETING_LIMIT;
        self.tell(STEP, GREETING_LIMIT, &ToPlugin::End)?;
        match self.process.end() {
            (status, _) if status == "exit code 0" => Ok(()),
            (status, stderr) => Err(PluginError::Ended { name: self.name, step: STEP, status, stderr }),
        }
    }

    fn greet(&mut self) -> Result<Named, PluginError> {
        const STEP: &str = "answer the greeting";
        self.process.deadline = Instant::now() + GREETING_LIMIT;
        let dsu = env!("CARGO_PKG_VERSION").to_owned();
        self.tell(STEP, GREETING_LIMIT, &ToPlugin::Greeting { magic: MAGIC, oldest: OLDEST, newest: NEWEST, dsu })?;
        match self.hear(STEP, GREETING_LIMIT)? {
            FromPlugin::Greeting { magic: MAGIC, version, name, rewritten, looked_at } => {
                self.name = name;
                if (OLDEST..=NEWEST).contains(&version) {
                    return Ok(Named { rewritten, looked_at });
                }
                Err(PluginError::Version { name: self.name.clone(), found: version, oldest: OLDEST, newest: NEWEST })
            }
            FromPlugin::Refused { address, reason } => Err(self.refused(None, address, reason)),
            other => Err(self.answer("its first message", "a greeting", format!("{other:?}"))),
        }
    }

    fn agree(&mut self, named: &Named, old: &TypeTable, new: &TypeTable) -> Result<(), PluginError> {
        const STEP: &str = "accept its types";
        let known = |types: &TypeTable, build, kind: &str| -> Result<(TypeId, Layout), PluginError> {
            let unusable = |problem: LayoutProblem| PluginError::Type {
                name: self.name.clone(),
                kind: kind.to_owned(),
                build,
                problem: problem.describe(),
            };
            let id = layout::find(types, kind).map_err(unusable)?;
            Ok((id, layout::of(types, id, kind).map_err(unusable)?))
        };
        let mut kinds = Vec::with_capacity(named.rewritten.len());
        for (old_name, new_name) in &named.rewritten {
            let ((old, old_layout), (new, new_layout)) = (known(old, "old", old_name)?, known(new, "new", new_name)?);
            let sides = [(&old_layout, "old"), (&new_layout, "new")];
            if let Some((layout, build)) = sides.into_iter().find(|(layout, _)| layout::is_flexible(layout)) {
                let (kind, problem) = (layout.name.clone(), LayoutProblem::Flexible.describe());
                return Err(PluginError::Type { name: self.name.clone(), kind, build, problem });
            }
            kinds.push(Kind { old, new, layouts: TypePair { old: old_layout, new: new_layout } });
        }
        let looked_at: Vec<Layout> =
            named.looked_at.iter().map(|kind| Ok(known(old, "old", kind)?.1)).collect::<Result<_, PluginError>>()?;
        self.kinds = kinds;
        let rewritten = self.kinds.iter().map(|kind| kind.layouts.clone()).collect();
        self.process.deadline = Instant::now() + GREETING_LIMIT;
        self.tell(STEP, GREETING_LIMIT, &ToPlugin::Types { rewritten, looked_at })?;
        match self.hear(STEP, GREETING_LIMIT)? {
            FromPlugin::Ready => Ok(()),
            FromPlugin::Refused { address, reason } => Err(self.refused(None, address, reason)),
            other => Err(self.answer("its answer to its types", "that it is ready", format!("{other:?}"))),
        }
    }

    fn check(&self, rewritten: &Rewritten, expected: u64) -> Result<(), PluginError> {
        if rewritten.bytes.len() as u64 != expected {
            return Err(self.answer("the bytes of its objects", expected, rewritten.bytes.len()));
        }
        let total: u64 = rewritten.blocks.iter().map(|block| block.bytes.len() as u64).sum();
        if total > BLOCKS_LIMIT {
            return Err(self.answer("the bytes of its new blocks", format!("at most {BLOCKS_LIMIT}"), total));
        }
        for block in &rewritten.blocks {
            let length = block.bytes.len() as u64;
            let ascending = block.pointers.windows(2).all(|pair| pair[0] < pair[1]);
            let outside = block.pointers.iter().find(|at| **at % 8 != 0 || u64::from(**at) + 8 > length);
            if !ascending || outside.is_some() || length == 0 {
                let expected = format!("ascending multiples of 8 within {length} bytes");
                return Err(self.answer("the pointers of a new block", expected, format!("{:?}", block.pointers)));
            }
        }
        Ok(())
    }

    fn tell(&mut self, step: &'static str, limit: Duration, message: &ToPlugin) -> Result<(), PluginError> {
        send(&mut self.process, message).map_err(|error| self.broken(step, limit, error))
    }

    fn hear(&mut self, step: &'static str, limit: Duration) -> Result<FromPlugin, PluginError> {
        receive(&mut self.process).map_err(|error| self.broken(step, limit, error))
    }

    /// What a broken conversation means: silence, an end, or nonsense.
    fn broken(&mut self, step: &'static str, limit: Duration, error: FrameError) -> PluginError {
        let name = self.name.clone();
        match error {
            FrameError::Pipe(error) if error.kind() == std::io::ErrorKind::TimedOut => PluginError::Silent { name, step, limit },
            FrameError::Pipe(_) | FrameError::Closed => {
                let (status, stderr) = self.process.end();
                PluginError::Ended { name, step, status, stderr }
            }
            source => PluginError::Frame { name, source },
        }
    }

    fn refused(&self, kind: Option<usize>, address: u64, reason: String) -> PluginError {
        let kind = kind.and_then(|kind| self.kinds.get(kind)).map_or(String::new(), |kind| kind.layouts.old.name.clone());
        PluginError::Refused { name: self.name.clone(), kind, address: RunAddress(address), reason }
    }

    fn answer(&self, what: &'static str, expected: impl ToString, found: impl ToString) -> PluginError {
        let mut found = found.to_string();
        found.truncate(found.char_indices().nth(200).map_or(found.len(), |(at, _)| at));
        PluginError::Answer { name: self.name.clone(), what, expected: expected.to_string(), found }
    }
}

fn read(memory: &dyn MemorySource, address: u64, length: u32) -> Result<Vec<u8>, String> {
    if length > LONGEST_READ {
        return Err(format!("{length} bytes are more than the {LONGEST_READ} that one read may ask for"));
    }
    let mut bytes = vec![0; length as usize];
    memory.read(RunAddress(address), &mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}
