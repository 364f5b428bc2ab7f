//! Completeness: blocks that no typed path reached and that could hold a changed type, each cleared by evidence or told (PROOF 2.5).

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use dsu_formats::address::{RunAddress, RunRange};

use super::found::Cleared;
use super::interest::{Choice, Interest, KernelWords, Place, Pointee};
use super::items::{Item, Strength};
use super::problem::Problem;
use super::queue::Walker;
use super::referrers::{self, Referrer, Referrers};
use super::regions::Region;
use super::shape::{Looks, Outline};
use super::{Scene, locals, roots, start};
use crate::plan::abi;
use crate::plan::heap::{Block, BlockIndex, Heap, HeapView, State};
use crate::plan::source::read_word;
use crate::program::address::LinkAddress;
use crate::program::types::{Shape, TypeId, TypeTable};

/// Bytes of a block that are looked at.
const LOOKED_AT: u64 = 64 << 10;
/// Bytes that messages show.
const SHOWN: u64 = 32;
/// Referrers that messages name.
const NAMED: usize = 3;
/// Suspects that are told one by one.
const TOLD: usize = 200;

/// A block that could be of a changed type.
struct Suspect {
    index: BlockIndex,
    block: Block,
    /// What it could be, the likeliest first; never empty.
    could: Vec<Guess>,
}

/// A changed type that a block could be of.
#[derive(Clone, Copy)]
struct Guess {
    kind: TypeId,
    size: u64,
    count: u64,
    looks: Looks,
    has_pointers: bool,
}

/// Judges every block that the walk did not reach.
///
/// `all` is a walk of everything that has a type; it is asked for where there is something to judge.
pub(super) fn check<'a>(walker: &mut Walker<'_>, scene: &Scene<'_>, all: impl FnOnce() -> Walker<'a>) -> Vec<Cleared> {
    let types = &scene.build.debug.types;
    let outlines = outlines(types, scene.interest);
    let Some(first) = outlines.first() else { return Vec::new() };
    let heap = match scene.heap {
        HeapView::Readable(heap) => heap,
        HeapView::Unreadable(defect) => {
            let (kind, passing) = (types.describe(Some(first.id)), defect.is_transient());
            walker.problem(Problem::UnreadableHeap { kind, reason: defect.to_string(), passing });
            return Vec::new();
        }
        HeapView::Unknown(whose) => {
            walker.problem(Problem::UnreadableHeap {
                kind: types.describe(Some(first.id)),
                reason: whose.clone(),
                passing: false,
            });
            return Vec::new();
        }
    };
    let mut cleared = Vec::new();
    let is_code = |value: u64| {
        // By section: some linkers put constants into the segment of the code.
        let section = scene.build.elf.section_at(LinkAddress(value.wrapping_sub(scene.bias)));
        section.is_some_and(|section| section.flags & abi::SHF_EXECINSTR != 0)
    };
    let suspects = suspects(walker, &outlines, heap, &is_code, &mut cleared);
    if !suspects.is_empty() {
        judge(walker, (scene, heap), suspects, &mut all(), &mut cleared);
    }
    cleared
}

/// Changed structures and unions, the largest first: what fits a larger one is told as that.
fn outlines(types: &TypeTable, interest: &dyn Interest) -> Vec<Outline> {
    let mut seen = HashSet::new();
    let mut outlines: Vec<Outline> = (0u32..)
        .map(TypeId)
        .zip(&types.types)
        .filter(|(_, entry)| matches!(entry.shape, Shape::Struct { .. } | Shape::Union { .. }))
        .map(|(id, _)| types.canonical(id))
        .filter(|id| interest.changed(*id) && !interest.unused(*id) && seen.insert(*id))
        .filter_map(|id| Outline::of(types, id))
        .collect();
    outlines.sort_by_key(|outline| std::cmp::Reverse(outline.size));
    outlines
}

