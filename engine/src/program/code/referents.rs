//! Whether two addresses stand for the same thing in the old and in the new build.

use super::compare::{Comparer, Reason};
use super::functions::{FunctionId, Place};
use super::image::CodeImage;
use super::jumps::{self, Table};
use super::layout::Layout;
use super::objects::{Object, Objects};
use super::reference::{Role, Target};
use super::slots::{ImportId, Loaded};
use super::text;
use crate::program::address::LinkAddress;

/// What code does with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Calls it or jumps there.
    Branch,
    /// Takes it as a value; it may point to the end of something.
    Value,
    /// Reads or writes so many bytes there; 0 for a size that is not known.
    Access(u32),
}

/// Whether two referents are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    /// String literals of different content, at these addresses.
    OtherLiteral(u64, u64),
    Different(Reason),
}

/// The two functions in which addresses are compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Within {
    pub(super) old: FunctionId,
    pub(super) new: FunctionId,
    pub(super) have_jump_tables: bool,
    /// Code of the compiler's own start files, whose data has names but no debug information.
    pub(super) is_start_file: bool,
}

/// What two addresses are as ends of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// No end that the code could mean.
    None,
    /// Ends of the same object.
    Paired,
    /// An end of an object on one side that is none, or one of another object, on the other.
    Unpaired,
}

/// Symbols of the module's own tables (psABI; GNU ld's `__ehdr_start`).
const LINKER_SYMBOLS: [&str; 3] = ["_DYNAMIC", "_GLOBAL_OFFSET_TABLE_", "__ehdr_start"];

/// Whether a function refers to a place in `object`.
fn uses(image: &CodeImage<'_>, function: FunctionId, object: &Object) -> bool {
    let parts = image.code(function).into_iter().flat_map(|code| &code.parts);
    let mut named = parts.flat_map(|part| &part.references).filter_map(|reference| match reference.target {
        Target::Slot(slot) => match image.layout.slots.loaded(slot) {
            Loaded::Address(address) => Some(address),
            _ => None,
        },
        target => target.data(),
    });
    named.any(|address| (object.start..object.end).contains(&address))
}

/// What an address stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Referent {
    Code(Place),
    Import(ImportId, i64),
    Selected(u64),
    Null,
    Data(u64),
    Unknown,
}

