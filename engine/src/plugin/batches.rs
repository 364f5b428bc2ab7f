//! Has all objects of a process made by the plugins of a spec: starts them before the stop, gives them their objects in batches and
//! gathers what they answer as [`Made`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dsu_formats::address::RunAddress;
use dsu_formats::plugin::message::{Batch, NEW_BLOCKS, Rewritten};
use dsu_formats::spec::model::Plugin;

use super::error::PluginError;
use super::layout;
use super::session::{Kind, Launcher, Session, Terms};
use crate::plan::data::Partner;
use crate::plan::data::change::TypeChanges;
use crate::plan::data::made::{Made, MadeBlock, MadeKind, MadePointer, Maker, Wanted};
use crate::plan::data::rewrite::window::Window;
use crate::plan::data::rules::Rules;
use crate::plan::source::{MemorySource, SourceError};
use crate::program::types::{TypeId, TypeTable};

/// Bytes of old objects in a batch, about: few enough that the buffers for it stay in the processor's cache.
const BATCH_BYTES: usize = 1 << 18;

/// What plugins are told of the two builds.
#[derive(Clone, Copy)]
pub struct Sides<'a> {
    /// Types of the old and of the new build.
    pub tables: (&'a TypeTable, &'a TypeTable),
    /// What each old type is in the new build.
    pub changes: &'a TypeChanges,
}

/// The plugins of a spec for two builds.
pub struct PluginMaker<'a> {
    plugins: &'a Plugins,
    sides: Sides<'a>,
}

/// The plugins of a spec.
#[derive(Debug)]
pub struct Plugins {
    launcher: Launcher,
    commands: Vec<Command>,
    /// Started and agreed with, for the next [`Maker::make`].
    ready: Mutex<Option<Vec<Session>>>,
}

/// A plugin's program. Rules with the same one share a process.
#[derive(Debug)]
struct Command {
    path: PathBuf,
    terms: Terms,
    /// The old types that the spec gives to it, canonical.
    kinds: Vec<TypeId>,
}

impl Plugins {
    /// The plugins that `rules` refer to by their positions in `plugins`. Relative names of programs are looked up in `folder`.
    pub fn new(launcher: Launcher, (plugins, folder): (&[Plugin], &Path), rules: &Rules) -> Self {
        let mut commands: Vec<Command> = Vec::new();
        for (position, plugin) in (0u32..).zip(plugins) {
            let Some((program, arguments)) = plugin.command.split_first() else { continue };
            let path = folder.join(&program.value);
            let arguments = arguments.iter().map(|argument| argument.value.clone().into()).collect();
            let within = plugin.within.as_ref().map(|within| within.value);
            let terms = Terms { arguments, within, ..Terms::default() };
            let own = rules.plugins.iter().filter(|(_, id)| id.0 == position).map(|(kind, _)| *kind);
            match commands.iter_mut().find(|command| command.path == path && command.terms == terms) {
                Some(command) => command.kinds.extend(own),
                None => commands.push(Command { path, terms, kinds: own.collect() }),
            }
        }
        Self { launcher, commands, ready: Mutex::new(None) }
    }

    /// The plugins for two builds.
    pub fn maker<'a>(&'a self, sides: Sides<'a>) -> PluginMaker<'a> {
        PluginMaker { plugins: self, sides }
    }
}

