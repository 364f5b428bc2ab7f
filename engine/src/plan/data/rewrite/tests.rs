//! A process of a few blocks, its objects rewritten and its pointers followed.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::plugin::message::NEW_BLOCKS;

use super::{Filled, Final, Followed, Home, Moves, Object, Outside, Place, RewriteProblem, Rewriter, Variable};
use crate::plan::address::NewLink;
use crate::plan::data::compile::{Compiler, NoProofs, Recipes};
use crate::plan::data::made::{Made, MadeBlock, MadeKind, MadePointer, Wanted};
use crate::plan::data::rules::{Allocator, Length, Pointee, Rules};
use crate::plan::data::tests::{Builds, Names, builds, constant};
use crate::plan::scan::filter::Filter;
use crate::plan::testing::FakeMemory;
use crate::program::types::TypeId;

const HEAP: u64 = 0x5000_0000;

struct Process {
    builds: Builds,
    rules: Rules,
    recipes: Recipes,
    memory: FakeMemory,
    made: Made,
}

/// `struct node` grows from 32 to 40 bytes: old next 0, inner 8, value 16, tag 20, any 24; new fresh 0, value 4, tag 8, next 16, inner 24,
/// any 32.
fn process(extra: impl Fn(Names<'_>) -> Rules) -> Process {
    let builds = builds(
        "struct node { struct node *next; int *inner; int value; char tag[4]; void *any; } v;",
        "struct node { int fresh; int value; char tag[4]; struct node *next; int *inner; void *any; } v;",
        "-gdwarf-5",
    );
    let mut rules = extra(Names(&builds.old));
    rules.fields.insert(Names(&builds.new).place("node", "fresh"), constant(7));
    let changes = builds.changes(&rules);
    let types = (&builds.old.debug.types, &builds.new.debug.types);
    let recipes = Recipes::new(&mut Compiler::new(types, &rules, &changes, &NoProofs));
    Process { builds, rules, recipes, memory: FakeMemory::default(), made: Made::default() }
}

impl Process {
    fn kind(&self) -> TypeId {
        Names(&self.builds.old).kind("node")
    }

    fn rewriter(&self) -> Rewriter<'_> {
        Rewriter {
            types: &self.builds.old.debug.types,
            recipes: &self.recipes,
            rules: &self.rules,
            memory: &self.memory,
            new_bias: 0,
            made: &self.made,
            variables: &[],
        }
    }

    fn node(&mut self, at: u64, words: [u64; 4]) {
        for (position, word) in (0..).zip(words) {
            self.memory.put_word(at + position * 8, word);
        }
    }

    fn object(&self, at: u64, count: u32, home: Home) -> Object {
        Object { address: RunAddress(at), kind: self.kind(), count, length: u64::from(count) * 32, spare: 0, home }
    }
}

/// No word points into a program.
fn nothing() -> Filter {
    Filter::new(RunRange::new(0x1000, 0x2000), &[], vec![RunRange::new(HEAP, HEAP + 0x10_0000)], 0x1234_5678_9abc_def0)
}

/// Decides nothing.
struct Nobody;

impl Outside for Nobody {
    fn fork(&self) -> Self {
        Self
    }

    fn join(&mut self, _: Self) {}

    fn follow(&mut self, _: u64, _: super::fill::Known, _: RunAddress) -> Option<u64> {
        None
    }
}

fn marks(filled: &Filled) -> Vec<u64> {
    filled.marks.iter(0..u64::MAX).collect()
}

/// How the moves end, in their order.
fn finals(moves: &Moves) -> Vec<Final> {
    let mut finals = Vec::new();
    moves.clone().take_apart(|one| finals.push(one));
    finals.reverse();
    finals
}

/// The new blocks.
fn blocks(moves: &Moves) -> Vec<Final> {
    finals(moves).into_iter().filter(|one| matches!(one.to, Place::In(_))).collect()
}