impl Comparer<'_> {
    /// Compares what two references stand for.
    pub(super) fn same_target(&self, role: Role, old: Target, new: Target, within: &Within) -> Verdict {
        let usage = |target: Target| match target {
            Target::Code(_) => Use::Branch,
            Target::Memory { size, .. } => Use::Access(size),
            _ => Use::Value,
        };
        match (old, new) {
            (Target::None, Target::None) => Verdict::Same,
            // An operand in memory: the word of the offset table is an address, the variable itself is not.
            (Target::Slot(_), other) | (other, Target::Slot(_)) if role == Role::Field && !matches!(other, Target::Slot(_)) => {
                Verdict::Different(Reason::Instruction)
            }
            (Target::Thread(_) | Target::ThreadSlot(_), Target::Thread(_) | Target::ThreadSlot(_)) => {
                self.same_thread_target(old, new)
            }
            (Target::Memory { size, .. }, Target::Memory { size: other, .. }) if size != other => {
                Verdict::Different(Reason::Instruction)
            }
            _ => match (loaded(&self.old.layout, old), loaded(&self.new.layout, new)) {
                (Some(from), Some(to)) => {
                    let usage = if usage(old) == Use::Branch { Use::Branch } else { usage(new) };
                    self.same_loaded(from, to, usage, Some(within), 0)
                }
                _ => Verdict::Different(Reason::Instruction),
            },
        }
    }

    /// Compares two values that the loader stores or an instruction makes.
    pub(super) fn same_loaded(&self, old: Loaded, new: Loaded, usage: Use, within: Option<&Within>, depth: u32) -> Verdict {
        if let (Loaded::Address(from), Loaded::Address(to)) = (old, new)
            && within.is_some_and(|within| within.is_start_file)
            && self.same_label(from, to)
        {
            return Verdict::Same;
        }
        match (referent(&self.old.layout, old), referent(&self.new.layout, new)) {
            (Referent::Code(from), Referent::Code(to)) => self.same_place(from, to, within),
            (Referent::Import(from, plus), Referent::Import(to, other)) => {
                let same = plus == other && self.same_import(from, to);
                if same { Verdict::Same } else { Verdict::Different(Reason::Import) }
            }
            (Referent::Selected(from), Referent::Selected(to)) => self.same_entry(from, to),
            (Referent::Null, Referent::Null) => Verdict::Same,
            (Referent::Data(from), Referent::Data(to)) => self.same_data(from, to, usage, within, depth),
            _ => Verdict::Different(Reason::Referent),
        }
    }

    /// Places in code: equal entries, or equal offsets in the function itself.
    fn same_place(&self, old: Place, new: Place, within: Option<&Within>) -> Verdict {
        let own = within.is_some_and(|within| old.function == within.old && new.function == within.new);
        let alike = old.part == new.part && old.offset == new.offset;
        let entries = old.is_entry() && new.is_entry();
        let entry = |image: &CodeImage<'_>, place: Place| image.inventory().get(place.function).map(|f| f.entry());
        let paired = || match (entry(self.old, old), entry(self.new, new)) {
            (Some(from), Some(to)) => self.pairing.same_function(from, to),
            _ => false,
        };
        // Constants of a fixed-address program may be tables of places in a function that is looked at by itself.
        let in_table = within.is_none() && self.old.layout.fixed && self.new.layout.fixed;
        if (own && alike) || (entries && paired()) || (in_table && alike && paired()) {
            Verdict::Same
        } else {
            Verdict::Different(Reason::Callee)
        }
    }

    fn same_entry(&self, old: u64, new: u64) -> Verdict {
        if self.pairing.same_function(LinkAddress(old), LinkAddress(new)) {
            Verdict::Same
        } else {
            Verdict::Different(Reason::Callee)
        }
    }

    fn same_import(&self, old: ImportId, new: ImportId) -> bool {
        match (self.old.import(old), self.new.import(new)) {
            (Some(from), Some(to)) => from.name == to.name && from.version == to.version,
            _ => false,
        }
    }

    fn same_data(&self, old: u64, new: u64, usage: Use, within: Option<&Within>, depth: u32) -> Verdict {
        let holds = |layout: &Layout<'_>, at| layout.objects.holding(at).next().is_some();
        match (holds(&self.old.layout, old), holds(&self.new.layout, new)) {
            (true, true) => self.same_object(old, new, usage, within),
            (false, false) => self.same_unnamed(old, new, usage, within, depth),
            // The end of one object, behind which another starts in one of the builds alone.
            _ if usage == Use::Value && within.is_some() && self.ends(old, new, within) == Ends::Paired => Verdict::Same,
            _ => Verdict::Different(Reason::Variable),
        }
    }

    /// Places in named objects. The start of one may also be the end of another: see [`Self::ends`].
    fn same_object(&self, old: u64, new: u64, usage: Use, within: Option<&Within>) -> Verdict {
        let (from, to) = (&self.old.layout.objects, &self.new.layout.objects);
        let held = from.holding(old).any(|a| to.holding(new).any(|b| self.same_within(a, old, b, new)));
        if usage != Use::Value {
            return if held { Verdict::Same } else { Verdict::Different(Reason::Variable) };
        }
        // Code that meant the end in both would be paired by it. Code that came to mean the end only now has the same address for
        // it as the paired object that starts there: what the old code made and what the new code would have made agree.
        match self.ends(old, new, within) {
            Ends::Paired => Verdict::Same,
            Ends::None | Ends::Unpaired if held => Verdict::Same,
            _ => Verdict::Different(Reason::Variable),
        }
    }

    fn same_within(&self, a: &Object, old: u64, b: &Object, new: u64) -> bool {
        old.wrapping_sub(a.start) == new.wrapping_sub(b.start)
            && self.pairing.same_object(LinkAddress(a.start), LinkAddress(b.start))
    }

    /// Whether the two addresses may be meant as ends of objects, and then of the same. Code that makes an end pointer of an object also
    /// uses the object: where it does not, the address means what starts there.
    fn ends(&self, old: u64, new: u64, within: Option<&Within>) -> Ends {
        let ending = |image: &'_ CodeImage<'_>, at: u64, function: Option<FunctionId>| -> Vec<Object> {
            let used = |object: &&Object| function.is_none_or(|function| uses(image, function, object));
            image.layout.objects.ending(at).filter(used).cloned().collect()
        };
        let from = ending(self.old, old, within.map(|within| within.old));
        let to = ending(self.new, new, within.map(|within| within.new));
        match (from.is_empty(), to.is_empty()) {
            (true, true) => Ends::None,
            (false, false) if from.iter().any(|a| to.iter().any(|b| self.same_within(a, old, b, new))) => Ends::Paired,
            _ => Ends::Unpaired,
        }
    }

    /// Places that the linker itself names: tables of the module, which say the same of both builds.
    fn same_linker_symbol(&self, old: u64, new: u64) -> bool {
        let has = |objects: &Objects, at: u64, name: &str| objects.labels(at).any(|label| label == name);
        let (from, to) = (&self.old.layout.objects, &self.new.layout.objects);
        LINKER_SYMBOLS.iter().any(|name| has(from, old, name) && has(to, new, name))
    }

    fn same_label(&self, old: u64, new: u64) -> bool {
        let (from, to) = (&self.old.layout.objects, &self.new.layout.objects);
        let names = |objects: &Objects, at: u64| -> Vec<String> {
            let starting = objects.holding(at).filter(|object| object.start == at).map(|object| object.name.clone());
            starting.chain(objects.labels(at).map(str::to_owned)).collect()
        };
        let others = names(to, new);
        names(from, old).iter().any(|name| others.contains(name))
    }

    /// Data without a name: the end of an object, a constant, a string literal, a jump table.
    fn same_unnamed(&self, old: u64, new: u64, usage: Use, within: Option<&Within>, depth: u32) -> Verdict {
        if self.same_linker_symbol(old, new) {
            return Verdict::Same;
        }
        let ends = if usage == Use::Value { self.ends(old, new, within) } else { Ends::None };
        let constant = |layout: &Layout<'_>, at: u64| {
            let reach = layout.next_edge(at).saturating_sub(at);
            layout.is_constant(at, if let Use::Access(size) = usage { u64::from(size) } else { reach })
        };
        if !constant(&self.old.layout, old) || !constant(&self.new.layout, new) {
            return match ends {
                Ends::Paired => Verdict::Same,
                Ends::Unpaired => Verdict::Different(Reason::Boundary),
                Ends::None if self.before_object(old, new) => Verdict::Same,
                Ends::None => Verdict::Different(Reason::Unnamed),
            };
        }
        match usage {
            Use::Branch => Verdict::Different(Reason::Callee),
            Use::Access(0) => Verdict::Different(Reason::Constant),
            Use::Access(size) => self.same_content(old, new, u64::from(size), depth),
            Use::Value => self.same_constant(old, new, ends, within, depth),
        }
    }

    /// Whether both addresses lie in the padding before the same object, equally far from it: what is left of `array - 1` when an index
    /// that starts at 1 is folded into the address.
    fn before_object(&self, old: u64, new: u64) -> bool {
        let (from, to) = (&self.old.layout, &self.new.layout);
        let is_gap = |layout: &Layout<'_>, at: u64, end: u64| {
            layout.bytes(at, end.saturating_sub(at)).is_none_or(|bytes| bytes.iter().all(|byte| *byte == 0))
        };
        from.objects.following(old).any(|a| {
            is_gap(from, old, a.start)
                && to.objects.following(new).any(|b| is_gap(to, new, b.start) && self.same_within(a, old, b, new))
        })
    }

    /// Constants whose address is taken. One that starts where an object ends that the code uses could be that object's end: it counts
    /// only where both readings agree.
    fn same_constant(&self, old: u64, new: u64, ends: Ends, within: Option<&Within>, depth: u32) -> Verdict {
        if let Some(verdict) = within.and_then(|within| self.same_jump_table(old, new, within)) {
            return verdict;
        }
        let texts = (text::literal(&self.old.layout, old), text::literal(&self.new.layout, new));
        match (texts, ends) {
            ((Some(from), Some(to)), _) if from == to => Verdict::Same,
            ((Some(_), Some(_)), Ends::None) => Verdict::OtherLiteral(old, new),
            (_, Ends::Paired) => Verdict::Same,
            (_, Ends::Unpaired) => Verdict::Different(Reason::Boundary),
            ((None, None), Ends::None) => match self.same_unsized(old, new, depth) {
                Verdict::Different(_) if self.before_object(old, new) => Verdict::Same,
                verdict => verdict,
            },
            _ => Verdict::Different(Reason::Constant),
        }
    }

    /// Tables of jumps inside the two functions; `None` where neither address is one.
    fn same_jump_table(&self, old: u64, new: u64, within: &Within) -> Option<Verdict> {
        if !within.have_jump_tables {
            return None;
        }
        let old = Table { layout: &self.old.layout, function: within.old, address: old };
        let new = Table { layout: &self.new.layout, function: within.new, address: new };
        match (old.width(), new.width()) {
            (None, None) => None,
            (Some(width), Some(other)) if width == other && jumps::same_tables(old, new, width) => Some(Verdict::Same),
            _ => Some(Verdict::Different(Reason::JumpTable)),
        }
    }

    fn same_thread_target(&self, old: Target, new: Target) -> Verdict {
        let (from, to) = (thread_place(&self.old.layout, old), thread_place(&self.new.layout, new));
        let same = match (from, to) {
            (Some(ThreadPlace::Own(start, offset)), Some(ThreadPlace::Own(other, into))) => {
                offset == into && self.pairing.same_thread_local(start, other)
            }
            (Some(ThreadPlace::Import(from)), Some(ThreadPlace::Import(to))) => self.same_import(from, to),
            _ => false,
        };
        if same { Verdict::Same } else { Verdict::Different(Reason::ThreadLocal) }
    }
}

