//! The walk itself: from object to object, solid evidence first.

use std::collections::HashMap;

use dsu_formats::address::RunAddress;

use super::interest::{Interest, Place};
use super::items::{Item, Items, ROOT, Strength};
use super::kinds::{Counted, Flexible, Kind, Kinds, Layout, Part, Tag, Target, What};
use super::pieces::Pieces;
use super::problem::{Dangling, Nothing, Problem};
use super::regions::{Region, Regions};
use super::variables::Globals;
use crate::plan::heap::{Block, BlockIndex};
use crate::program::types::{Shape, TypeId};

/// Problems and dangling pointers kept of each kind: a broken program has millions.
const LIMIT: usize = 1000;
/// Elements of one array: a wrong length must not take all memory.
const MOST: u64 = u32::MAX as u64;

/// Items whose memory is touched together.
const AHEAD: usize = 64;

/// Steps of a path that messages show.
const PATH_LIMIT: usize = 6;

/// A typed pointer word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// Where it is; 0 for a register.
    pub(super) site: u64,
    pub(super) value: u64,
    /// For messages, where `site` is none: see [`Item::via`].
    pub(super) via: u64,
    pub(super) strength: Strength,
}

/// The walk.
pub(super) struct Walker<'a> {
    pub(super) kinds: Kinds<'a>,
    pub(super) interest: &'a dyn Interest,
    pub(super) regions: Regions<'a>,
    pub(super) globals: Globals<'a>,
    pub(super) pieces: Pieces<'a>,
    pub(super) items: Items,
    pub(super) sites: Vec<(u64, Kind)>,
    /// Whether what is looked at lies in an object of a changed type.
    is_rewritten: bool,
    pub(super) dangling: Vec<Dangling>,
    pub(super) problems: Vec<Problem>,
    /// Names of roots, by number.
    pub(super) roots: Vec<String>,
    pub(super) objects: u64,
    /// Blocks that hold bytes, as the user says, with the word that leads there.
    pub(super) bytes: HashMap<BlockIndex, u64>,
    /// Items whose further elements are still to be followed, and those whose doubtful ones are.
    later: Vec<u32>,
    doubtful: Vec<u32>,
    next: usize,
    next_later: usize,
    next_doubtful: usize,
}

impl<'a> Walker<'a> {
    pub(super) fn new(
        kinds: Kinds<'a>,
        interest: &'a dyn Interest,
        regions: Regions<'a>,
        globals: Globals<'a>,
        pieces: Pieces<'a>,
    ) -> Self {
        let items = Items::new(regions.heap.map_or(0, crate::plan::heap::Heap::len));
        Self {
            kinds,
            interest,
            regions,
            globals,
            pieces,
            items,
            sites: Vec::new(),
            is_rewritten: false,
            dangling: Vec::new(),
            problems: Vec::new(),
            roots: Vec::new(),
            objects: 0,
            bytes: HashMap::new(),
            later: Vec::new(),
            doubtful: Vec::new(),
            next: 0,
            next_later: 0,
            next_doubtful: 0,
        }
    }

    /// Follows everything that was reached, and what that reaches: single objects before further elements of arrays.
    pub(super) fn run(&mut self) {
        while self.step() {}
    }

    /// Follows, at last, what may be rounding, and all that this reaches.
    pub(super) fn run_doubtful(&mut self) {
        while let Some(number) = self.doubtful.get(self.next_doubtful).copied() {
            self.next_doubtful += 1;
            if let Some(item) = self.items.list.get(number as usize).copied().filter(|_| !self.is_replaced(number)) {
                self.elements(item, item.count..item.most);
            }
            self.run();
        }
    }