#[test]
fn objects_that_fit_stay_and_others_are_allocated_anew() {
    let mut process = process(|_| Rules::default());
    let (a, b, given) = (HEAP, HEAP + 0x40, 0x7000_0000);
    // a → b → c (a variable) → a; inner pointers to the values.
    process.node(a, [b, b + 16, 1 | 0x61 << 32, 0]);
    process.node(b, [HEAP + 0x1000, a + 16, 2, 0x1234]);
    process.node(HEAP + 0x1000, [a, 0, 3, 0]);
    let objects = [
        process.object(a, 1, Home::Block { usable: 56 }),
        process.object(b, 1, Home::Block { usable: 32 }),
        process.object(HEAP + 0x1000, 1, Home::Variable(0)),
    ];
    let recipe = process.recipes.get(process.kind()).unwrap().as_ref().unwrap().clone();
    let variables = [Variable { recipe, initial: vec![0; 40], to: RunAddress(given), is_carried: true }];
    let rewriter = Rewriter { variables: &variables, ..process.rewriter() };
    let moves = rewriter.place(&objects).expect("placed");
    assert_eq!(blocks(&moves).iter().map(|one| (one.room, one.old.unwrap().0)).collect::<Vec<_>>(), [(40, b)]);
    let filled = rewriter.fill(&moves, (&nothing(), &mut Nobody), 2).expect("filled");
    let places: Vec<_> = finals(&moves).iter().map(|one| one.to).collect();
    assert_eq!(places, [Place::At(RunAddress(a)), Place::In(48), Place::At(RunAddress(given))]);
    let words: Vec<u64> = filled.bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight"))).collect();
    let block = moves.address(Place::In(48)).0;
    assert_eq!(words[..4], [7 | 1 << 32, 0x61, block, block + 4]);
    assert_eq!(words[6..11], [7 | 2 << 32, 0, given, a + 4, 0x1234]);
    assert_eq!(words[12..15], [7 | 3 << 32, 0, a]);
    assert_eq!(filled.fixups, [RunAddress(a + 16), RunAddress(a + 24)]);
}

#[test]
fn what_the_program_itself_gave_out_it_gives_out_anew() {
    let own = |free| Allocator { allocate: NewLink::new(0x40), free };
    let mut process = process(|_| Rules::default());
    let (first, second) = (HEAP + 0x10, HEAP + 0x30);
    process.node(first, [second, 0, 5, 0]);
    process.node(second, [first, 0, 6, 0]);
    let (freed, kept) = (own(Some(NewLink::new(0x80))), own(None));
    let objects = [process.object(first, 1, Home::Own), process.object(second, 1, Home::Own)];
    for allocator in [freed, kept] {
        process.rules.allocators = [(process.kind(), allocator)].into();
        let moves = process.rewriter().place(&objects).unwrap();
        let made: Vec<_> = blocks(&moves).iter().map(|one| (one.room, one.old, one.allocator)).collect();
        assert_eq!(made, [first, second].map(|old| (40, Some(RunAddress(old)), Some(allocator))));
        assert_eq!((moves.allocators().collect::<Vec<_>>(), moves.new_blocks()), (vec![allocator], 2));
    }
    let moves = process.rewriter().place(&objects).unwrap();
    assert_eq!(moves.follow(RunAddress(second), Some(process.kind())), Followed::To(Place::In(48)));
    process.rules.allocators.clear();
    assert!(matches!(process.rewriter().place(&objects).expect_err("nobody makes them")[..], [RewriteProblem::NoRoom { .. }, _]));
    process.rules.allocators = [(process.kind(), kept)].into();
    let moves = process.rewriter().place(&objects).unwrap();
    assert_eq!((moves.kind_at(RunAddress(first)), moves.kind_at(RunAddress(first + 8))), (Some(process.kind()), None));
}

#[test]
fn arrays_follow_by_element_and_end() {
    let mut process = process(|_| Rules::default());
    for index in 0..3 {
        process.node(HEAP + index * 32, [HEAP + (index + 1) * 32, 0, index, 0]);
    }
    let objects = [process.object(HEAP, 3, Home::Block { usable: 96 })];
    let rewriter = process.rewriter();
    let moves = rewriter.place(&objects).expect("placed");
    let filled = rewriter.fill(&moves, (&nothing(), &mut Nobody), 1).expect("filled");
    assert_eq!(filled.bytes.len(), 128);
    let block = moves.address(Place::In(0)).0;
    assert_eq!(marks(&filled), [16, 56, 96]);
    for (index, at) in (1..).zip(marks(&filled)) {
        let at = at as usize;
        assert_eq!(filled.bytes[at..at + 8], (block + index * 40).to_le_bytes());
    }
    let int = Names(&process.builds.old).kind("int");
    assert_eq!(moves.follow(RunAddress(HEAP + 32 + 16), Some(int)), Followed::To(Place::In(44)));
    assert_eq!(moves.follow(RunAddress(HEAP + 96), None), Followed::To(Place::In(120)));
}

