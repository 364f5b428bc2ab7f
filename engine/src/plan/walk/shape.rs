//! What a block looks like: whether its words could be those of an object of a type.

use super::problem::Nothing;
use super::regions::{Region, Regions};
use crate::plan::source::word_in;
use crate::program::types::{Shape, TypeId, TypeTable};

/// How deep structures may nest.
const DEPTH_LIMIT: usize = 32;
/// Pointers of one object, and objects of one block, that are looked at.
const POINTERS: usize = 256;
const ELEMENTS: u64 = 64;
/// Values up to here, and -1, are what programs store in pointers to mean something else.
const SENTINEL: u64 = 4096;
/// What rounding commonly adds: up to 15 bytes, and a remainder of 16 too small to be a chunk.
const ROUNDING: u64 = 32;

/// A changed type, as it shows in memory.
#[derive(Clone, Debug)]
pub(super) struct Outline {
    /// The type.
    pub(super) id: TypeId,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Its words.
    words: Words,
}

/// What the words of a type are.
#[derive(Clone, Debug, Default)]
struct Words {
    /// Offsets of all pointers, and whether they point to data: not to functions, nor to anything (`void *`).
    pointers: Vec<(u64, bool)>,
    /// Offsets of numbers of eight bytes.
    numbers: Vec<u64>,
    is_flexible: bool,
}

/// What a block's words say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Looks {
    /// Pointers that lead to memory in use.
    pub(super) sound: u64,
    /// Values in the place of pointers that can be none: the first of them, and where.
    pub(super) contradiction: Option<(u64, u64)>,
    /// Addresses of blocks or of the program in the place of numbers: the first of them, and where. Numbers do not come to be addresses
    /// by chance (PROOF 1.5).
    pub(super) misplaced: Option<(u64, u64)>,
}

impl Outline {
    /// The outline of a structure or union; `None` for what has no size.
    pub(super) fn of(types: &TypeTable, id: TypeId) -> Option<Self> {
        let size = types.size_of(Some(id)).filter(|size| *size != 0)?;
        let mut words = Words::default();
        collect(types, Some(id), 0, DEPTH_LIMIT, &mut words);
        Some(Self { id, size, words })
    }

    /// How many objects a block of this usable size could be.
    pub(super) fn fits(&self, usable: u64) -> Option<u64> {
        let count = usable / self.size;
        (count != 0 && (self.words.is_flexible || usable - count * self.size < ROUNDING)).then_some(count)
    }

    /// Bytes of such a block that belong to none of `count` objects; behind one with a flexible array they may be anything.
    pub(super) fn rest(&self, usable: u64, count: u64) -> u64 {
        if self.words.is_flexible { u64::MAX } else { usable - count * self.size }
    }

    /// Whether content can tell anything.
    pub(super) fn has_pointers(&self) -> bool {
        !self.words.pointers.is_empty()
    }

    /// What `bytes` look like as objects of this type.
    pub(super) fn looks(&self, bytes: &[u8], regions: &Regions<'_>, is_code: &dyn Fn(u64) -> bool) -> Looks {
        let mut looks = Looks::default();
        let count = if self.words.is_flexible { 1 } else { (bytes.len() as u64 / self.size).min(ELEMENTS) };
        let pointers = |number: u64| {
            self.words.pointers.iter().map(move |(offset, is_data)| ((number * self.size).saturating_add(*offset), *is_data))
        };
        for (offset, is_data) in (0..count).flat_map(pointers) {
            let Some(value) = word_in(bytes, offset as usize) else { continue };
            if value < SENTINEL || value == u64::MAX {
                continue;
            }
            match regions.find(value) {
                // No object lies in code.
                Region::Program if is_data && is_code(value) => {
                    looks.contradiction = looks.contradiction.or(Some((offset, value)))
                }
                Region::Block(..) | Region::Program | Region::Mapped => looks.sound += 1,
                // Pointers to what was freed are leftovers, and harmless.
                Region::Nothing(Nothing::FreeBlock | Nothing::Allocator | Nothing::DeadStack) => {}
                Region::Nothing(Nothing::Unmapped) | Region::Number => {
                    looks.contradiction = looks.contradiction.or(Some((offset, value)));
                }
            }
        }
        looks.misplaced = self.words.numbers.iter().find_map(|offset| {
            let value = word_in(bytes, *offset as usize)?;
            let is_address = match regions.find(value) {
                Region::Block(_, block) => block.address.0 == value,
                Region::Program => true,
                _ => false,
            };
            is_address.then_some((*offset, value))
        });
        looks
    }
}

fn collect(types: &TypeTable, id: Option<TypeId>, offset: u64, depth: usize, found: &mut Words) {
    let (Some(id), Some(depth)) = (types.peel(id), depth.checked_sub(1)) else { return };
    if found.pointers.len() + found.numbers.len() >= POINTERS {
        return;
    }
    let id = types.canonical(id);
    match &types.get(id).shape {
        Shape::Pointer { target } => {
            let is_data = types.peel(*target).is_some_and(|target| !matches!(types.get(target).shape, Shape::Function { .. }));
            found.pointers.push((offset, is_data));
        }
        Shape::Base { .. } if types.get(id).size == Some(8) => found.numbers.push(offset),
        Shape::Struct { members } => {
            for member in members.iter().filter(|member| member.bits.is_none()) {
                collect(types, member.kind, offset.saturating_add(member.offset), depth, found);
            }
        }
        Shape::Array { element, counts } => {
            if matches!(counts.first(), Some(None | Some(0))) {
                found.is_flexible = true;
                return;
            }
            let count = counts.iter().try_fold(1u64, |all, count| all.checked_mul((*count)?)).unwrap_or(0);
            let size = types.size_of(*element).unwrap_or(0);
            for number in 0..count.min(POINTERS as u64) {
                let before = found.pointers.len() + found.numbers.len();
                collect(types, *element, offset.saturating_add(number.saturating_mul(size)), depth, found);
                if found.pointers.len() + found.numbers.len() == before {
                    break;
                }
            }
        }
        // A union's words may be anything.
        _ => {}
    }
}