impl PluginMaker<'_> {
    /// Starts the plugins and agrees with them on their types, unless that is done: before a stop, so that it takes none of its time.
    ///
    /// # Errors
    /// No such program, no answer, types other than those that the spec gives to it.
    pub fn prepare(&self) -> Result<(), PluginError> {
        let mut ready = self.plugins.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_none() {
            *ready = Some(self.start()?);
        }
        Ok(())
    }

    fn start(&self) -> Result<Vec<Session>, PluginError> {
        self.plugins.commands.iter().map(|command| self.start_one(command)).collect()
    }

    fn start_one(&self, command: &Command) -> Result<Session, PluginError> {
        let session = Session::start(&self.plugins.launcher, &command.path, &command.terms, self.sides.tables)?;
        let wrong = |kind: &str, problem: &'static str| PluginError::Assignment {
            name: session.name().to_owned(),
            kind: kind.to_owned(),
            problem,
        };
        for kind in session.kinds() {
            let name = &kind.layouts.old.name;
            if !command.kinds.contains(&kind.old) {
                return Err(wrong(name, "the spec does not give it to the plugin"));
            }
            if !matches!(self.sides.changes.partner(kind.old), Partner::One(new) if *new == kind.new) {
                return Err(wrong(
                    name,
                    "in the new program it is not what the plugin makes of it; `[pair.types]` says what it is",
                ));
            }
        }
        let is_known = |kind: &&TypeId| session.kinds().iter().any(|known| known.old == **kind);
        match command.kinds.iter().find(|kind| !is_known(kind)) {
            Some(kind) => {
                Err(wrong(&self.sides.tables.0.describe(Some(*kind)), "the plugin does not rewrite it, as the spec says"))
            }
            None => Ok(session),
        }
    }

    /// Has every object of `wanted` made.
    ///
    /// # Errors
    /// The first plugin that fails.
    pub fn make_all(&self, wanted: &[Wanted], memory: &dyn MemorySource) -> Result<Made, PluginError> {
        let ready = self.plugins.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        let sessions = match ready {
            Some(sessions) => sessions,
            None => self.start()?,
        };
        let mut by_kind: HashMap<TypeId, Vec<RunAddress>> = HashMap::new();
        for one in wanted {
            by_kind.entry(one.kind).or_default().push(one.address);
        }
        let mut made = Made::default();
        for session in sessions {
            self.make_with(session, &mut by_kind, memory, &mut made)?;
        }
        Ok(made)
    }

    fn make_with(
        &self,
        mut session: Session,
        by_kind: &mut HashMap<TypeId, Vec<RunAddress>>,
        memory: &dyn MemorySource,
        made: &mut Made,
    ) -> Result<(), PluginError> {
        let (mut kinds, mut blocks) = (Vec::new(), Vec::new());
        for (position, kind) in session.kinds().to_vec().into_iter().enumerate() {
            let mut addresses = by_kind.remove(&kind.old).unwrap_or_default();
            addresses.sort_unstable();
            addresses.dedup();
            let pointers = self.pointers(kind.new);
            let size = kind.layouts.new.size as usize;
            let mut one = MadeKind { size, pointers, addresses, bytes: Vec::new() };
            one.bytes.reserve_exact(size.saturating_mul(one.addresses.len()));
            run_batches(&mut session, (position, &kind), memory, &mut one, &mut blocks)?;
            kinds.push((kind.old, one));
        }
        let name = session.name().to_owned();
        // What a plugin that does not end well has made is not to be trusted.
        session.end()?;
        settle(&name, &mut kinds, &mut blocks, made.blocks_end())?;
        kinds.into_iter().for_each(|(kind, one)| made.insert(kind, one));
        blocks.into_iter().for_each(|block| made.push_block(block));
        Ok(())
    }

    fn pointers(&self, new: TypeId) -> Vec<MadePointer> {
        let found = layout::pointers(self.sides.tables.1, new).into_iter();
        let pointer = |(offset, target): (u64, Option<TypeId>)| {
            let target = target.and_then(|target| self.sides.changes.origin(target));
            Some(MadePointer { offset: usize::try_from(offset).ok()?, target })
        };
        found.filter_map(pointer).collect()
    }
}

impl Maker for PluginMaker<'_> {
    fn make(&self, wanted: &[Wanted], memory: &dyn MemorySource) -> Result<Made, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.make_all(wanted, memory)?)
    }
}

