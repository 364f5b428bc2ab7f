//! What is known of the code of changed functions, made before the stop.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iced_x86::{Mnemonic, OpKind};

use super::between::Aligned;
use super::blocker::FrameBlocker;
use super::continuation::Continuation;
use super::said::Inner;
use crate::plan::compare::functions::position;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::code::{CodeImage, FunctionId};
use crate::program::flow::{Dominators, Escapes, Function, Graph, Live, Liveness, Unclear, may_store};
use crate::program::unwind::UnwindIndex;

/// The code of changed functions on both sides.
#[derive(Debug, Default)]
pub struct Prepared {
    old: HashMap<usize, Result<Facts, Unclear>>,
    new: HashMap<usize, Result<Facts, Unclear>>,
    /// Unchanged functions of the old build that call changed ones.
    callers: HashMap<usize, Result<Facts, Unclear>>,
    /// Continuations that were asked for.
    memory: Mutex<Remembered>,
    /// The same for those that rules of the user's are about.
    about: Mutex<HashMap<ToldKey, Known>>,
    /// How functions run along their partners, by their positions in both builds.
    aligned: Mutex<HashMap<(usize, usize), Arc<Aligned>>>,
    /// How often nothing was found ahead of places in functions of the old build.
    barren: Mutex<HashMap<usize, u32>>,
}

/// A frame of the old program: the position of its function, an address in it, and whether that is the next instruction rather than where
/// the call under way returns to.
pub(super) type FrameKey = (usize, LinkAddress, bool);

/// The same with the rules of the user's about it, by their positions, and frames further in.
pub(super) type ToldKey = (FrameKey, Vec<usize>, Vec<Inner>);

/// How a frame goes on, or all that is not proved.
pub(super) type Known = Result<Arc<Continuation>, Vec<FrameBlocker>>;

/// What was asked about frames.
#[derive(Debug, Default)]
struct Remembered {
    known: HashMap<FrameKey, Known>,
    /// Frames that were asked about and are to be followed later; `None` while each is followed at once.
    deferred: Option<BTreeSet<FrameKey>>,
}

/// What is known of one function's code.
#[derive(Debug)]
pub struct Facts {
    pub(super) graph: Graph,
    pub(super) escapes: Escapes,
    pub(super) dominators: Dominators,
    liveness: Liveness,
    /// Bytes of the frame that it stores to, as (offset, length).
    slots: Vec<(i64, u8)>,
}

/// One build with its code.
#[derive(Clone, Copy)]
pub struct Coded<'c, 'a> {
    /// The build.
    pub build: &'a Build,
    /// Its code.
    pub image: &'c CodeImage<'a>,
    /// How to unwind it.
    pub unwind: &'c UnwindIndex,
}

impl<'c, 'a> Coded<'c, 'a> {
    /// A build with its code, and how to unwind it.
    pub fn new((build, image): (&'a Build, &'c CodeImage<'a>), unwind: &'c UnwindIndex) -> Self {
        Self { build, image, unwind }
    }
}

impl Prepared {
    /// Follows the functions at these positions of the old and of the new build, and those of the old one that call them.
    pub fn new(old: &Coded<'_, '_>, (olds, callers): (&[usize], &[usize]), new: &Coded<'_, '_>, news: &[usize]) -> Self {
        let follow = |coded: &Coded<'_, '_>, functions: &[usize]| -> HashMap<usize, Result<Facts, Unclear>> {
            functions.iter().map(|function| (*function, Facts::new(coded, *function))).collect()
        };
        std::thread::scope(|scope| {
            let from = scope.spawn(|| follow(old, olds));
            let new = follow(new, news);
            let callers = follow(old, callers);
            let old = from.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let (memory, about) = (Mutex::default(), Mutex::default());
            Self { old, new, callers, memory, about, aligned: Mutex::default(), barren: Mutex::default() }
        })
    }

    /// What was found out before about a frame and rules of the user's, else what `find` says.
    pub(super) fn remembered_about(&self, asked: ToldKey, find: impl FnOnce() -> Known) -> Known {
        if let Some(known) = self.about.lock().unwrap_or_else(PoisonError::into_inner).get(&asked) {
            return known.clone();
        }
        let found = find();
        self.about.lock().unwrap_or_else(PoisonError::into_inner).insert(asked, found.clone());
        found
    }

    /// What was found out before about a frame, else what `find` says. While frames are deferred, those that nothing is known of are noted,
    /// and nothing is told of them.
    pub(super) fn remembered(&self, place: FrameKey, find: impl FnOnce() -> Known) -> Known {
        {
            let mut memory = self.memory();
            if let Some(known) = memory.known.get(&place) {
                return known.clone();
            }
            if let Some(deferred) = &mut memory.deferred {
                deferred.insert(place);
                return Err(Vec::new());
            }
        }
        let found = find();
        self.remember(place, found.clone());
        found
    }

    /// How a function runs along its partner; found once.
    pub(super) fn aligned(&self, function: (usize, usize), find: impl FnOnce() -> Arc<Aligned>) -> Arc<Aligned> {
        let mut aligned = self.aligned.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(aligned.entry(function).or_insert_with(find))
    }

    /// Whether frames that nothing is known of are noted rather than followed. To follow one can take seconds.
    pub fn defer(&self, deferring: bool) {
        self.memory().deferred = deferring.then(BTreeSet::new);
    }