    fn step(&mut self) -> bool {
        if let Some(item) = self.items.list.get(self.next).copied() {
            if self.next.is_multiple_of(AHEAD) {
                let ahead = self.items.list.iter().skip(self.next).take(AHEAD);
                self.pieces.touch(ahead.map(|item| item.address));
            }
            self.next += 1;
            self.elements(item, 0..1);
            if item.count > 1 {
                self.later.push(self.next as u32 - 1);
            } else if item.most > 1 {
                self.doubtful.push(self.next as u32 - 1);
            }
        } else if let Some(number) = self.later.get(self.next_later).copied() {
            self.next_later += 1;
            let Some(item) = self.items.list.get(number as usize).copied().filter(|_| !self.is_replaced(number)) else {
                return true;
            };
            self.elements(item, 1..item.count);
            if item.most > item.count {
                self.doubtful.push(number);
            }
        } else {
            return false;
        }
        true
    }

    /// Whether another object was found to be the one that starts with the item's block: what its size seemed to say is void.
    pub(super) fn is_replaced(&self, number: u32) -> bool {
        let Some(item) = self.items.list.get(number as usize) else { return true };
        match self.regions.find(item.address) {
            Region::Block(index, block) if block.address.0 == item.address => !self.items.is_of_block(index, number),
            _ => false,
        }
    }

    /// Follows what is in some elements of an item.
    fn elements(&mut self, item: Item, numbers: std::ops::Range<u32>) {
        let Some(layout) = self.kinds.layout(item.kind) else { return };
        if layout.parts.is_empty() && layout.flexible.is_none() {
            self.objects += u64::from(numbers.end.saturating_sub(numbers.start));
            return;
        }
        for number in numbers.clone() {
            let strength = if number == 0 {
                item.strength
            } else if number < item.count {
                item.strength.min(Strength::Firm)
            } else {
                Strength::Doubtful
            };
            self.object(&layout, element(item.address, number.into(), layout.size), item.via, strength);
        }
        if numbers.start == 0
            && let Some(flexible) = &layout.flexible
        {
            self.flexible(&layout, flexible, &item);
        }
    }

    /// Follows what is in one object. `via` is for messages.
    pub(super) fn object(&mut self, layout: &Layout, address: u64, via: u64, strength: Strength) {
        let around = self.is_rewritten;
        self.is_rewritten |= layout.changed;
        self.content(layout, address, via, strength);
        self.is_rewritten = around;
    }

    fn content(&mut self, layout: &Layout, address: u64, via: u64, strength: Strength) {
        self.objects += 1;
        if layout.is_plain {
            return self.plain(layout, address, via, strength);
        }
        let Some(object) = self.pieces.bytes(address, layout.size).map(<[u8]>::to_vec) else {
            return self.unreadable(layout, address, via, strength);
        };
        self.parts(&layout.parts, layout, address, &object, via, strength);
    }

    /// The same where no rule needs the rest of the object.
    fn plain(&mut self, layout: &Layout, address: u64, via: u64, strength: Strength) {
        for part in &layout.parts {
            let site = address.wrapping_add(part.offset);
            match &part.what {
                What::Pointer(target) => match self.pieces.word(site) {
                    Some(value) => self.pointer(target, Word { site, value, via, strength }, None),
                    None => return self.unreadable(layout, address, via, strength),
                },
                What::Bytes => self.bytes(site),
                What::Elements { kind, count } => self.nested(*kind, site, *count, via, strength),
                What::Tagged { .. } | What::Union { .. } | What::Undecided { .. } => {}
            }
        }
    }

    fn unreadable(&mut self, layout: &Layout, address: u64, via: u64, strength: Strength) {
        if strength <= Strength::Local {
            return;
        }
        let (path, kind) = (self.path(via), self.kinds.types.describe(Some(layout.id)));
        self.problem(Problem::Unreadable { path, address: RunAddress(address), kind });
    }