/// Blocks in use that nothing typed reaches, that fit a changed type, and whose words do not contradict it.
fn suspects(
    walker: &mut Walker<'_>,
    outlines: &[Outline],
    heap: &Heap,
    is_code: &dyn Fn(u64) -> bool,
    cleared: &mut Vec<Cleared>,
) -> Vec<Suspect> {
    let partly: HashSet<BlockIndex> =
        walker.items.elsewhere().filter_map(|item| Some(heap.block_of(RunAddress(item.address))?.0)).collect();
    let mut suspects = Vec::new();
    for (index, block) in heap.blocks() {
        if block.state != State::InUse || walker.items.of_block(index).is_some() || partly.contains(&index) {
            continue;
        }
        let fitting: Vec<(&Outline, u64)> =
            outlines.iter().filter_map(|outline| Some((outline, outline.fits(block.usable)?))).collect();
        if fitting.is_empty() {
            continue;
        }
        let Some(bytes) = walker.pieces.bytes(block.address.0, block.usable.min(LOOKED_AT)).map(<[u8]>::to_vec) else { continue };
        let mut contradiction = None;
        let looks = fitting.iter().map(|(outline, count)| (outline, count, outline.looks(&bytes, &walker.regions, is_code)));
        let could = looks.filter(|(_, _, looks)| {
            contradiction = contradiction.or(looks.contradiction.map(|found| ("a pointer", found)));
            contradiction = contradiction.or(looks.misplaced.map(|found| ("a number", found)));
            let is_number = looks.misplaced.is_some() && (looks.sound == 0 || looks.contradiction.is_some());
            (looks.contradiction.is_none() || looks.sound > 1) && !is_number
        });
        let guess = |(outline, count, looks): (&&Outline, &u64, Looks)| {
            let (kind, size, count) = (outline.id, outline.size, *count);
            (outline.rest(block.usable, count), Guess { kind, size, count, looks, has_pointers: outline.has_pointers() })
        };
        let mut could: Vec<(u64, Guess)> = could.map(guess).collect();
        // The type that most pointers speak for, and that leaves the least of the block over.
        could.sort_by_key(|(rest, guess)| (std::cmp::Reverse(guess.looks.sound), *rest));
        let could: Vec<Guess> = could.into_iter().map(|(_, guess)| guess).collect();
        if could.is_empty() {
            let (what, (offset, value)) = contradiction.unwrap_or_default();
            let reason = format!("at {offset:#x}, where {what} would be, it holds {value:#x}");
            cleared.push(Cleared { address: block.address, usable: block.usable, reason });
        } else {
            suspects.push(Suspect { index, block, could });
        }
    }
    suspects
}

/// Clears what is of another type, what nobody points to and what only the C library points to; tells the rest.
fn judge(
    walker: &mut Walker<'_>,
    (scene, heap): (&Scene<'_>, &Heap),
    suspects: Vec<Suspect>,
    all: &mut Walker<'_>,
    cleared: &mut Vec<Cleared>,
) {
    let vectors = vectors(scene);
    let mut within: HashMap<BlockIndex, Item> = HashMap::new();
    for item in all.items.elsewhere().filter(|item| item.strength > Strength::Doubtful) {
        if let Some((index, _)) = heap.block_of(RunAddress(item.address)) {
            let known = within.entry(index).or_insert(*item);
            if known.strength < item.strength {
                *known = *item;
            }
        }
    }
    let mut left = Vec::new();
    for mut suspect in suspects {
        let vector = vectors.get(&suspect.block.address).map(|tid| format!("it is the loader's vector of thread {tid}"));
        match vector.or_else(|| typed_otherwise(all, &mut suspect, &within)) {
            Some(reason) => cleared.push(clear(&suspect, reason)),
            None => left.push(suspect),
        }
    }
    let indices: Vec<BlockIndex> = left.iter().map(|suspect| suspect.index).collect();
    let referrers = match referrers::find(&indices, heap, &walker.regions, scene.snapshot, scene.memory) {
        Ok(referrers) => referrers,
        Err(source) => {
            let kind =
                scene.build.debug.types.describe(left.first().and_then(|suspect| suspect.could.first()).map(|guess| guess.kind));
            return walker.problem(Problem::UnreadableHeap { kind, reason: source.to_string(), passing: false });
        }
    };
    let own = own_memory(scene);
    let reached = reached(scene, heap, &referrers, &own);
    for (told, suspect) in left.iter().enumerate() {
        let pointers = referrers.get(&suspect.index).map_or(&[][..], Vec::as_slice);
        if pointers.is_empty() {
            cleared.push(clear(suspect, "no word of the process points to it".to_owned()));
        } else if !reached.contains(&suspect.index) {
            cleared.push(clear(suspect, "only the C library's own data, or what nothing points to, points to it".to_owned()));
        } else if told < TOLD {
            let foreign: Vec<Referrer> = pointers.iter().copied().filter(|referrer| !own.holds(referrer)).collect();
            let told = suspect.could.first().map(|guess| tell(all, scene, suspect, guess, &foreign));
            told.into_iter().for_each(|problem| walker.problem(problem));
        }
    }
}

fn clear(suspect: &Suspect, reason: String) -> Cleared {
    Cleared { address: suspect.block.address, usable: suspect.block.usable, reason }
}

/// The blocks with the vectors by which threads find their thread-local storage (`dtv`), whose address a thread has behind that of
/// itself (`tcbhead_t`), and which begin one entry before.
fn vectors(scene: &Scene<'_>) -> HashMap<RunAddress, i32> {
    const ENTRY: u64 = 16;
    let of = |thread: &dsu_formats::model::latest::Thread| {
        let vector = read_word(scene.memory, RunAddress(thread.registers.fs_base.wrapping_add(8))).ok()?;
        Some((RunAddress(vector.wrapping_sub(ENTRY)), thread.tid))
    };
    scene.snapshot.threads.iter().filter_map(of).collect()
}

/// Takes from what a suspect could be whatever does not agree with the type as which typed pointers reach it, or reach something
/// `within` it. Says why, when nothing is left. Bytes are no evidence where the words look like the changed type's, and no type is where
/// the changed one has it itself: it may be embedded, and what is around it found from there.
fn typed_otherwise(all: &mut Walker<'_>, suspect: &mut Suspect, within: &HashMap<BlockIndex, Item>) -> Option<String> {
    if let Some(site) = all.bytes.get(&suspect.index) {
        return Some(format!("it is bytes, as the spec says: {}", all.path(*site)));
    }
    let whole = all.items.of_block(suspect.index).filter(|item| item.strength > Strength::Doubtful);
    let surer = within.get(&suspect.index).filter(|item| whole.is_none_or(|whole| whole.strength < item.strength));
    let item = *surer.or(whole)?;
    let types = all.kinds.types;
    let id = all.kinds.get(item.kind)?.id;
    let is_number = matches!(types.get(types.peel(Some(id))?).shape, Shape::Base { .. } | Shape::Enum { .. });
    let offset = item.address.wrapping_sub(suspect.block.address.0);
    suspect.could.retain(|guess| {
        let looks_like_it = is_number && guess.looks.sound > 0;
        looks_like_it || all.kinds.type_contains(Some(guess.kind), offset % guess.size.max(1), item.kind)
    });
    let place = match offset {
        0 => "it is".to_owned(),
        offset => format!("at {offset:#x} it has"),
    };
    suspect.could.is_empty().then(|| format!("{place} `{}`: {}", types.describe(Some(id)), all.path(item.via)))
}

/// Memory whose words do not make a block the program's.
struct OwnMemory<'a> {
    system: &'a [RunRange],
    /// Where each thread has the address of the loader's vector.
    vectors: Vec<u64>,
}

