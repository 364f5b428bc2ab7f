//! Puts the units together: resolves references, abstract origins and specifications, and completes sizes and bit-fields.

use std::collections::HashSet;

use super::raw::{BitField, BitPlace, Declaration, Key, RawUnit};
use super::{DebugInfo, Function, Storage, Variable};
use crate::program::address::LinkAddress;
use crate::program::elf::bytes::text;
use crate::program::types::{Shape, Type, TypeId, TypeTable};

/// How many steps from a concrete instance to its source name; more is a loop.
const ORIGIN_LIMIT: usize = 16;

/// Everything that keys resolve to.
struct Index<'a, 'u> {
    units: &'u [RawUnit<'a>],
    /// All type keys, ascending; the id of each is its position.
    type_keys: Vec<Key>,
    declarations: Vec<(Key, &'u Declaration<'a>)>,
    /// The type that references lead to which lead nowhere.
    unknown: TypeId,
}

/// The debug information, and the definitions of functions without code of their own.
pub(super) fn merge(mut units: Vec<RawUnit<'_>>) -> (DebugInfo, Vec<Function>) {
    let owned: Vec<Vec<Type>> = units.iter_mut().map(|unit| std::mem::take(&mut unit.types)).collect();
    let index = Index::new(&units);
    let mut types = Vec::with_capacity(index.type_keys.len() + 1);
    for (unit, own) in units.iter().zip(owned) {
        let first = types.len();
        types.extend(own);
        index.resolve_references(unit, &mut types, first);
    }
    types.push(Type {
        name: String::new(),
        file: String::new(),
        line: 0,
        size: None,
        alignment: None,
        shape: Shape::Other { tag: 0 },
    });
    index.complete_results(&mut types);
    let mut table = TypeTable::new(types);
    table.complete_sizes();
    index.place_bit_fields(&mut table);
    let functions = index.functions();
    let variables = index.variables(&table);
    let bodiless = index.units.iter().flat_map(|unit| &unit.bodiless).map(|&key| index.function(key, Vec::new())).collect();
    let type_keys = index.type_keys;
    (DebugInfo { functions, variables, types: table, type_keys }, bodiless)
}

