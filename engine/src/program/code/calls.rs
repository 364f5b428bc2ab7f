//! Who calls whom, and what tail calls leave out of a stack.

use std::collections::{BTreeMap, BTreeSet};

use super::functions::FunctionId;
use super::image::CodeImage;
use super::reference::Callee;
use super::slots::ImportId;

/// Calls of a whole build.
#[derive(Debug)]
pub struct CallGraph {
    calls: Vec<BTreeSet<Callee>>,
    tails: Vec<BTreeSet<Callee>>,
    /// Functions that tail-call a function, by that function.
    tail_callers: BTreeMap<FunctionId, BTreeSet<FunctionId>>,
    taken: BTreeSet<FunctionId>,
}

/// How a call can have led to a frame of a function that it does not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailPath {
    /// The call names the frame's function.
    Direct,
    /// Through tail calls: these functions may have been active and left no frame; the one that is called is among them.
    Through(BTreeSet<FunctionId>),
    /// The call, or a tail call on the way, goes through a pointer: besides these any function whose address is taken may have run.
    Pointer(BTreeSet<FunctionId>),
    /// The call leaves the object: whatever it names calls back.
    External,
    /// No known tail call leads there.
    None,
}

/// Everything that can run when some functions are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// Functions of this build, the roots included.
    pub functions: BTreeSet<FunctionId>,
    /// Functions of other objects.
    pub imports: BTreeSet<ImportId>,
    /// Whether something is called through a pointer, or cannot be told.
    pub is_open: bool,
}

impl CallGraph {
    /// The call graph of a build.
    pub fn new(image: &CodeImage<'_>) -> Self {
        let select = |tail: bool| -> Vec<BTreeSet<Callee>> {
            let functions = image.inventory().iter().map(|(id, _)| image.calls(id));
            functions.map(|calls| calls.iter().filter(|call| call.is_tail == tail).map(|call| call.callee).collect()).collect()
        };
        let tails = select(true);
        let mut tail_callers: BTreeMap<FunctionId, BTreeSet<FunctionId>> = BTreeMap::new();
        for (index, callees) in tails.iter().enumerate() {
            for callee in callees {
                if let Callee::Function(to) = callee {
                    tail_callers.entry(*to).or_default().insert(FunctionId(index as u32));
                }
            }
        }
        Self { calls: select(false), tails, tail_callers, taken: image.address_taken(true) }
    }

    /// Functions whose address is a value somewhere, or that other modules can name.
    pub fn taken(&self) -> &BTreeSet<FunctionId> {
        &self.taken
    }

    /// Functions that tail-call `function` directly.
    pub fn tail_callers(&self, function: FunctionId) -> impl Iterator<Item = FunctionId> {
        self.tail_callers.get(&function).into_iter().flatten().copied()
    }

    /// Positions of the functions that call one of those at these positions, and come back.
    pub fn callers<'c>(&'c self, functions: &'c std::collections::HashSet<usize>) -> impl Iterator<Item = usize> + 'c {
        let is_one = |callee: &Callee| matches!(callee, Callee::Function(to) if functions.contains(&(to.0 as usize)));
        self.calls.iter().enumerate().filter(move |(_, callees)| callees.iter().any(is_one)).map(|(index, _)| index)
    }

    /// Whether a frame of `function` was certainly entered by the call that its caller waits in, if that names it: no tail call from it
    /// leads to it again.
    pub fn is_entered_once(&self, function: FunctionId) -> bool {
        let after = self.reached(function);
        let again = self.tail_callers(function).any(|caller| after.contains(&caller));
        let by_pointer = self.reaching(function).iter().any(|id| self.taken.contains(id));
        let goes_out = after.iter().any(|id| self.tails_through_pointer(*id) || self.leaves(*id));
        !(again || by_pointer && goes_out)
    }

