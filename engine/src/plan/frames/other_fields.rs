//! Functions whose code stays the same, instruction for instruction, and means other fields: what lies at a field's old place is another
//! field in the new build (PROOF 3.32). They change as much as if an instruction did.

use super::parameters::Parameters;
use super::prepared::Coded;
use super::typed::{Typed, Within};
use crate::plan::compare::functions::position;
use crate::plan::compare::sides::Side;
use crate::plan::data::change::TypeChanges;
use crate::program::address::LinkAddress;
use crate::program::code::FunctionId;
use crate::program::flow::{Escapes, Function, Graph, Values};
use crate::program::types::{Member, Shape, TypeId, TypeTable};

/// How deep structures are looked into.
const DEPTH: u32 = 16;

/// One build with its code and what is at its addresses.
pub struct Described<'c, 'a> {
    /// The build with its code.
    pub coded: Coded<'c, 'a>,
    /// Its variables and functions.
    pub side: &'c Side,
}

/// Those of `pairs`, positions of functions whose code is the same in both builds, of which an instruction reads or writes a field of a
/// type that changes in the old build, and another field in the new one. Where types do not tell what memory is, nothing is found.
pub fn other_fields(
    old: &Described<'_, '_>,
    new: &Described<'_, '_>,
    changes: &TypeChanges,
    pairs: &[(usize, usize)],
) -> Vec<usize> {
    let fields = Fields { types: (&old.coded.build.debug.types, &new.coded.build.debug.types), changes };
    if !fields.any_trades_places() {
        return Vec::new();
    }
    let differ = |(from, to): &(usize, usize)| -> bool { fields.differ((old, *from), (new, *to)).unwrap_or(false) };
    std::thread::scope(|scope| {
        let (first, second) = pairs.split_at(pairs.len() / 2);
        let find = move |pairs: &[(usize, usize)]| -> Vec<usize> {
            pairs.iter().filter(|pair| differ(pair)).map(|pair| pair.0).collect()
        };
        let other = scope.spawn(move || find(second));
        let mut found = find(first);
        found.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        found
    })
}

/// The types of both builds.
#[derive(Clone, Copy)]
struct Fields<'t> {
    types: (&'t TypeTable, &'t TypeTable),
    changes: &'t TypeChanges,
}

impl Fields<'_> {
    /// Whether any structure has a field where another one of its fields was.
    fn any_trades_places(&self) -> bool {
        self.changes.list().into_iter().any(|kind| {
            let members = self.types.0.get(kind).shape.members().unwrap_or_default();
            let partner = self.changes.successor(kind);
            partner.is_some_and(|partner| {
                members.iter().any(|member| self.is_other((kind, partner), (member.offset, member.offset), 1))
            })
        })
    }

    /// Whether two functions with the same code mean other fields; `None` where one is not understood.
    fn differ(&self, (old, from): (&Described<'_, '_>, usize), (new, to): (&Described<'_, '_>, usize)) -> Option<bool> {
        let (before, after) = (Code::read(old, from)?, Code::read(new, to)?);
        if before.graph.nodes().len() != after.graph.nodes().len() {
            return None;
        }
        let parameters = (Parameters::of(old.coded.build, before.entry), Parameters::of(new.coded.build, after.entry));
        let typed = (
            Typed { build: old.coded.build, side: old.side, parameters: parameters.0.as_ref() },
            Typed { build: new.coded.build, side: new.side, parameters: parameters.1.as_ref() },
        );
        let (mut olds, mut news) = (Values::new(before.function()), Values::new(after.function()));
        let differs = (0u32..).zip(before.graph.nodes().iter().zip(after.graph.nodes())).any(|(at, (one, other))| {
            let (one, other) = (&one.instruction, &other.instruction);
            if one.code() != other.code() || one.memory_base() == iced_x86::Register::None && !one.is_ip_rel_memory_operand() {
                return false;
            }
            if before.function().frame_operand(at, one).is_some() {
                return false;
            }
            let bytes = u64::try_from(one.memory_size().size()).unwrap_or(0).max(1);
            let places = olds.address_at(at).zip(news.address_at(at));
            let places = places.and_then(|(from, to)| typed.0.at(&olds, from).zip(typed.1.at(&news, to)));
            places.is_some_and(|places| self.other_field(places, bytes))
        });
        Some(differs)
    }

    /// Whether two places are different fields of one type that changes.
    fn other_field(&self, (old, new): (Within, Within), bytes: u64) -> bool {
        let (from, to) = (self.types.0.canonical(old.kind), self.types.1.canonical(new.kind));
        self.changes.changed(Some(from))
            && self.changes.successor(from) == Some(to)
            && self.is_other((from, to), (old.offset, new.offset), bytes)
    }

    /// Whether fields at two offsets of a type and of what it becomes are different ones: the old one is elsewhere in the new build, or the
    /// new one was elsewhere in the old. A field in the place of one that is gone may be that with another name: that is a question of data.
    fn is_other(&self, (mut old, mut new): (TypeId, TypeId), (mut from, mut to): (u64, u64), bytes: u64) -> bool {
        for _ in 0..DEPTH {
            let (Some(one), Some(other)) = (self.types.0.peel(Some(old)), self.types.1.peel(Some(new))) else { return false };
            let shapes = (&self.types.0.get(one).shape, &self.types.1.get(other).shape);
            match shapes {
                (Shape::Struct { members: a }, Shape::Struct { members: b }) => {
                    let members = (member_at(self.types.0, a, from, bytes), member_at(self.types.1, b, to, bytes));
                    let is_in = |types: &TypeTable, kind, name: &str| types.member_path(Some(kind), name).is_some();
                    let (a, b) = match members {
                        (Some(a), Some(b)) if a.name == b.name => (a, b),
                        (a, b) => {
                            let was = a.is_some_and(|a| is_in(self.types.1, other, &a.name));
                            return was || b.is_some_and(|b| is_in(self.types.0, one, &b.name));
                        }
                    };
                    let (Some(inner), Some(outer)) = (a.kind, b.kind) else { return false };
                    (old, new) = (inner, outer);
                    (from, to) = (from.wrapping_sub(a.offset), to.wrapping_sub(b.offset));
                }
                _ => return false,
            }
        }
        false
    }
}

/// The member that all of some bytes are in; none where bit-fields or several are.
fn member_at<'m>(types: &TypeTable, members: &'m [Member], offset: u64, bytes: u64) -> Option<&'m Member> {
    let mut found = members.iter().filter(|member| {
        let end = member.offset.saturating_add(types.size_of(member.kind).unwrap_or(0));
        member.bits.is_none() && member.offset <= offset && offset.saturating_add(bytes) <= end
    });
    found.next().filter(|_| found.next().is_none())
}

/// The code of one function.
struct Code {
    graph: Graph,
    escapes: Escapes,
    entry: LinkAddress,
}

impl Code {
    fn read(described: &Described<'_, '_>, function: usize) -> Option<Self> {
        let coded = &described.coded;
        let id = FunctionId(u32::try_from(function).ok()?);
        debug_assert_eq!(position(id), function);
        let graph = Graph::new(coded.image, coded.unwind, id).ok()?;
        let escapes = Escapes::new(&graph, coded.build).ok()?;
        Some(Self { graph, escapes, entry: described.side.functions.list().get(function)?.entry })
    }

    fn function(&self) -> Function<'_> {
        Function { graph: &self.graph, escapes: &self.escapes }
    }
}