/// A place in thread-local memory.
enum ThreadPlace {
    /// A variable by its start in the TLS block, and an offset in it.
    Own(u64, u64),
    Import(ImportId),
}

fn thread_place(layout: &Layout<'_>, target: Target) -> Option<ThreadPlace> {
    let offset = match target {
        Target::Thread(from_pointer) => layout.thread_offset(from_pointer)?,
        Target::ThreadSlot(slot) => match layout.slots.loaded(slot) {
            Loaded::ThreadOffset(offset) => offset,
            Loaded::ImportedThreadOffset(import) => return Some(ThreadPlace::Import(import)),
            _ => return None,
        },
        _ => return None,
    };
    let (start, _) = layout.objects.thread_local(offset)?;
    Some(ThreadPlace::Own(start, offset - start))
}

fn loaded(layout: &Layout<'_>, target: Target) -> Option<Loaded> {
    match target {
        Target::Code(address) | Target::Address(address) | Target::Memory { address, .. } => Some(Loaded::Address(address)),
        Target::Slot(slot) => Some(layout.slots.loaded(slot)),
        Target::None | Target::Thread(_) | Target::ThreadSlot(_) => None,
    }
}

/// What a value stands for; stubs are followed to what they call.
fn referent(layout: &Layout<'_>, loaded: Loaded) -> Referent {
    let address = match loaded {
        Loaded::Address(address) => match layout.slots.stub(address).map(|slot| layout.slots.loaded(slot)) {
            Some(Loaded::Address(address)) => address,
            Some(Loaded::Import(import, plus)) => return Referent::Import(import, plus),
            Some(Loaded::Selected(selector)) => return Referent::Selected(selector),
            Some(_) => return Referent::Unknown,
            None => address,
        },
        Loaded::Import(import, plus) => return Referent::Import(import, plus),
        Loaded::Selected(selector) => return Referent::Selected(selector),
        Loaded::Null => return Referent::Null,
        Loaded::ThreadOffset(_) | Loaded::ImportedThreadOffset(_) | Loaded::Unknown => return Referent::Unknown,
    };
    if let Some(place) = layout.inventory.at(LinkAddress(address)) {
        return Referent::Code(place);
    }
    match layout.slots.copied(address) {
        Some((import, offset)) => Referent::Import(import, offset as i64),
        None => Referent::Data(address),
    }
}