#[test]
fn pointers_that_nothing_decides_are_problems() {
    let mut untyped = process(|_| Rules::default());
    untyped.node(HEAP, [0, 0, 1, HEAP]);
    let objects = [untyped.object(HEAP, 1, Home::Block { usable: 40 })];
    let rewriter = untyped.rewriter();
    let moves = rewriter.place(&objects).expect("placed");
    let problems = rewriter.fill(&moves, (&nothing(), &mut Nobody), 1).expect_err("the object or its first field");
    assert!(matches!(problems.as_slice(), [RewriteProblem::Pointer { .. }]), "{problems:?}");

    let typed = |old: Names<'_>| Rules {
        pointees: [(old.place("node", "any"), Pointee::Type(old.kind("node")))].into(),
        ..Rules::default()
    };
    let mut typed = process(typed);
    typed.node(HEAP, [0, 0, 1, HEAP]);
    let rewriter = typed.rewriter();
    let filled =
        rewriter.fill(&rewriter.place(&objects).expect("placed"), (&nothing(), &mut Nobody), 1).expect("a rule says which");
    assert_eq!(filled.bytes[32..40], HEAP.to_le_bytes());
}

#[test]
fn what_cannot_be_placed_is_said_all_at_once() {
    let mut process = process(|_| Rules::default());
    process.node(HEAP, [0; 4]);
    let mut other = process.object(HEAP + 0x100, 1, Home::Block { usable: 40 });
    other.kind = Names(&process.builds.old).kind("int");
    let objects = [process.object(HEAP, 1, Home::Part), process.object(HEAP + 16, 1, Home::Block { usable: 40 }), other];
    let problems = process.rewriter().place(&objects).expect_err("three problems");
    assert_eq!(problems.len(), 3, "{problems:?}");
    let unread = [process.object(0x9000_0000, 1, Home::Block { usable: 40 })];
    let moves = process.rewriter().place(&unread).expect("sizes are known");
    let problems = process.rewriter().fill(&moves, (&nothing(), &mut Nobody), 1).expect_err("no memory");
    assert!(matches!(problems.as_slice(), [RewriteProblem::Memory { .. }]));
}

#[test]
fn many_objects_in_many_places() {
    let process = process(|_| Rules::default());
    let places: Vec<u64> =
        (0..3000u64).map(|index| HEAP + index * 48 + (index / 500) * (1 << 28) + (index % 7) * 8 * (index % 2)).collect();
    let objects: Vec<_> = places.iter().map(|at| process.object(*at, 1, Home::Block { usable: 32 })).collect();
    let spaced: Vec<_> = objects.iter().enumerate().filter(|(index, _)| index % 2 == 0).map(|(_, object)| *object).collect();
    let moves: Moves = process.rewriter().place(&spaced).expect("placed");
    let kind = Some(process.kind());
    for (position, object) in spaced.iter().enumerate() {
        let at = |address: u64| moves.follow(RunAddress(address), kind);
        assert_eq!(at(object.address.0), Followed::To(Place::In(position as u64 * 48)));
        assert_eq!(at(object.address.0 + 32), Followed::To(Place::In(position as u64 * 48 + 40)));
        assert_eq!(at(object.address.0 + 33), Followed::Same);
        assert_eq!(at(object.address.0.wrapping_sub(1)), Followed::Same);
    }
    assert_eq!(moves.follow(RunAddress(u64::MAX), None), Followed::Same);
    assert_eq!(moves.follow(RunAddress(0), None), Followed::Same);
}