fn own_memory<'a>(scene: &Scene<'a>) -> OwnMemory<'a> {
    let vectors = scene.snapshot.threads.iter().map(|thread| thread.registers.fs_base.wrapping_add(8)).collect();
    OwnMemory { system: scene.system, vectors }
}

impl OwnMemory<'_> {
    fn holds(&self, referrer: &Referrer) -> bool {
        matches!(referrer, Referrer::Memory(address)
            if self.system.iter().any(|range| range.contains(RunAddress(*address))) || self.vectors.contains(address))
    }
}

/// Which suspects are reached from anything but the C library's own data and blocks that are not reached themselves.
fn reached(scene: &Scene<'_>, heap: &Heap, referrers: &Referrers, own: &OwnMemory<'_>) -> HashSet<BlockIndex> {
    let mut reached = HashSet::new();
    loop {
        let before = reached.len();
        for (index, list) in referrers {
            let counts = |referrer: &Referrer| match referrer {
                _ if own.holds(referrer) => false,
                Referrer::Register(_) => true,
                Referrer::Epoll(_) => scene.interest.kernel_words(KernelWords::Epoll) != Some(Pointee::Opaque),
                Referrer::Memory(address) => {
                    let holder = heap.block_of(RunAddress(*address)).map(|(holder, _)| holder);
                    holder.is_none_or(|holder| !referrers.contains_key(&holder) || reached.contains(&holder))
                }
            };
            if !reached.contains(index) && list.iter().any(counts) {
                reached.insert(*index);
            }
        }
        if reached.len() == before {
            return reached;
        }
    }
}

fn tell(all: &Walker<'_>, scene: &Scene<'_>, suspect: &Suspect, guess: &Guess, referrers: &[Referrer]) -> Problem {
    let mut evidence = match guess.count {
        1 => "its size fits".to_owned(),
        count => format!("its size fits {count} of them"),
    };
    match (guess.has_pointers, guess.looks.sound) {
        (false, _) => evidence.push_str(", and the type has no pointer to tell it by"),
        (true, 0) => evidence.push_str(", and where its pointers would be there is none"),
        (true, sound) => {
            let _ = write!(evidence, ", and {sound} of its pointers would lead to memory in use");
        }
    }
    let mut names: Vec<String> = referrers.iter().take(NAMED).map(|referrer| name(all, scene, *referrer)).collect();
    if referrers.len() > NAMED {
        names.push("others".to_owned());
    }
    let mut first_bytes = String::new();
    let mut shown = [0; SHOWN as usize];
    let length = suspect.block.usable.min(SHOWN) as usize;
    if let Some(shown) = shown.get_mut(..length)
        && scene.memory.read(suspect.block.address, shown).is_ok()
    {
        for byte in shown.iter() {
            let _ = write!(first_bytes, "{byte:02x}");
        }
    }
    Problem::Suspect {
        address: suspect.block.address,
        usable: suspect.block.usable,
        kind: all.kinds.types.describe(Some(guess.kind)),
        evidence,
        holders: holders(&names),
        referrers: format!("{} points to it", names.join(", ")),
        first_bytes,
    }
}