impl<'a, 'u> Index<'a, 'u> {
    fn new(units: &'u [RawUnit<'a>]) -> Self {
        let type_keys: Vec<Key> = units.iter().flat_map(|unit| unit.type_keys.iter().copied()).collect();
        let declarations = units.iter().flat_map(|unit| unit.declarations.iter().map(|(key, entry)| (*key, entry))).collect();
        let unknown = TypeId(u32::try_from(type_keys.len()).unwrap_or(u32::MAX));
        Self { units, type_keys, declarations, unknown }
    }

    fn type_id(&self, key: Key) -> TypeId {
        self.own_type(key).unwrap_or(self.unknown)
    }

    fn own_type(&self, key: Key) -> Option<TypeId> {
        self.type_keys.binary_search(&key).ok().and_then(|position| u32::try_from(position).ok()).map(TypeId)
    }

    fn declaration(&self, key: Key) -> Option<&'u Declaration<'a>> {
        let position = self.declarations.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(self.declarations.get(position)?.1)
    }

    /// From an entry to what it is a copy or completion of, itself first.
    fn chain(&self, key: Key) -> impl Iterator<Item = (Key, &'u Declaration<'a>)> {
        let mut next = Some(key);
        std::iter::from_fn(move || {
            let key = next?;
            let entry = self.declaration(key)?;
            next = entry.origin;
            Some((key, entry))
        })
        .take(ORIGIN_LIMIT)
    }

    fn resolve_references(&self, unit: &RawUnit<'_>, types: &mut [Type], first: usize) {
        for entry in types.iter_mut().skip(first) {
            entry.shape.for_each_reference(|id| {
                *id = unit.references.get(id.0 as usize).map_or(self.unknown, |&key| self.type_id(key));
            });
        }
    }

    /// A definition apart from its declaration in a class may leave the result to the declaration.
    fn complete_results(&self, types: &mut [Type]) {
        let mut first = 0;
        for unit in self.units {
            for &(local, key) in &unit.results {
                let declared = self.chain(key).find_map(|(_, entry)| entry.kind).map(|key| self.type_id(key));
                if let Some(Shape::Function { result: result @ None, .. }) =
                    types.get_mut(first + local).map(|entry| &mut entry.shape)
                {
                    *result = declared;
                }
            }
            first += unit.type_keys.len();
        }
    }

    fn place_bit_fields(&self, table: &mut TypeTable) {
        let mut first = 0;
        for unit in self.units {
            for field in &unit.bit_fields {
                place_bit_field(table, first + field.owner, field);
            }
            first += unit.type_keys.len();
        }
    }

    fn named(&self, key: Key) -> Named {
        let mut named = Named::default();
        for (key, entry) in self.chain(key) {
            let unit = self.units.get(entry.unit);
            if let Some(unit) = unit.filter(|unit| named.unit.is_empty() || !unit.name.is_empty()) {
                named.unit.clone_from(&unit.name);
            }
            if named.name.is_empty() {
                named.name = entry.name.map(text).unwrap_or_default();
            }
            named.linkage_name = named.linkage_name.take().or_else(|| entry.linkage_name.map(text));
            let file = entry.file.and_then(|file| unit?.files.get(usize::try_from(file).ok()?));
            if let (true, Some(file)) = (named.declared.0.is_empty(), file) {
                named.declared = (file.clone(), entry.line);
            }
            named.external |= entry.external;
            named.own_type = named.own_type.or_else(|| self.own_type(key));
            named.value_type = named.value_type.or_else(|| entry.kind.map(|key| self.type_id(key)));
        }
        named.linkage_name = named.linkage_name.filter(|linkage| *linkage != named.name);
        named
    }

    fn functions(&self) -> Vec<Function> {
        let raw = self.units.iter().flat_map(|unit| &unit.functions);
        raw.map(|function| {
            let ranges = function.ranges.iter().map(|&(start, end)| (LinkAddress(start), end - start)).collect();
            self.function(function.key, ranges)
        })
        .collect()
    }

    fn function(&self, key: Key, ranges: Vec<(LinkAddress, u64)>) -> Function {
        let named = self.named(key);
        Function {
            name: named.name,
            linkage_name: named.linkage_name,
            unit: named.unit,
            declared: named.declared,
            external: named.external,
            ranges,
            kind: named.own_type,
        }
    }

    /// The variables; a static local of an inlined function stands once, though each copy of the function describes it.
    fn variables(&self, types: &TypeTable) -> Vec<Variable> {
        let mut seen = HashSet::new();
        let mut variables = Vec::new();
        let mut located = HashSet::new();
        for raw in self.units.iter().flat_map(|unit| &unit.variables) {
            let root = self.chain(raw.key).last().map_or(raw.key, |(key, _)| key);
            if !seen.insert((root, raw.storage_key())) {
                continue;
            }
            if raw.storage != Storage::None && raw.piece.is_none() {
                located.insert(root);
            }
            let named = self.named(raw.key);
            let function = raw.function.map(|key| self.named(key).name);
            let mut variable = Variable {
                name: named.name,
                linkage_name: named.linkage_name,
                unit: named.unit,
                declared: named.declared,
                function,
                external: named.external,
                storage: raw.storage,
                kind: named.value_type,
                part: None,
            };
            // A part that types do not tell is the symbol table's to name.
            if raw.piece.is_none_or(|piece| piece.name(&mut variable, types)) {
                variables.push((root, variable));
            }
        }
        // An abstract entry without a place (of a link-time optimised build) is not a variable apart from its concrete one.
        variables.retain(|(root, variable)| variable.storage != Storage::None || !located.contains(root));
        variables.into_iter().map(|(_, variable)| variable).collect()
    }
}

impl super::raw::RawVariable {
    fn storage_key(&self) -> (u8, u64) {
        match self.storage {
            Storage::Static(address) => (0, address.0),
            Storage::ThreadLocal(offset) => (1, offset),
            Storage::None => (2, 0),
        }
    }
}

/// What a chain of declarations says together; the entry nearest to the concrete one wins.
#[derive(Default)]
struct Named {
    name: String,
    linkage_name: Option<String>,
    unit: String,
    declared: (String, u64),
    external: bool,
    own_type: Option<TypeId>,
    value_type: Option<TypeId>,
}

/// Both forms as bits from the structure's start; the storage is the unit of the declared type's size that holds the field, as the ABI
/// lays it out, so that builds with either form agree.
fn place_bit_field(table: &mut TypeTable, owner: usize, field: &BitField) {
    let Some(kind) = table.types.get(owner).and_then(|entry| Some(entry.shape.members()?.get(field.member)?.kind)) else {
        return;
    };
    let unit_bits = table.size_of(kind).unwrap_or(1).saturating_mul(8).max(8);
    let start = match field.place {
        BitPlace::FromStart(bits) => Some(bits),
        BitPlace::FromTop { storage, size, bits } => {
            let size = size.map_or(unit_bits, |size| size.saturating_mul(8));
            let top = i128::from(storage) * 8 + i128::from(size) - i128::from(bits) - i128::from(field.width);
            u64::try_from(top).ok()
        }
    };
    let unknown = u32::try_from(table.types.len().saturating_sub(1)).ok().map(TypeId);
    let members = table.types.get_mut(owner).and_then(|entry| entry.shape.members_mut());
    let Some(member) = members.and_then(|members| members.get_mut(field.member)) else { return };
    let Some(start) = start else {
        // A field before its structure: nothing that compares equal to anything.
        member.bits = None;
        member.kind = unknown;
        return;
    };
    let unit = start / unit_bits * unit_bits;
    let fits = start.saturating_add(field.width) <= unit.saturating_add(unit_bits);
    member.offset = if fits { unit / 8 } else { start / 8 };
    member.bits = Some((start, field.width));
}
