//! Where the walk starts: the program's variables and each thread's own.

use std::collections::HashMap;

use super::Scene;
use super::found::TypedSpan;
use super::interest::{KernelWords, Pointee};
use super::items::{Item, ROOT, Strength};
use super::kinds::{Target, Within};
use super::queue::{Walker, Word};
use super::regions::Region;
use crate::plan::heap::BlockIndex;
use crate::plan::kernel_words;
use crate::plan::tls::block_offset;
use crate::program::dwarf::Storage;
use crate::program::types::{Shape, TypeId, TypeTable};

/// Follows what all variables hold. Gives those that hold objects of types that are walked.
pub(super) fn add(walker: &mut Walker<'_>, scene: &Scene<'_>) -> Vec<Item> {
    let mut roots = Vec::new();
    for global in walker.globals.list().to_vec() {
        if let Some(kind) = global.kind {
            let name = scene.build.debug.variables.get(global.position as usize).map_or("", |variable| variable.name.as_str());
            variable(walker, global.position, kind, global.address, name, &mut roots);
        }
    }
    let Some(tls) = scene.build.elf.tls() else { return roots };
    let offset = block_offset(tls);
    for thread in &scene.snapshot.threads {
        let start = thread.registers.fs_base.wrapping_sub(offset);
        for (position, variable_) in (0u32..).zip(&scene.build.debug.variables) {
            if let (Storage::ThreadLocal(skip), Some(kind)) = (variable_.storage, variable_.kind) {
                let name = format!("{} of thread {}", variable_.name, thread.tid);
                variable(walker, position, kind, start.wrapping_add(skip), &name, &mut roots);
            }
        }
    }
    roots
}

/// The variables themselves, at fixed addresses and of each thread.
pub(super) fn spans(scene: &Scene<'_>) -> Vec<TypedSpan> {
    let types = &scene.build.debug.types;
    let threads = &scene.snapshot.threads;
    let offset = scene.build.elf.tls().map_or(0, block_offset);
    let mut spans = Vec::new();
    for variable in &scene.build.debug.variables {
        let Some((kind, size)) = variable.kind.and_then(|kind| Some((kind, types.size_of(Some(kind))?))) else { continue };
        let mut add = |start: u64| {
            let end = start.saturating_add(size);
            spans.push(TypedSpan { start, end, size, kind, strength: Strength::Solid as u8 });
        };
        match variable.storage {
            Storage::Static(address) => add(scene.bias.wrapping_add(address.0)),
            Storage::ThreadLocal(skip) => {
                let starts = threads.iter().map(|thread| thread.registers.fs_base.wrapping_sub(offset).wrapping_add(skip));
                starts.for_each(add);
            }
            Storage::None => {}
        }
    }
    spans
}

/// Follows what the kernel gives back to the program, where the user said what that is. Comes after all variables: what they lead to has
/// its type from there.
pub(super) fn add_kernel_words(walker: &mut Walker<'_>, scene: &Scene<'_>, typed: &HashMap<BlockIndex, TypeId>) {
    for (words, list) in [
        (KernelWords::Epoll, kernel_words::epoll_data(scene.snapshot)),
        (KernelWords::Signals, kernel_words::signal_values(scene.snapshot)),
    ] {
        let (id, within) = match walker.interest.kernel_words(words) {
            Some(Pointee::Type(id)) => (id, None),
            Some(Pointee::Within { kind, back }) => (kind, Some(Within { back, declared: None })),
            Some(Pointee::Opaque | Pointee::ByTag { .. }) | None => continue,
        };
        let Some(kind) = walker.kinds.of(Some(id)).filter(|kind| walker.kinds.is_interesting(*kind)) else { continue };
        let target = Target { kind, within, length: None };
        for (name, value) in list {
            let address = value.wrapping_sub(within.map_or(0, |within| within.back));
            let Region::Block(index, _) = walker.regions.find(address) else { continue };
            let known = walker.items.of_block(index).copied();
            let is_other = typed.get(&index).is_some_and(|other| *other != id);
            if is_other || known.is_some_and(|known| walker.covers(&known, address)) {
                continue;
            }
            let via = ROOT | walker.roots.len() as u64;
            walker.roots.push(name);
            walker.pointer(&target, Word { site: 0, value, via, strength: Strength::Solid }, None);
        }
    }
}

/// Follows what one variable holds.
fn variable(walker: &mut Walker<'_>, position: u32, kind: TypeId, address: u64, name: &str, roots: &mut Vec<Item>) {
    let layout = walker.kinds.variable(position, kind);
    if layout.size == 0 || (layout.parts.is_empty() && !layout.changed && !walker_walks(walker, kind)) {
        return;
    }
    let via = ROOT | walker.roots.len() as u64;
    walker.roots.push(name.to_owned());
    walker.object(&layout, address, via, Strength::Solid);
    let (element, count) = elements(walker.kinds.types, kind);
    if let (Some(kind), Ok(count)) = (walker.kinds.of(element), u32::try_from(count)) {
        roots.push(Item { address, via, kind, count, most: count, counted: false, strength: Strength::Solid });
    }
}

fn walker_walks(walker: &mut Walker<'_>, kind: TypeId) -> bool {
    let (element, _) = elements(walker.kinds.types, kind);
    let kind = walker.kinds.of(element);
    kind.is_some_and(|kind| walker.kinds.get(kind).is_some_and(|layout| layout.changed))
}

/// The element type of an array, through all dimensions, and how many there are; another type is one of itself.
pub(super) fn elements(types: &TypeTable, id: TypeId) -> (Option<TypeId>, u64) {
    const DEPTH_LIMIT: usize = 32;
    let (mut id, mut all) = (Some(id), 1u64);
    for _ in 0..DEPTH_LIMIT {
        let Some(peeled) = types.peel(id) else { break };
        let Shape::Array { element, counts } = &types.get(peeled).shape else { break };
        all = counts.iter().fold(all, |all, count| all.saturating_mul(count.unwrap_or(0)));
        id = *element;
    }
    (id, all)
}