    pub(super) fn parts(&mut self, parts: &[Part], layout: &Layout, address: u64, object: &[u8], via: u64, strength: Strength) {
        for part in parts {
            let site = address.wrapping_add(part.offset);
            match &part.what {
                What::Pointer(target) => {
                    let Some(value) = word(object, part.offset) else { continue };
                    let length = target.length.as_ref().map(|counted| self.length(counted, object));
                    self.pointer(target, Word { site, value, via, strength }, length);
                }
                What::Bytes => self.bytes(site),
                What::Elements { kind, count } => self.nested(*kind, site, *count, via, strength),
                What::Tagged { tag, choices, path } => match choose(tag, choices, object) {
                    Ok(Some(kind)) => {
                        let Some(value) = word(object, part.offset) else { continue };
                        let target = Target { kind, within: None, length: None };
                        self.pointer(&target, Word { site, value, via, strength }, None);
                    }
                    Ok(None) => self.bytes(site),
                    Err(value) => self.bad_tag(layout, path, address, via, value),
                },
                What::Union { tag, members, otherwise, parts, path } => {
                    let member = match (choose(tag, members, object), otherwise) {
                        (Ok(member), _) => member,
                        (Err(_), Some(member)) => *member,
                        (Err(value), None) => {
                            self.bad_tag(layout, path, address, via, value);
                            continue;
                        }
                    };
                    let own = member.and_then(|member| parts.get(member as usize)).map_or(&[][..], Vec::as_slice);
                    self.parts(own, layout, address, object, via, strength);
                }
                What::Undecided { size, by_value, path } => {
                    self.undecided((*size, *by_value), part.offset, object, || (layout.id, path.clone()), address, via);
                }
            }
        }
    }

    /// Notes the block that starts where the word at `site` points: it holds bytes.
    fn bytes(&mut self, site: u64) {
        let value = if self.interest.notes_bytes() { self.pieces.word(site) } else { None };
        if let Some(value) = value
            && let Region::Block(index, block) = self.regions.find(value)
            && block.address.0 == value
        {
            self.bytes.entry(index).or_insert(site);
        }
    }

    /// Elements of an array within an object.
    fn nested(&mut self, kind: Kind, address: u64, count: u64, via: u64, strength: Strength) {
        let Some(layout) = self.kinds.layout(kind) else { return };
        for number in 0..count {
            self.object(&layout, element(address, number, layout.size), via, strength);
        }
    }

    fn length(&self, counted: &Counted, object: &[u8]) -> Option<u64> {
        let object = object.get(usize::try_from(counted.start).ok()?..)?;
        self.interest.length(Place { root: counted.root, path: &counted.path }, object)
    }

    /// A union of which nobody says what is in use matters unless it holds nothing at all.
    fn undecided(
        &mut self,
        (size, by_value): (u64, bool),
        offset: u64,
        object: &[u8],
        place: impl FnOnce() -> (TypeId, Vec<u32>),
        address: u64,
        via: u64,
    ) {
        let own = object.get(offset as usize..offset.saturating_add(size) as usize).unwrap_or_default();
        let names = |word: &[u8]| {
            let value = word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
            matches!(self.regions.find(value), Region::Block(..) | Region::Program | Region::Mapped)
        };
        // One that points is harmless as long as it points nowhere; what it points to is asked about among the blocks.
        if own.iter().all(|byte| *byte == 0) || (!by_value && !own.chunks_exact(8).any(names)) {
            return;
        }
        if by_value {
            let (id, path) = place();
            let path = format!("{} in {}", super::paths::member(self.kinds.types, id, &path), self.path(via));
            self.problem(Problem::Union { path, address: RunAddress(address.wrapping_add(offset)) });
        }
    }

    fn bad_tag(&mut self, layout: &Layout, path: &[u32], address: u64, via: u64, value: i128) {
        let path = format!("{} in {}", super::paths::member(self.kinds.types, layout.id, path), self.path(via));
        self.problem(Problem::Tag { path, address: RunAddress(address), value });
    }

