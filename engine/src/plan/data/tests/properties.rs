//! Random structures, and debug information as no compiler makes it.

use gimli::constants as dw;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{constant, context};
use crate::plan::data::change::TypeChanges;
use crate::plan::data::compile::{Compiler, NoProofs, Recipes};
use crate::plan::data::rules::{Place, Pointee, Rules};
use crate::program::types::{Member, Shape, Type, TypeId, TypeTable};

/// Size and encoding of the integers that fields have.
const INTEGERS: [(u64, gimli::DwAte); 6] = [
    (1, dw::DW_ATE_unsigned),
    (2, dw::DW_ATE_unsigned),
    (4, dw::DW_ATE_unsigned),
    (8, dw::DW_ATE_unsigned),
    (4, dw::DW_ATE_signed),
    (8, dw::DW_ATE_signed),
];
const STRUCTURE: TypeId = TypeId(INTEGERS.len() as u32);

fn entry(name: &str, size: Option<u64>, shape: Shape) -> Type {
    Type { name: name.to_owned(), file: "data.c".to_owned(), line: 1, size, alignment: None, shape }
}

fn integers() -> Vec<Type> {
    let integer = |&(size, encoding): &(u64, gimli::DwAte)| entry("integer", Some(size), Shape::Base { encoding: encoding.0 });
    INTEGERS.iter().map(integer).collect()
}

/// A structure with these fields (name, kind of integer), laid out as the ABI does.
fn structure(fields: &[(usize, usize)]) -> TypeTable {
    let mut types = integers();
    let mut end = 0u64;
    let mut members = Vec::new();
    for (name, kind) in fields {
        let size = INTEGERS[*kind].0;
        let offset = end.next_multiple_of(size);
        members.push(Member { name: format!("f{name}"), kind: Some(TypeId(*kind as u32)), offset, bits: None });
        end = offset + size;
    }
    types.push(entry("c", Some(end.next_multiple_of(8)), Shape::Struct { members }));
    TypeTable::new(types)
}

fn members(table: &TypeTable) -> &[Member] {
    table.get(STRUCTURE).shape.members().expect("a structure")
}

fn number(table: &TypeTable, member: &Member, bytes: &[u8]) -> u64 {
    let size = table.size_of(member.kind).expect("a size") as usize;
    let mut word = [0; 8];
    word[..size].copy_from_slice(&bytes[member.offset as usize..][..size]);
    u64::from_le_bytes(word)
}

/// Distinct names in random order, each with a kind.
fn fields() -> impl Strategy<Value = Vec<(usize, usize)>> {
    let names = Just((0..12usize).collect::<Vec<_>>()).prop_shuffle();
    (names, vec(0..INTEGERS.len(), 12), 1..12usize)
        .prop_map(|(names, kinds, count)| names.into_iter().zip(kinds).take(count).collect())
}

fn shape(count: u32) -> impl Strategy<Value = Shape> {
    let id = (0..count).prop_map(TypeId);
    let maybe = proptest::option::of(id);
    let member =
        (0..4u8, maybe.clone(), 0..64u64, proptest::option::of((0..600u64, 0..140u64))).prop_map(|(name, kind, offset, bits)| {
            Member {
                name: if name == 0 { String::new() } else { format!("m{name}") },
                kind,
                offset: if offset == 63 { u64::MAX } else { offset },
                bits,
            }
        });
    let members = vec(member, 0..6);
    let counts = vec(proptest::option::of(prop_oneof![0..5u64, Just(u64::MAX)]), 0..3);
    prop_oneof![
        (0..20u8).prop_map(|encoding| Shape::Base { encoding }),
        maybe.clone().prop_map(|target| Shape::Pointer { target }),
        maybe.clone().prop_map(|target| Shape::Alias { tag: dw::DW_TAG_typedef.0, target }),
        (maybe, counts).prop_map(|(element, counts)| Shape::Array { element, counts }),
        members.clone().prop_map(|members| Shape::Struct { members }),
        members.prop_map(|members| Shape::Union { members }),
        vec((0..3u8, -2..5i128), 0..4).prop_map(|all| Shape::Enum {
            enumerators: all.into_iter().map(|(name, value)| (format!("E{name}"), value)).collect()
        }),
        Just(Shape::Incomplete { tag: dw::DW_TAG_structure_type.0 }),
        Just(Shape::Other { tag: 0 }),
        Just(Shape::Void),
    ]
}