    /// The frames that were noted.
    pub(super) fn take_deferred(&self) -> BTreeSet<FrameKey> {
        self.memory().deferred.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether frames that nothing is known of are noted, from now on if they were not; gives whether they were.
    pub fn defer_more(&self) -> bool {
        let mut memory = self.memory();
        let was = memory.deferred.is_some();
        memory.deferred.get_or_insert_default();
        was
    }

    /// Whether it is known how a frame goes on whose thread is about to run the instruction at an address.
    pub fn is_point(&self, function: usize, address: LinkAddress) -> bool {
        self.memory().known.get(&(function, address, true)).is_some_and(Result::is_ok)
    }

    /// How often nothing was found ahead of places in a function; once more if `found_nothing`.
    pub(super) fn barren(&self, function: usize, found_nothing: bool) -> u32 {
        let mut barren = self.barren.lock().unwrap_or_else(PoisonError::into_inner);
        let times = barren.entry(function).or_default();
        *times += u32::from(found_nothing);
        *times
    }

    /// Whether something is known of a frame.
    pub(super) fn is_known(&self, place: FrameKey) -> bool {
        self.memory().known.contains_key(&place)
    }

    pub(super) fn remember(&self, place: FrameKey, known: Known) {
        self.memory().known.insert(place, known);
    }

    /// How all frames go on of which that is known, in a fixed order.
    pub(super) fn found(&self) -> Vec<(FrameKey, Arc<Continuation>)> {
        let memory = self.memory();
        let mut found: Vec<(FrameKey, Arc<Continuation>)> =
            memory.known.iter().filter_map(|(key, known)| Some((*key, Arc::clone(known.as_ref().ok()?)))).collect();
        found.sort_by_key(|(key, _)| *key);
        found
    }

    /// What a thread that panicked left there is whole: entries are added in one piece.
    fn memory(&self) -> MutexGuard<'_, Remembered> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A changed function of the old build.
    pub(super) fn old(&self, function: usize) -> Result<&Facts, Unclear> {
        find(&self.old, function)
    }

    /// A function of the old build that calls a changed one.
    pub(super) fn caller(&self, function: usize) -> Result<&Facts, Unclear> {
        self.old(function).or_else(|_| find(&self.callers, function))
    }

    /// A changed function of the new build.
    pub(super) fn new_function(&self, function: usize) -> Result<&Facts, Unclear> {
        find(&self.new, function)
    }
}

fn find(facts: &HashMap<usize, Result<Facts, Unclear>>, function: usize) -> Result<&Facts, Unclear> {
    const UNKNOWN: Unclear = Unclear { at: LinkAddress(0), what: "its code was not looked at" };
    match facts.get(&function) {
        Some(Ok(facts)) => Ok(facts),
        Some(Err(unclear)) => Err(unclear.clone()),
        None => Err(UNKNOWN),
    }
}

impl Facts {
    fn new(coded: &Coded<'_, '_>, function: usize) -> Result<Self, Unclear> {
        let id = FunctionId(u32::try_from(function).unwrap_or(u32::MAX));
        debug_assert_eq!(position(id), function);
        let graph = Graph::new(coded.image, coded.unwind, id)?;
        let escapes = Escapes::new(&graph, coded.build)?;
        let dominators = Dominators::new(&graph);
        let liveness = Liveness::new(&graph, &escapes)?;
        let slots = slots(&graph, &escapes);
        Ok(Self { graph, escapes, dominators, liveness, slots })
    }

    /// What values are found in.
    pub(super) fn function(&self) -> Function<'_> {
        Function { graph: &self.graph, escapes: &self.escapes }
    }

    /// What is read behind the call that returns to `next` before it is written.
    pub(super) fn live_behind(&self, next: LinkAddress) -> Result<Vec<Live>, Unclear> {
        self.liveness.after_call(next)
    }

    /// What is read from a node on before it is written.
    pub(super) fn live_at(&self, node: u32) -> Vec<Live> {
        self.liveness.at(node)
    }

    /// The node of the call that returns to an address; with `between`, of the instruction there, if control comes to it.
    pub(super) fn point(&self, address: LinkAddress, between: bool) -> Option<u32> {
        match between {
            true => self.graph.at(address).filter(|node| self.dominators.is_reached(*node)),
            false => self.graph.call_before(address),
        }
    }

    /// Bytes of the frame that the function stores to.
    pub(super) fn slots(&self) -> impl Iterator<Item = (i64, u8)> {
        self.slots.iter().copied()
    }
}

/// Bytes of the frame that a function stores to and that only it uses, and arguments on the stack that it reads: a caller gives what is
/// read. Wide ones in words.
fn slots(graph: &Graph, escapes: &Escapes) -> Vec<(i64, u8)> {
    let function = Function { graph, escapes };
    let mut found: Vec<(i64, u8)> = Vec::new();
    for (at, node) in (0u32..).zip(graph.nodes()) {
        let instruction = &node.instruction;
        let stores = instruction.op0_kind() == OpKind::Memory && may_store(instruction);
        let has_memory = || instruction.op_kinds().any(|kind| kind == OpKind::Memory) && instruction.mnemonic() != Mnemonic::Lea;
        if (stores || has_memory())
            && let Some((offset, bytes)) = function.frame_operand(at, instruction)
            && (stores || offset >= 0)
            && let Ok(bytes) = u8::try_from(bytes)
            && !escapes.is_computed(offset, i64::from(bytes))
        {
            let words = if bytes > 8 && bytes.is_multiple_of(8) { bytes / 8 } else { 1 };
            found.extend((0..words).map(|word| (offset.saturating_add(8 * i64::from(word)), bytes / words)));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}