/// Fields of structures at the ends of paths: what they lead to can be said.
fn holders(names: &[String]) -> Vec<String> {
    let field = |name: &String| {
        let last = name.rsplit(" → ").next()?;
        let (kind, field) = last.strip_prefix('(')?.split_once(").")?;
        let is_plain = kind.contains(' ') && !field.contains(['[', ' ', '(']);
        is_plain.then(|| format!("{kind}.{field}"))
    };
    let mut found: Vec<String> = names.iter().filter_map(field).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn name(all: &Walker<'_>, scene: &Scene<'_>, referrer: Referrer) -> String {
    let address = match referrer {
        Referrer::Register(tid) => return format!("a register of thread {tid}"),
        Referrer::Epoll(descriptor) => return format!("the epoll data of descriptor {descriptor}"),
        Referrer::Memory(address) => address,
    };
    let thread = scene.snapshot.threads.iter().find(|thread| {
        let space = scene.snapshot.address_spaces.first();
        let mapping = space.and_then(|space| space.mappings.iter().find(|mapping| mapping.range.contains(RunAddress(address))));
        mapping.is_some_and(|mapping| mapping.range.contains(RunAddress(thread.registers.rsp)))
    });
    match (all.regions.find(address), thread) {
        (Region::Mapped, Some(thread)) => format!("the stack of thread {} at {}", thread.tid, RunAddress(address)),
        _ => all.path(address),
    }
}

/// Interest in whatever has a type, with the user's answers.
pub(super) struct Everything<'a> {
    pub(super) interest: &'a dyn Interest,
    /// Whether words that the kernel keeps are followed, too.
    pub(super) follows_kernel: bool,
    /// Also in pointers that lead to nothing with a type.
    pub(super) pointers: bool,
}

/// A walk of everything that variables lead to, local ones included.
pub(super) fn variables<'a>(scene: &Scene<'a>, everything: &'a Everything<'a>) -> Walker<'a> {
    let mut walker = start(scene, everything);
    let mut roots = roots::add(&mut walker, scene);
    walker.run();
    locals::add(&mut walker, scene, &mut roots);
    walker.run();
    walker.run_doubtful();
    walker
}

/// The same with what the words lead to that the kernel keeps.
pub(super) fn with_kernel_words<'a>(mut walker: Walker<'a>, scene: &Scene<'_>) -> Walker<'a> {
    roots::add_kernel_words(&mut walker, scene, &HashMap::new());
    walker.run();
    walker.run_doubtful();
    walker
}

/// Blocks that variables lead to by typed pointers, each with the type of the object that begins there. Memory that was read is given
/// back.
pub(super) fn typed_blocks(all: &mut Walker<'_>) -> HashMap<BlockIndex, TypeId> {
    all.pieces.forget();
    let surely = all.items.list.iter().filter(|item| item.strength > Strength::Doubtful);
    let typed = surely.filter_map(|item| match all.regions.find(item.address) {
        Region::Block(index, block) if block.address.0 == item.address => Some((index, all.kinds.get(item.kind)?.id)),
        _ => None,
    });
    typed.collect()
}

impl Interest for Everything<'_> {
    fn changed(&self, kind: TypeId) -> bool {
        self.interest.changed(kind)
    }

    fn leads(&self, _kind: TypeId) -> bool {
        true
    }

    fn pointers(&self) -> bool {
        self.pointers
    }

    fn notes_bytes(&self) -> bool {
        true
    }

    fn pointee(&self, place: Place<'_>) -> Option<Pointee> {
        self.interest.pointee(place)
    }

    fn is_single(&self, kind: TypeId) -> bool {
        self.interest.is_single(kind)
    }

    fn kernel_words(&self, words: KernelWords) -> Option<Pointee> {
        if self.follows_kernel { self.interest.kernel_words(words) } else { None }
    }

    fn member(&self, place: Place<'_>) -> Option<Choice> {
        self.interest.member(place)
    }

    fn has_length(&self, place: Place<'_>) -> bool {
        self.interest.has_length(place)
    }

    fn length(&self, place: Place<'_>, object: &[u8]) -> Option<u64> {
        self.interest.length(place, object)
    }
}
