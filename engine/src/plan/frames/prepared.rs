//! What is known of the code of changed functions, made before the stop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use iced_x86::OpKind;

use super::between::Aligned;
use super::blocker::FrameBlocker;
use super::continuation::Continuation;
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
    /// Continuations that were asked for.
    known: Mutex<HashMap<Asked, Known>>,
    /// The same for those that rules of the user's are about.
    about: Mutex<HashMap<(Asked, Vec<usize>), Known>>,
    /// How functions run along their partners, by their positions in the old build.
    aligned: Mutex<HashMap<usize, Arc<Aligned>>>,
}

/// A function of the old build, an address in it, and whether that is a next instruction rather than where a call comes back to.
type Asked = (usize, LinkAddress, bool);

/// How a frame goes on, or all that is not proved.
type Known = Result<Arc<Continuation>, Vec<FrameBlocker>>;

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
pub struct Coded<'c, 'a> {
    /// The build.
    pub build: &'a Build,
    /// Its code.
    pub image: &'c CodeImage<'a>,
    /// How to unwind it.
    pub unwind: &'c UnwindIndex,
}

impl Prepared {
    /// Follows the functions at these positions of the old and of the new build.
    pub fn new(old: &Coded<'_, '_>, olds: &[usize], new: &Coded<'_, '_>, news: &[usize]) -> Self {
        let follow = |coded: &Coded<'_, '_>, functions: &[usize]| -> HashMap<usize, Result<Facts, Unclear>> {
            functions.iter().map(|function| (*function, Facts::new(coded, *function))).collect()
        };
        std::thread::scope(|scope| {
            let from = scope.spawn(|| follow(old, olds));
            let new = follow(new, news);
            let old = from.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Self { old, new, known: Mutex::default(), about: Mutex::default(), aligned: Mutex::default() }
        })
    }

    /// What was found out before about a frame and rules of the user's, else what `find` says.
    pub(super) fn remembered_about(&self, asked: (Asked, Vec<usize>), find: impl FnOnce() -> Known) -> Known {
        if let Some(known) = self.about.lock().unwrap_or_else(PoisonError::into_inner).get(&asked) {
            return known.clone();
        }
        let found = find();
        self.about.lock().unwrap_or_else(PoisonError::into_inner).insert(asked, found.clone());
        found
    }

    /// What was found out before about a frame, else what `find` says.
    pub(super) fn remembered(&self, place: Asked, find: impl FnOnce() -> Known) -> Known {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return known.clone();
        }
        let found = find();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(place, found.clone());
        found
    }

    /// How a function runs along its partner; found once.
    pub(super) fn aligned(&self, function: usize, find: impl FnOnce() -> Arc<Aligned>) -> Arc<Aligned> {
        let mut aligned = self.aligned.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(aligned.entry(function).or_insert_with(find))
    }

    /// A changed function of the old build.
    pub(super) fn old(&self, function: usize) -> Result<&Facts, Unclear> {
        find(&self.old, function)
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

/// Bytes of the frame that a function stores to and that only it uses.
fn slots(graph: &Graph, escapes: &Escapes) -> Vec<(i64, u8)> {
    let function = Function { graph, escapes };
    let mut found: Vec<(i64, u8)> = Vec::new();
    for (at, node) in (0u32..).zip(graph.nodes()) {
        let instruction = &node.instruction;
        if instruction.op0_kind() == OpKind::Memory
            && may_store(instruction)
            && let Some((offset, bytes)) = function.frame_operand(at, instruction)
            && let Ok(bytes) = u8::try_from(bytes)
            && !escapes.is_computed(offset, i64::from(bytes))
        {
            found.push((offset, bytes));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}