    /// Follows a typed pointer. `length` is what the user's rule says of the number of elements.
    pub(super) fn pointer(&mut self, target: &Target, word: Word, length: Option<Option<u64>>) {
        if word.value == 0 {
            return;
        }
        if target.within.is_some_and(|within| self.is_elsewhere(within, target.kind, word.value)) {
            return;
        }
        let address = word.value.wrapping_sub(target.within.map_or(0, |within| within.back));
        let region = self.regions.find(address);
        match region {
            Region::Number => return,
            Region::Nothing(what) => return self.leads_to_nothing(target.kind, word, what),
            _ => {}
        }
        let Some(layout) = self.kinds.get(target.kind) else { return };
        let (size, changed, id) = (layout.size, layout.changed, layout.id);
        if size == 0 {
            return self.opaque(target.kind, id, address, region, word);
        }
        // Who rewrites an object knows the pointers in it.
        if changed && word.site != 0 && word.strength > Strength::Doubtful && !self.is_rewritten {
            let kind = target.within.map_or(Some(target.kind), |within| within.declared);
            self.sites.extend(kind.map(|kind| (word.site, kind)));
        }
        if let Some(length) = length {
            return self.counted(target.kind, address, size, region, word, length);
        }
        match region {
            Region::Block(index, block) => self.in_block(target.kind, size, address, index, &block, word),
            Region::Program if self.globals.holds(&mut self.kinds, address, target.kind) => {}
            _ if word.strength == Strength::Doubtful => {}
            _ if !self.is_aligned(target.kind, address) => self.misaligned(word, id),
            _ => self.items.add(item(target.kind, address, 1, 1, word)),
        }
    }

    /// A block behind a pointer to what the program only declares: a library's, into which the program does not look.
    fn opaque(&mut self, kind: Kind, id: TypeId, address: u64, region: Region, word: Word) {
        let is_declared = matches!(self.kinds.types.get(id).shape, Shape::Incomplete { .. });
        if let Region::Block(index, block) = region
            && is_declared
            && block.address.0 == address
            && word.strength > Strength::Doubtful
            && self.items.of_block(index).is_none()
        {
            self.items.set_block(index, item(kind, address, 1, 1, word));
        }
    }

    fn leads_to_nothing(&mut self, kind: Kind, word: Word, what: Nothing) {
        // Behind the last element of an array that fills its block.
        let before = self.regions.find(word.value - 1);
        if matches!(before, Region::Block(..)) || word.strength == Strength::Doubtful {
            return;
        }
        if self.kinds.get(kind).is_some_and(|layout| layout.changed) && self.dangling.len() < LIMIT {
            self.dangling.push(Dangling { site: RunAddress(word.site), target: RunAddress(word.value), what });
        }
    }

    /// A number of elements that the user's rule tells.
    fn counted(&mut self, kind: Kind, address: u64, size: u64, region: Region, word: Word, length: Option<u64>) {
        let fits = |count: u64| match region {
            Region::Block(_, block) => count.checked_mul(size).is_some_and(|length| {
                address - block.address.0 <= block.usable && length <= block.usable - (address - block.address.0)
            }),
            _ => true,
        };
        match length.filter(|count| *count <= MOST && fits(*count)) {
            Some(0) => {}
            Some(count) => {
                let item = Item { counted: true, ..item(kind, address, count as u32, count as u32, word) };
                match region {
                    Region::Block(index, block) if block.address.0 == address => {
                        let is_less = |known: &Item| known.kind != kind || !known.counted || u64::from(known.count) < count;
                        if self.items.of_block(index).is_none_or(is_less) {
                            self.items.set_block(index, item);
                        }
                    }
                    _ => self.items.add(item),
                }
            }
            None => {
                let (path, kind) = (self.path(word.via_or_site()), self.describe(kind));
                self.problem(Problem::Length { path, target: RunAddress(address), count: length.unwrap_or(0), kind });
            }
        }
    }