/// Has all objects of a type made, the next batch being read while the plugin works on one.
fn run_batches(
    session: &mut Session,
    (position, kind): (usize, &Kind),
    memory: &dyn MemorySource,
    made: &mut MadeKind,
    blocks: &mut Vec<MadeBlock>,
) -> Result<(), PluginError> {
    let old_size = kind.layouts.old.size;
    let total = made.addresses.len() as u64;
    let failed = |name: &str, address: RunAddress, source: SourceError| PluginError::Memory {
        name: name.to_owned(),
        kind: kind.layouts.old.name.clone(),
        address,
        source,
    };
    let mut window = Window::new(memory);
    let mut read = |addresses: &[RunAddress]| -> Result<Batch, (RunAddress, SourceError)> {
        let mut bytes = Vec::with_capacity(addresses.len().saturating_mul(old_size as usize));
        for address in addresses {
            bytes.extend_from_slice(window.read(*address, old_size.into()).map_err(|source| (*address, source))?);
        }
        let addresses = addresses.iter().map(|address| address.0).collect();
        Ok(Batch { kind: u32::try_from(position).unwrap_or(u32::MAX), total, addresses, bytes })
    };
    let mut chunks = made.addresses.chunks((BATCH_BYTES / (old_size as usize).max(1)).max(1));
    let mut next = chunks.next().map(&mut read);
    while let Some(batch) = next {
        let batch = batch.map_err(|(address, source)| failed(session.name(), address, source))?;
        next = None;
        let Rewritten { bytes, blocks: own } = session.rewrite(batch, memory, || next = chunks.next().map(&mut read))?;
        made.bytes.extend_from_slice(&bytes);
        blocks.extend(own.into_iter().map(|block| MadeBlock { bytes: block.bytes, pointers: block.pointers }));
    }
    Ok(())
}

/// Moves a plugin's new blocks, which each plugin counts from the start, behind those of others, and sees to it that no address of one
/// stands where no pointer is known, or leads nowhere.
fn settle(name: &str, kinds: &mut [(TypeId, MadeKind)], blocks: &mut [MadeBlock], base: u64) -> Result<(), PluginError> {
    let room: u64 = blocks.iter().map(|block| (block.bytes.len() as u64).next_multiple_of(16)).sum();
    let is_block = |word: u64| word.checked_sub(NEW_BLOCKS).is_some_and(|offset| offset <= room);
    let settle_one = |bytes: &mut [u8], pointers: &mut dyn Iterator<Item = usize>| -> Result<(), PluginError> {
        let mut known = 0;
        for offset in pointers {
            let Some(place) = bytes.get_mut(offset..).and_then(|rest| rest.first_chunk_mut::<8>()) else { continue };
            let word = u64::from_le_bytes(*place);
            if is_block(word) {
                known += usize::from(offset.is_multiple_of(8));
                *place = word.wrapping_add(base).to_le_bytes();
            } else if word >> 48 == NEW_BLOCKS >> 48 {
                return Err(misplaced(name, word, "an address of a new block", "one that none has"));
            }
        }
        let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let found = words.filter(|word| word.checked_sub(base).is_some_and(is_block)).count();
        if found > known {
            Err(misplaced(name, NEW_BLOCKS, "addresses of new blocks in pointers only", "others"))
        } else {
            Ok(())
        }
    };
    for (_, kind) in kinds.iter_mut() {
        let MadeKind { size, pointers, bytes, .. } = kind;
        if *size > 0 && (room > 0 || !pointers.is_empty()) {
            for object in bytes.chunks_exact_mut(*size) {
                settle_one(object, &mut pointers.iter().map(|pointer| pointer.offset))?;
            }
        }
    }
    for block in blocks {
        let MadeBlock { bytes, pointers } = block;
        settle_one(bytes, &mut pointers.iter().map(|offset| *offset as usize))?;
    }
    Ok(())
}

fn misplaced(name: &str, word: u64, expected: &str, found: &str) -> PluginError {
    let (expected, found) = (expected.to_owned(), format!("{word:#x}, {found}"));
    PluginError::Answer { name: name.to_owned(), what: "the addresses in what it made", expected, found }
}