#[test]
fn objects_of_plugins_take_their_bytes() {
    let mut process =
        process(|old| Rules { plugins: [(old.kind("node"), crate::plan::data::rules::PluginId(0))].into(), ..Rules::default() });
    process.node(HEAP, [0; 4]);
    let objects = [process.object(HEAP, 1, Home::Block { usable: 32 })];
    let rewriter = process.rewriter();
    let wanted = [Wanted { kind: process.kind(), address: RunAddress(HEAP) }];
    assert_eq!(rewriter.wanted(&objects), wanted);
    let moves = rewriter.place(&objects).expect("placed");
    let problems = rewriter.fill(&moves, (&nothing(), &mut Nobody), 1).expect_err("not made");
    assert!(matches!(problems.as_slice(), [RewriteProblem::NotMade { .. }]), "{problems:?}");
    // The object points to itself and into the second of two blocks, which points back.
    let mut bytes = vec![9; 40];
    bytes[16..24].copy_from_slice(&HEAP.to_le_bytes());
    bytes[32..].copy_from_slice(&(NEW_BLOCKS + 24).to_le_bytes());
    let pointer = |offset, target| MadePointer { offset, target };
    let pointers = vec![pointer(16, Some(process.kind())), pointer(32, None)];
    process.made.insert(process.kind(), MadeKind { size: 40, pointers, addresses: vec![RunAddress(HEAP)], bytes });
    process.made.push_block(MadeBlock { bytes: vec![7; 8], pointers: Vec::new() });
    process.made.push_block(MadeBlock { bytes: [[5; 8], HEAP.to_le_bytes()].concat(), pointers: vec![8] });
    let rewriter = process.rewriter();
    let moves = rewriter.place(&objects).expect("placed");
    let filled = rewriter.fill(&moves, (&nothing(), &mut Nobody), 1).expect("filled");
    let (object, second) = (moves.address(Place::In(0)).0, moves.address(Place::In(64)).0);
    assert_eq!((filled.bytes[..16].as_ref(), filled.bytes[24..32].as_ref()), ([9; 16].as_ref(), [9; 8].as_ref()));
    assert_eq!(filled.bytes[16..24], object.to_le_bytes());
    assert_eq!(filled.bytes[32..40], (second + 8).to_le_bytes());
    assert_eq!(filled.bytes[48..56], [7; 8]);
    assert_eq!(filled.bytes[64..80], [[5; 8], object.to_le_bytes()].concat());
    assert_eq!((marks(&filled), filled.fixups.len()), (vec![16, 32, 72], 0));
    assert_eq!(blocks(&moves).iter().map(|one| (one.room, one.bytes)).collect::<Vec<_>>(), [(40, 0), (8, 48), (16, 64)]);
    assert!(matches!(moves.follow(RunAddress(HEAP + 8), None), Followed::Undecided { .. }));
}

#[test]
fn what_follows_the_elements_of_a_flexible_array_is_nobodys() {
    let builds =
        builds("struct line { int count; char text[]; } *v;", "struct line { long count, more; char text[]; } *v;", "-gdwarf-5");
    let (old, new) = (Names(&builds.old), Names(&builds.new));
    let mut rules = Rules::default();
    rules.lengths.insert(old.place("line", "text"), Length::Field(vec![0]));
    rules.fields.insert(new.place("line", "more"), constant(0));
    let changes = builds.changes(&rules);
    let types = (&builds.old.debug.types, &builds.new.debug.types);
    let recipes = Recipes::new(&mut Compiler::new(types, &rules, &changes, &NoProofs));
    let (kind, made) = (old.kind("line"), Made::default());
    let mut process = Process { builds, rules, recipes, memory: FakeMemory::default(), made };
    process.memory.put(HEAP, &[[5, 0, 0, 0].as_slice(), b"text\0", &[0; 15]].concat());
    let home = Home::Block { usable: 24 };
    let objects = [Object { address: RunAddress(HEAP), kind, count: 1, length: 24, home, spare: 0 }];
    let moves = process.rewriter().place(&objects).expect("placed");
    let follow = |offset| moves.follow(RunAddress(HEAP + offset), None);
    assert_eq!((finals(&moves)[0].length, follow(6)), (21, Followed::To(Place::At(RunAddress(HEAP + 18)))));
    // The header of the next block begins in this one.
    assert_eq!((follow(9), follow(16)), (Followed::To(Place::At(RunAddress(HEAP + 21))), Followed::Same));
}