    fn in_block(&mut self, kind: Kind, size: u64, address: u64, index: BlockIndex, block: &Block, word: Word) {
        let skip = address - block.address.0;
        if let Some(known) = self.items.of_block(index).copied() {
            let known_size = self.kinds.get(known.kind).map_or(0, |layout| layout.size).max(1);
            let extent = u64::from(known.most.max(1)).saturating_mul(known_size);
            if known.kind == kind && skip.is_multiple_of(size) && skip < extent.max(size) {
                self.doubtful_site(kind, word);
                return;
            }
            if (skip < extent && self.kinds.contains(known.kind, skip % known_size, kind)) || self.in_flexible(&known, skip, kind)
            {
                return;
            }
        }
        let room = block.usable - skip;
        if room < size {
            return self.too_small(kind, size, address, room, block, word);
        }
        if word.strength == Strength::Doubtful
            && (skip != 0 || room - size >= block.slack() || self.items.of_block(index).is_some())
        {
            return;
        }
        if !self.is_aligned(kind, address) {
            let id = self.kinds.get(kind).map(|layout| layout.id);
            return id.into_iter().for_each(|id| self.misaligned(word, id));
        }
        self.doubtful_site(kind, word);
        if skip != 0 {
            return self.items.add(item(kind, address, 1, 1, word));
        }
        let (count, most) = self.count(kind, size, block);
        let new = item(kind, address, count, most, word);
        let replaces = match self.items.of_block(index).copied() {
            None => true,
            Some(known) => self.kinds.contains(kind, 0, known.kind),
        };
        if replaces { self.items.set_block(index, new) } else { self.items.add(new) }
    }

    /// What may be rounding is a pointer after all, as it leads to an object of its type.
    fn doubtful_site(&mut self, kind: Kind, word: Word) {
        if word.strength == Strength::Doubtful && self.kinds.get(kind).is_some_and(|layout| layout.changed) {
            self.sites.push((word.site, kind));
        }
    }

    /// How many objects a block surely holds, and how many it may, by what malloc's rounding can add. Where the size is no multiple,
    /// something else follows the first.
    fn count(&mut self, kind: Kind, size: u64, block: &Block) -> (u32, u32) {
        let layout = self.kinds.layout(kind);
        let is_single = layout
            .is_some_and(|layout| layout.flexible.is_some() || self.interest.is_single(self.kinds.types.canonical(layout.id)));
        let most = block.usable / size;
        if is_single || block.usable - most * size >= block.slack() {
            return (1, 1);
        }
        let least = (block.usable + 1).saturating_sub(block.slack()).div_ceil(size).max(1);
        (least.min(MOST) as u32, most.min(MOST) as u32)
    }

    fn in_flexible(&mut self, known: &Item, skip: u64, kind: Kind) -> bool {
        let Some(Flexible { offset, element, .. }) = self.kinds.layout(known.kind).and_then(|layout| layout.flexible.clone())
        else {
            return false;
        };
        let size = self.kinds.get(element).map_or(0, |layout| layout.size).max(1);
        skip >= offset && self.kinds.contains(element, (skip - offset) % size, kind)
    }

    fn flexible(&mut self, layout: &Layout, flexible: &Flexible, item: &Item) {
        let start = item.address.saturating_add(flexible.offset);
        let Some(element) = self.kinds.layout(flexible.element).filter(|element| element.size != 0) else { return };
        let size = element.size;
        let room = match self.regions.find(item.address) {
            Region::Block(_, block) => block.address.0 + block.usable - start.min(block.address.0 + block.usable),
            _ => 0,
        };
        // Where nothing in the elements is followed, their number matters only if somebody said it. Objects in a pool would each have
        // millions, up to the end of the pool.
        let is_followed = !element.parts.is_empty() || element.flexible.is_some() || flexible.length.is_some();
        if !is_followed || !self.kinds.is_interesting(flexible.element) {
            return;
        }
        let (sure, most) = match &flexible.length {
            Some(counted) => {
                let object = self.pieces.bytes(item.address, layout.size).unwrap_or_default().to_vec();
                match self.length(counted, &object) {
                    Some(count) if room == 0 || count.saturating_mul(size) <= room => (count, count),
                    count => {
                        let (path, kind) = (self.path(item.via), self.describe(flexible.element));
                        let count = count.unwrap_or(0);
                        return self.problem(Problem::Length { path, target: RunAddress(start), count, kind });
                    }
                }
            }
            None => {
                let slack = crate::plan::heap::SLACK;
                ((room + 1).saturating_sub(slack).div_ceil(size), room / size)
            }
        };
        let (sure, most) = (sure.min(MOST), most.min(MOST).max(sure.min(MOST)));
        for (numbers, strength) in [(0..sure, item.strength.min(Strength::Firm)), (sure..most, Strength::Doubtful)] {
            for number in numbers {
                self.object(&element, self::element(start, number, size), item.via, strength);
            }
        }
    }

