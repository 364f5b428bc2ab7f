//! Variables of every frame as roots, where they are at the frame's place.

use dsu_formats::address::RunAddress;

use super::Scene;
use super::items::{Item, ROOT, Strength};
use super::kinds::{Layout, What};
use super::problem::Problem;
use super::queue::{Walker, Word};
use super::roots::elements;
use crate::program::unwind;
use crate::program::variables::{Frame, Local, Piece, Source, Variables};

/// The frames of one thread, as unwinding found them.
#[derive(Clone, Copy, Debug)]
pub struct ThreadStack<'a> {
    /// Thread.
    pub tid: i32,
    /// Its frames; the program is module 0.
    pub frames: &'a [unwind::Frame],
}

/// Follows what the variables of all frames hold. Those that hold objects of types that are walked join `roots`.
pub(super) fn add(walker: &mut Walker<'_>, scene: &Scene<'_>, roots: &mut Vec<Item>) {
    let mut variables = Variables::new(scene.build);
    for stack in scene.stacks {
        for frame in stack.frames {
            let Some((0, link)) = frame.module else { continue };
            match variables.at(link) {
                Ok(locals) => {
                    for local in &locals {
                        follow(walker, scene, &variables, local, frame, stack.tid, roots);
                    }
                }
                Err(source) => walker.problem(Problem::Frame { tid: stack.tid, place: frame.pc, reason: source.to_string() }),
            }
        }
    }
}

fn follow(
    walker: &mut Walker<'_>,
    scene: &Scene<'_>,
    variables: &Variables<'_>,
    local: &Local<'_>,
    frame: &unwind::Frame,
    tid: i32,
    roots: &mut Vec<Item>,
) {
    let Some(id) = local.kind else { return };
    let Some(layout) = walker.kinds.of(Some(id)).and_then(|kind| walker.kinds.layout(kind)) else { return };
    let (element, count) = elements(walker.kinds.types, id);
    let element = walker.kinds.of(element);
    let changed = element.and_then(|kind| walker.kinds.get(kind)).is_some_and(|layout| layout.changed);
    if layout.size == 0 || (layout.parts.is_empty() && !changed) {
        return;
    }
    let mut word = |address: RunAddress| walker.pieces.word(address.0);
    let mut place = Frame { registers: &frame.registers, cfa: frame.cfa, bias: scene.bias, word: &mut word };
    let pieces = variables.locate(local, &mut place);
    let via = ROOT | walker.roots.len() as u64;
    walker.roots.push(name(scene, local, frame, tid));
    if let [Piece { bits: None, source: Source::Memory(address) }] = pieces.as_slice() {
        walker.object(&layout, address.0, via, Strength::Local);
        if let (Some(kind), Ok(count)) = (element, u32::try_from(count)) {
            roots.push(Item { address: address.0, via, kind, count, most: count, counted: false, strength: Strength::Local });
        }
        return;
    }
    let is_known = pieces.iter().any(|piece| piece.source != Source::Unknown);
    if changed && is_known {
        let path = walker.path(via);
        walker.problem(Problem::InRegisters { path, kind: walker.kinds.types.describe(Some(id)) });
    }
    values(walker, &layout, &pieces, via);
}

/// Follows the pointers of a variable that is in registers, or in several places.
fn values(walker: &mut Walker<'_>, layout: &Layout, pieces: &[Piece], via: u64) {
    for part in &layout.parts {
        let What::Pointer(target) = &part.what else { continue };
        let mut at = 0;
        for piece in pieces {
            let length = piece.bits.map_or(layout.size, |bits| bits / 8);
            let whole = at <= part.offset && part.offset.saturating_add(8) <= at.saturating_add(length);
            let skip = part.offset.saturating_sub(at);
            at = at.saturating_add(length);
            if !whole {
                continue;
            }
            let slot = piece.source.slot().map(|address| address.0.wrapping_add(skip));
            let value = match piece.source {
                Source::Register(register) if skip == 0 => Some(register.value),
                Source::Value(value) if skip == 0 => Some(value),
                Source::Memory(address) => walker.pieces.word(address.0.wrapping_add(skip)),
                _ => None,
            };
            if let Some(value) = value {
                walker.pointer(target, Word { site: slot.unwrap_or(0), value, via, strength: Strength::Local }, None);
            }
        }
    }
}

fn name(scene: &Scene<'_>, local: &Local<'_>, frame: &unwind::Frame, tid: i32) -> String {
    let function = frame.module.and_then(|(_, link)| scene.build.function_at(link)).map(|function| function.name.as_str());
    let function = local.inlined.as_deref().or(function).unwrap_or_default();
    format!("{} in {function} of thread {tid}", local.name)
}