    /// How a call of `called` can have led to a frame of `frame` right above the caller's. Functions in the answer count as active.
    pub fn tail_path(&self, called: Callee, frame: FunctionId) -> TailPath {
        let before = self.reaching(frame);
        match called {
            Callee::Function(function) if function == frame => TailPath::Direct,
            Callee::Function(function) => {
                let after = self.reached(function);
                let between: BTreeSet<_> = after.intersection(&before).copied().filter(|id| *id != frame).collect();
                if before.contains(&function) {
                    TailPath::Through(between)
                } else if after.iter().any(|id| self.tails_through_pointer(*id)) {
                    TailPath::Pointer(after.union(&self.entered_by_pointer(&before, frame)).copied().collect())
                } else if after.iter().any(|id| self.leaves(*id)) {
                    TailPath::External
                } else {
                    TailPath::None
                }
            }
            Callee::Indirect => match (self.entered_by_pointer(&before, frame), self.taken.contains(&frame)) {
                (between, true) if between.is_empty() => TailPath::Direct,
                (between, false) if between.is_empty() => TailPath::None,
                (between, _) => TailPath::Pointer(between),
            },
            Callee::Import(_) | Callee::Selected(_) => TailPath::External,
            Callee::Unknown(_) => TailPath::None,
        }
    }

    /// Everything that calling `roots` can run.
    pub fn closure(&self, roots: impl IntoIterator<Item = FunctionId>) -> Closure {
        let mut closure = Closure::default();
        let mut open: Vec<FunctionId> = roots.into_iter().collect();
        while let Some(id) = open.pop() {
            if !closure.functions.insert(id) {
                continue;
            }
            let of = |edges: &[BTreeSet<Callee>]| edges.get(id.0 as usize).cloned().unwrap_or_default();
            for callee in of(&self.calls).into_iter().chain(of(&self.tails)) {
                match callee {
                    Callee::Function(function) => open.push(function),
                    Callee::Import(import) => {
                        closure.imports.insert(import);
                    }
                    Callee::Selected(_) | Callee::Indirect | Callee::Unknown(_) => closure.is_open = true,
                }
            }
        }
        closure
    }

    /// Functions from which tail calls lead to `function`, itself included.
    fn reaching(&self, function: FunctionId) -> BTreeSet<FunctionId> {
        spread(function, |id| self.tail_callers(id).collect())
    }

    /// Functions to which tail calls lead from `function`, itself included.
    fn reached(&self, function: FunctionId) -> BTreeSet<FunctionId> {
        spread(function, |id| {
            let callees = self.tails.get(id.0 as usize).into_iter().flatten();
            callees.filter_map(|callee| if let Callee::Function(to) = callee { Some(*to) } else { None }).collect()
        })
    }

    /// Of the functions that lead to `frame`, those that lie behind one whose address is taken.
    fn entered_by_pointer(&self, before: &BTreeSet<FunctionId>, frame: FunctionId) -> BTreeSet<FunctionId> {
        let entries = before.iter().filter(|id| self.taken.contains(id));
        let behind: BTreeSet<_> = entries.flat_map(|id| self.reached(*id)).collect();
        behind.intersection(before).copied().filter(|id| *id != frame).collect()
    }

    fn tails_through_pointer(&self, id: FunctionId) -> bool {
        self.tails_to(id, |callee| matches!(callee, Callee::Indirect | Callee::Unknown(_)))
    }

    fn leaves(&self, id: FunctionId) -> bool {
        self.tails_to(id, |callee| matches!(callee, Callee::Import(_) | Callee::Selected(_)))
    }

    fn tails_to(&self, id: FunctionId, wanted: impl Fn(&Callee) -> bool) -> bool {
        self.tails.get(id.0 as usize).is_some_and(|callees| callees.iter().any(wanted))
    }
}

fn spread(from: FunctionId, next: impl Fn(FunctionId) -> Vec<FunctionId>) -> BTreeSet<FunctionId> {
    let mut found = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        for next in next(id) {
            if found.insert(next) {
                open.push(next);
            }
        }
    }
    found
}