    fn is_aligned(&mut self, kind: Kind, address: u64) -> bool {
        self.kinds.layout(kind).is_none_or(|layout| address.is_multiple_of(layout.align))
    }

    fn misaligned(&mut self, word: Word, id: TypeId) {
        if word.strength <= Strength::Local {
            return;
        }
        let (path, kind) = (self.path(word.via_or_site()), self.kinds.types.describe(Some(id)));
        self.problem(Problem::Misaligned { path, target: RunAddress(word.value), kind });
    }

    fn too_small(&mut self, kind: Kind, size: u64, address: u64, room: u64, block: &Block, word: Word) {
        // An end pointer: behind the last element of an array that rounding follows.
        let skip = address - block.address.0;
        if (skip != 0 && skip.is_multiple_of(size) && room < block.slack()) || word.strength <= Strength::Local {
            return;
        }
        let (path, kind) = (self.path(word.via_or_site()), self.describe(kind));
        self.problem(Problem::TooSmall { path, target: RunAddress(address), room, kind, size });
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        if self.problems.len() < LIMIT {
            self.problems.push(problem);
        }
    }

    pub(super) fn describe(&self, kind: Kind) -> String {
        self.kinds.types.describe(self.kinds.get(kind).map(|layout| layout.id))
    }

    /// How a place was reached, in words.
    pub(super) fn path(&self, via: u64) -> String {
        self.path_within(via, PATH_LIMIT)
    }

    fn path_within(&self, via: u64, depth: usize) -> String {
        if via & ROOT != 0 {
            return self.roots.get((via & !ROOT) as usize).cloned().unwrap_or_default();
        }
        if depth == 0 {
            return "…".to_owned();
        }
        let types = self.kinds.types;
        match self.regions.find(via) {
            Region::Program => self.globals.name(types, via),
            Region::Block(index, block) => self.items.of_block(index).map(|item| {
                let layout = self.kinds.get(item.kind);
                let size = layout.map_or(1, |layout| layout.size).max(1);
                let id = layout.map(|layout| layout.id);
                let member = super::paths::at(types, id, (via - block.address.0) % size);
                format!("{} → ({}){member}", self.path_within(item.via, depth - 1), types.describe(id))
            }),
            _ => None,
        }
        .unwrap_or_else(|| format!("the word at {}", RunAddress(via)))
    }
}

/// Address of an element. Sizes come from debug information: a mangled one leads to no memory.
fn element(start: u64, number: u64, size: u64) -> u64 {
    start.wrapping_add(number.wrapping_mul(size))
}

impl Word {
    fn via_or_site(&self) -> u64 {
        if self.site != 0 { self.site } else { self.via }
    }
}

fn item(kind: Kind, address: u64, count: u32, most: u32, word: Word) -> Item {
    Item { address, via: word.via_or_site(), kind, count, most, counted: false, strength: word.strength }
}

fn word(bytes: &[u8], offset: u64) -> Option<u64> {
    crate::plan::source::word_in(bytes, usize::try_from(offset).ok()?)
}

fn choose<T: Copy>(tag: &Tag, choices: &std::collections::HashMap<i128, Option<T>>, object: &[u8]) -> Result<Option<T>, i128> {
    let value = tag.value(object).ok_or(0)?;
    choices.get(&value).copied().ok_or(value)
}