/// Any table: sizes, offsets and nesting as they come.
fn table() -> impl Strategy<Value = TypeTable> {
    (1..16u32).prop_flat_map(|count| {
        let size = proptest::option::of(prop_oneof![0..80u64, Just(u64::MAX)]);
        let one = (0..4u8, size, shape(count));
        vec(one, count as usize).prop_map(|all| {
            let name = |name: u8| if name == 0 { String::new() } else { format!("t{name}") };
            TypeTable::new(all.into_iter().map(|(index, size, shape)| entry(&name(index), size, shape)).collect())
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_common_field_arrives(old in fields(), new in fields(), bytes in vec(any::<u8>(), 128)) {
        let (old, new) = (structure(&old), structure(&new));
        let is_new = |member: &Member| members(&old).iter().all(|other| other.name != member.name);
        let fresh = members(&new).iter().enumerate().filter(|(_, member)| is_new(member));
        let rules = Rules {
            fields: fresh.map(|(position, _)| (Place::member(STRUCTURE, &[position as u32]), constant(77))).collect(),
            may_lose: (0..12).map(|position| Place::member(STRUCTURE, &[position])).collect(),
            ..Rules::default()
        };
        let changes = TypeChanges::new(&old, &new, &rules, &[]);
        let recipe = Compiler::new((&old, &new), &rules, &changes, &NoProofs).object(STRUCTURE).expect("all answered");
        let mut made = vec![0xa5; recipe.new_size()];
        recipe.apply(&bytes[..recipe.old_size()], &mut made, &context(&old)).expect("applies");
        for member in members(&new) {
            let Some(before) = members(&old).iter().find(|other| other.name == member.name) else {
                prop_assert_eq!(number(&new, member, &made), 77);
                continue;
            };
            let size = new.size_of(member.kind).expect("a size");
            let value = number(&old, before, &bytes);
            let wide = match old.get(before.kind.expect("a type")) {
                Type { size: Some(4), shape: Shape::Base { encoding }, .. } if *encoding == dw::DW_ATE_signed.0 => value as i32 as u64,
                _ => value,
            };
            let mask = if size == 8 { u64::MAX } else { (1 << (size * 8)) - 1 };
            prop_assert_eq!(number(&new, member, &made), wide & mask, "{} in {:?}", member.name, recipe);
            let place = recipe.map_offset(before.offset as usize, before.kind);
            if before.kind == member.kind && before.offset > 0 {
                prop_assert_eq!(place, crate::plan::data::recipe::Mapped::At(member.offset as usize));
            }
        }
    }

    #[test]
    fn no_debug_information_makes_it_panic(old in table(), new in table(), bytes in vec(any::<u8>(), 0..200), flags in any::<[bool; 4]>()) {
        let id = |at: usize, table: &TypeTable| TypeId((at % table.types.len()) as u32);
        let place = |at: usize, path: &[u32]| Place::member(id(at, &old), path);
        let mut rules = Rules::default();
        if flags[0] {
            rules.pointees.insert(place(1, &[0]), Pointee::Type(id(2, &old)));
            rules.lengths.insert(place(3, &[1]), crate::plan::data::rules::Length::Field(vec![0]));
        }
        if flags[1] {
            let source = crate::plan::data::rules::FieldSource::Old(vec![0, 1]);
            rules.fields.insert(Place::member(id(3, &new), &[1]), super::rule(source));
            rules.fields.insert(Place::member(id(4, &new), &[0]), constant(300));
        }
        if flags[2] {
            rules.types.insert(id(5, &old), id(6, &new));
            rules.opaque.insert(id(7, &old));
            rules.plugins.insert(id(8, &old), crate::plan::data::rules::PluginId(0));
        }
        if flags[3] {
            let member = |position| crate::plan::data::rules::UnionChoice { old: Some(position), new: Some(0) };
            let rule = crate::plan::data::rules::UnionRule { tag: vec![0], choices: [(1, member(1))].into(), otherwise: Some(member(0)) };
            rules.unions.insert(place(0, &[1]), rule);
        }
        let roots = [(Some(id(0, &old)), Some(id(0, &new)))];
        let changes = TypeChanges::new(&old, &new, &rules, &roots);
        let mut compiler = Compiler::new((&old, &new), &rules, &changes, &NoProofs);
        let recipes = Recipes::new(&mut compiler);
        drop(recipes.questions());
        for from in 0..old.types.len() as u32 {
            for to in (from..new.types.len() as u32).take(2) {
                let Ok(recipe) = compiler.pair(TypeId(from), TypeId(to)) else { continue };
                let context = context(&old);
                let size = recipe.new_size_of(&bytes, &context).unwrap_or(0).min(1 << 16);
                let mut made = vec![0; size];
                drop(recipe.apply(&bytes, &mut made, &context));
                drop(recipe.visit(&bytes, &context, &mut |_| {}));
                for offset in [0, 1, 4, 8, 63, usize::MAX] {
                    recipe.map_offset(offset, None);
                    recipe.map_offset(offset, Some(id(offset, &old)));
                }
            }
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    let mut types = integers();
    // Each level holds the one before twice: more parts than there are atoms.
    for level in 0..80u32 {
        let inner = if level == 0 { TypeId(2) } else { TypeId(STRUCTURE.0 + level - 1) };
        let member = |name: &str, offset| Member { name: name.to_owned(), kind: Some(inner), offset, bits: None };
        types.push(entry(&format!("l{level}"), Some(1 << 20), Shape::Struct { members: vec![member("a", 0), member("b", 8)] }));
    }
    let old = TypeTable::new(types.clone());
    if let Some(Type { shape: Shape::Base { encoding }, .. }) = types.get_mut(2) {
        *encoding = dw::DW_ATE_float.0;
    }
    let new = TypeTable::new(types);
    let rules = Rules::default();
    let changes = TypeChanges::new(&old, &new, &rules, &[]);
    let top = TypeId(STRUCTURE.0 + 79);
    assert!(changes.changed(Some(top)));
    assert!(Compiler::new((&old, &new), &rules, &changes, &NoProofs).object(top).is_err());
}
