//! Reads one unit in a single pass over its entries.

use std::collections::HashMap;

use gimli::{DwTag, EntriesRaw, Unit, UnitHeader, UnitType, constants as dw};

use super::Storage;
use super::attributes::{Attribute, Entry};
use super::image::Image;
use super::lines::file_paths;
use super::pieces::pieces;
use super::raw::{BitField, BitPlace, Declaration, Key, RawFunction, RawUnit, RawVariable, TYPES_SECTION};
use super::sections::Reader;
use crate::program::elf::bytes::text;
use crate::program::error::ProgramError;
use crate::program::types::{Member, Shape, Type, TypeId};

/// What all units share.
pub(super) struct Shared<'a, 's> {
    pub(super) dwarf: &'s gimli::Dwarf<Reader<'a>>,
    pub(super) image: &'s Image,
    /// Type units by signature: the key of the type that each defines.
    pub(super) signatures: &'s HashMap<u64, Key>,
    pub(super) supplement: Option<&'s str>,
}

/// One unit while it is read.
pub(super) struct UnitContext<'a, 's> {
    pub(super) dwarf: &'s gimli::Dwarf<Reader<'a>>,
    pub(super) image: &'s Image,
    pub(super) signatures: &'s HashMap<u64, Key>,
    pub(super) supplement: Option<&'s str>,
    pub(super) unit: Unit<Reader<'a>>,
    pub(super) name: String,
    /// Key of the unit's header.
    pub(super) base: Key,
}

/// What an open entry is to its children.
#[derive(Clone, Copy)]
enum Scope {
    /// A type: members, enumerators, dimensions, parameters belong to it. Index into `types`.
    Type(usize),
    /// A function: key, and its type where it has one of its own.
    Function(Key, Option<usize>),
    /// The unit, blocks, namespaces: transparent.
    Plain,
}

struct Walk<'a, 'c> {
    context: &'c UnitContext<'a, 'c>,
    index: usize,
    raw: RawUnit<'a>,
    /// Scopes of the open entries, outermost first.
    scopes: Vec<Scope>,
}

/// Key of a unit's header.
pub(super) fn unit_key(header: &UnitHeader<Reader<'_>>) -> Key {
    match (header.debug_info_offset(), header.debug_types_offset()) {
        (Some(offset), _) => offset.0 as Key,
        (None, Some(offset)) => offset.0 as Key | TYPES_SECTION,
        (None, None) => 0,
    }
}

/// Reads the unit behind `header`, the `index`-th of its file.
pub(super) fn read_unit<'a>(
    shared: &Shared<'a, '_>,
    index: usize,
    header: UnitHeader<Reader<'a>>,
) -> Result<RawUnit<'a>, ProgramError> {
    let base = unit_key(&header);
    let place = |source| ProgramError::Dwarf { place: format!("the unit at {base:#x} of .debug_info"), source };
    let unit = shared.dwarf.unit(header).map_err(place)?;
    let name = unit.name.map(|name| text(name.slice())).unwrap_or_default();
    let context = UnitContext {
        dwarf: shared.dwarf,
        image: shared.image,
        signatures: shared.signatures,
        supplement: shared.supplement,
        unit,
        name,
        base,
    };
    context.refuse_split()?;
    let raw = RawUnit { name: context.name.clone(), files: file_paths(&context)?, ..RawUnit::default() };
    let mut walk = Walk { context: &context, index, raw, scopes: Vec::new() };
    walk.run()?;
    Ok(walk.raw)
}

impl UnitContext<'_, '_> {
    pub(super) fn error(&self, source: gimli::Error) -> ProgramError {
        ProgramError::Dwarf { place: format!("unit {} (at {:#x} of .debug_info)", self.name, self.base), source }
    }

    fn refuse_split(&self) -> Result<(), ProgramError> {
        if self.unit.dwo_id.is_none() && !matches!(self.unit.header.type_(), UnitType::Skeleton(_)) {
            return Ok(());
        }
        Err(ProgramError::SplitDebug {
            unit: self.name.clone(),
            problem: "is split off into a .dwo file, which is not read; build without -gsplit-dwarf".to_owned(),
        })
    }
}

impl<'a> Walk<'a, '_> {
    fn run(&mut self) -> Result<(), ProgramError> {
        let context = self.context;
        let mut entries = context.unit.entries_raw(None).map_err(|e| context.error(e))?;
        let mut attributes = Vec::new();
        while !entries.is_empty() {
            let depth = usize::try_from(entries.next_depth()).unwrap_or(0);
            self.scopes.truncate(depth);
            self.step(&mut entries, &mut attributes, depth).map_err(|e| e.unwrap_or_else(|e| context.error(e)))?;
        }
        Ok(())
    }

    /// Reads one entry.
    fn step(
        &mut self,
        entries: &mut EntriesRaw<'_, Reader<'a>>,
        attributes: &mut Vec<Attribute<'a>>,
        depth: usize,
    ) -> Result<(), Step> {
        let key = self.context.base.wrapping_add(entries.next_offset().0 as u64);
        let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(()) };
        let tag = abbreviation.tag();
        let scope = if self.matters(tag) {
            entries.read_attributes(abbreviation.attributes(), attributes)?;
            self.entry(key, tag, &Entry::decode(attributes))?
        } else {
            entries.skip_attributes(abbreviation.attributes())?;
            Scope::Plain
        };
        if abbreviation.has_children() {
            self.scopes.resize(depth, Scope::Plain);
            self.scopes.push(scope);
        }
        Ok(())
    }

    fn parent(&self) -> Scope {
        self.scopes.last().copied().unwrap_or(Scope::Plain)
    }

    /// The innermost function around the present entry.
    fn function(&self) -> Option<Key> {
        self.scopes.iter().rev().find_map(|scope| match scope {
            Scope::Function(key, _) => Some(*key),
            _ => None,
        })
    }

    /// Whether the entry's attributes are worth decoding: call sites, labels and concrete instances' parameters are most of a unit.
    fn matters(&self, tag: DwTag) -> bool {
        match tag {
            dw::DW_TAG_formal_parameter | dw::DW_TAG_unspecified_parameters => {
                matches!(self.parent(), Scope::Type(_) | Scope::Function(_, Some(_)))
            }
            dw::DW_TAG_member
            | dw::DW_TAG_inheritance
            | dw::DW_TAG_variant_part
            | dw::DW_TAG_enumerator
            | dw::DW_TAG_compile_unit
            | dw::DW_TAG_subprogram
            | dw::DW_TAG_inlined_subroutine
            | dw::DW_TAG_variable => true,
            _ => is_type(tag),
        }
    }

    fn entry(&mut self, key: Key, tag: DwTag, entry: &Entry<'a>) -> Result<Scope, ProgramError> {
        match tag {
            dw::DW_TAG_compile_unit => {
                self.raw.ranges = entry.code(self.context)?;
                Ok(Scope::Plain)
            }
            dw::DW_TAG_subprogram => self.subprogram(key, entry),
            dw::DW_TAG_inlined_subroutine => Ok(Scope::Function(entry.origin(self.context)?.unwrap_or(key), None)),
            dw::DW_TAG_variable => self.variable(key, entry).map(|()| Scope::Plain),
            dw::DW_TAG_member | dw::DW_TAG_inheritance => self.member(tag, entry).map(|()| Scope::Plain),
            dw::DW_TAG_variant_part => {
                self.opaque_member(tag);
                Ok(Scope::Plain)
            }
            dw::DW_TAG_enumerator => self.enumerator(entry).map(|()| Scope::Plain),
            dw::DW_TAG_formal_parameter => {
                let kind = self.reference(entry)?;
                self.with_parameters(|parameters, _| parameters.push(kind));
                Ok(Scope::Plain)
            }
            dw::DW_TAG_unspecified_parameters => {
                self.with_parameters(|_, variadic| *variadic = true);
                Ok(Scope::Plain)
            }
            dw::DW_TAG_subrange_type if self.dimension(entry) => Ok(Scope::Plain),
            _ => self.type_entry(key, tag, entry).map(Scope::Type),
        }
    }

    /// A provisional id: the index of the reference in the unit's list.
    fn reference(&mut self, entry: &Entry<'a>) -> Result<Option<TypeId>, ProgramError> {
        let key = match &entry.kind {
            Some(value) => self.context.key(value)?,
            None => return Ok(None),
        };
        // A reference that leads nowhere (an unknown signature) must not look like void: no entry has the key of its unit's header.
        Ok(Some(self.refer(key.unwrap_or(self.context.base))))
    }

    fn refer(&mut self, key: Key) -> TypeId {
        let id = TypeId(u32::try_from(self.raw.references.len()).unwrap_or(u32::MAX));
        self.raw.references.push(key);
        id
    }

    fn push_type(&mut self, key: Key, entry: &Entry<'a>, shape: Shape) -> Result<usize, ProgramError> {
        let name = self.context.string(&entry.name)?.map(text).unwrap_or_default();
        let file = entry.file.and_then(|file| self.raw.files.get(usize::try_from(file).ok()?)).cloned().unwrap_or_default();
        self.raw.types.push(Type { name, file, line: entry.line, size: entry.byte_size, alignment: entry.alignment, shape });
        self.raw.type_keys.push(key);
        Ok(self.raw.types.len() - 1)
    }

    fn declare(&mut self, key: Key, entry: &Entry<'a>) -> Result<(), ProgramError> {
        let kind = match &entry.kind {
            Some(value) => Some(self.context.key(value)?.unwrap_or(self.context.base)),
            None => None,
        };
        let declaration = Declaration {
            name: self.context.string(&entry.name)?,
            linkage_name: self.context.string(&entry.linkage_name)?,
            file: entry.file,
            line: entry.line,
            external: entry.external,
            kind,
            origin: entry.origin(self.context)?,
            unit: self.index,
        };
        self.raw.declarations.push((key, declaration));
        Ok(())
    }

    fn subprogram(&mut self, key: Key, entry: &Entry<'a>) -> Result<Scope, ProgramError> {
        self.declare(key, entry)?;
        let own_type = if entry.abstract_origin.is_none() {
            let result = self.reference(entry)?;
            let index = self.push_type(key, entry, Shape::Function { result, parameters: Vec::new(), variadic: false })?;
            if let Some(origin) = entry.origin(self.context)? {
                self.raw.results.push((index, origin));
            }
            Some(index)
        } else {
            None
        };
        let ranges = if entry.declaration { Vec::new() } else { entry.code(self.context)? };
        if !ranges.is_empty() {
            self.raw.functions.push(RawFunction { key, ranges });
        } else if own_type.is_some() && !entry.declaration {
            self.raw.bodiless.push(key);
        }
        Ok(Scope::Function(key, own_type))
    }

    fn variable(&mut self, key: Key, entry: &Entry<'a>) -> Result<(), ProgramError> {
        let storage = entry.storage(self.context)?;
        let pieces = if storage == Storage::None { pieces(entry, self.context)? } else { Vec::new() };
        let function = self.function();
        // Automatic variables of concrete instances are many, and nothing refers to them.
        if storage != Storage::None || !pieces.is_empty() || function.is_none() || entry.abstract_origin.is_none() {
            self.declare(key, entry)?;
        }
        let is_dropped = storage == Storage::None && function.is_none() && !entry.declaration;
        if storage != Storage::None || is_dropped {
            self.raw.variables.push(RawVariable { key, storage, piece: None, function });
        }
        let own = |(storage, piece)| RawVariable { key, storage, piece: Some(piece), function };
        self.raw.variables.extend(pieces.into_iter().map(own));
        Ok(())
    }

    fn with_parameters(&mut self, change: impl FnOnce(&mut Vec<Option<TypeId>>, &mut bool)) {
        let (Scope::Type(index) | Scope::Function(_, Some(index))) = self.parent() else { return };
        if let Some(Shape::Function { parameters, variadic, .. }) = self.raw.types.get_mut(index).map(|entry| &mut entry.shape) {
            change(parameters, variadic);
        }
    }

    /// Adds a dimension to the array around; false when the entry is a type of its own.
    fn dimension(&mut self, entry: &Entry<'a>) -> bool {
        let Scope::Type(index) = self.parent() else { return false };
        match self.raw.types.get_mut(index).map(|entry| &mut entry.shape) {
            Some(Shape::Array { counts, .. }) => {
                counts.push(entry.element_count());
                true
            }
            _ => false,
        }
    }

    fn enumerator(&mut self, entry: &Entry<'a>) -> Result<(), ProgramError> {
        let name = self.context.string(&entry.name)?.map(text).unwrap_or_default();
        let Scope::Type(index) = self.parent() else { return Ok(()) };
        let Some(Type { shape, .. }) = self.raw.types.get_mut(index) else { return Ok(()) };
        match (&mut *shape, entry.enumerator()) {
            (Shape::Enum { enumerators }, Some(value)) => enumerators.push((name, value)),
            // A value that cannot be read makes the whole enumeration unknown.
            (Shape::Enum { .. }, None) => *shape = Shape::Other { tag: dw::DW_TAG_enumeration_type.0 },
            _ => {}
        }
        Ok(())
    }

    fn members(&mut self) -> Option<(usize, &mut Vec<Member>)> {
        let Scope::Type(index) = self.parent() else { return None };
        match self.raw.types.get_mut(index).map(|entry| &mut entry.shape) {
            Some(Shape::Struct { members } | Shape::Union { members }) => Some((index, members)),
            _ => None,
        }
    }

    /// A part of a structure that the model cannot express, so that it never compares equal to anything.
    fn opaque_member(&mut self, tag: DwTag) {
        let kind = Some(self.refer(self.context.base));
        if let Some((_, members)) = self.members() {
            members.push(Member { name: format!("({tag})"), kind, offset: 0, bits: None });
        }
    }

    fn member(&mut self, tag: DwTag, entry: &Entry<'a>) -> Result<(), ProgramError> {
        // A static member of a class has no place in its objects.
        if entry.external || entry.declaration {
            return Ok(());
        }
        let Some(offset) = entry.member_offset(self.context)? else {
            self.opaque_member(tag);
            return Ok(());
        };
        let name = self.context.string(&entry.name)?.map(text).unwrap_or_default();
        let kind = self.reference(entry)?;
        let place = match (entry.data_bit_offset, entry.bit_offset) {
            (Some(bits), _) => Some(BitPlace::FromStart(bits.saturating_add(offset.saturating_mul(8)))),
            (None, Some(bits)) => Some(BitPlace::FromTop { storage: offset, size: entry.byte_size, bits }),
            (None, None) => entry.bit_size.map(|_| BitPlace::FromStart(offset.saturating_mul(8))),
        };
        let Some((owner, members)) = self.members() else { return Ok(()) };
        members.push(Member { name, kind, offset, bits: None });
        let member = members.len() - 1;
        if let (Some(width), Some(place)) = (entry.bit_size, place) {
            self.raw.bit_fields.push(BitField { owner, member, width, place });
        }
        Ok(())
    }

    fn type_entry(&mut self, key: Key, tag: DwTag, entry: &Entry<'a>) -> Result<usize, ProgramError> {
        // A declaration that stands for a type unit's type: the same type under another key.
        if let Some(signature) = &entry.signature {
            let target = self.context.key(signature)?.unwrap_or(self.context.base);
            let target = Some(self.refer(target));
            return self.push_type(key, entry, Shape::Alias { tag: tag.0, target });
        }
        let target = self.reference(entry)?;
        let shape = match tag {
            dw::DW_TAG_structure_type | dw::DW_TAG_class_type | dw::DW_TAG_union_type | dw::DW_TAG_enumeration_type
                if entry.declaration =>
            {
                Shape::Incomplete { tag: tag.0 }
            }
            dw::DW_TAG_base_type => Shape::Base { encoding: entry.encoding.unwrap_or(0) },
            dw::DW_TAG_pointer_type | dw::DW_TAG_reference_type | dw::DW_TAG_rvalue_reference_type => Shape::Pointer { target },
            dw::DW_TAG_array_type if entry.stride => Shape::Other { tag: tag.0 },
            dw::DW_TAG_array_type => Shape::Array { element: target, counts: Vec::new() },
            dw::DW_TAG_structure_type | dw::DW_TAG_class_type => Shape::Struct { members: Vec::new() },
            dw::DW_TAG_union_type => Shape::Union { members: Vec::new() },
            dw::DW_TAG_enumeration_type => Shape::Enum { enumerators: Vec::new() },
            dw::DW_TAG_subroutine_type => Shape::Function { result: target, parameters: Vec::new(), variadic: false },
            tag if is_alias(tag) => Shape::Alias { tag: tag.0, target },
            _ => Shape::Other { tag: tag.0 },
        };
        let index = self.push_type(key, entry, shape)?;
        if let Some(Type { size: size @ None, shape: Shape::Pointer { .. }, .. }) = self.raw.types.get_mut(index) {
            *size = Some(self.context.unit.encoding().address_size.into());
        }
        Ok(index)
    }
}

fn is_alias(tag: DwTag) -> bool {
    matches!(
        tag,
        dw::DW_TAG_typedef
            | dw::DW_TAG_const_type
            | dw::DW_TAG_volatile_type
            | dw::DW_TAG_restrict_type
            | dw::DW_TAG_atomic_type
            | dw::DW_TAG_immutable_type
            | dw::DW_TAG_template_alias
    )
}

fn is_type(tag: DwTag) -> bool {
    is_alias(tag)
        || matches!(
            tag,
            dw::DW_TAG_base_type
                | dw::DW_TAG_unspecified_type
                | dw::DW_TAG_pointer_type
                | dw::DW_TAG_reference_type
                | dw::DW_TAG_rvalue_reference_type
                | dw::DW_TAG_ptr_to_member_type
                | dw::DW_TAG_array_type
                | dw::DW_TAG_structure_type
                | dw::DW_TAG_class_type
                | dw::DW_TAG_union_type
                | dw::DW_TAG_enumeration_type
                | dw::DW_TAG_subroutine_type
                | dw::DW_TAG_subrange_type
                | dw::DW_TAG_string_type
                | dw::DW_TAG_set_type
                | dw::DW_TAG_file_type
                | dw::DW_TAG_packed_type
                | dw::DW_TAG_interface_type
                | dw::DW_TAG_shared_type
                | dw::DW_TAG_coarray_type
                | dw::DW_TAG_dynamic_type
        )
}

/// A step fails in the decoder or in our own reading.
enum Step {
    Decoder(gimli::Error),
    Own(ProgramError),
}

impl Step {
    fn unwrap_or_else(self, wrap: impl FnOnce(gimli::Error) -> ProgramError) -> ProgramError {
        match self {
            Self::Decoder(source) => wrap(source),
            Self::Own(error) => error,
        }
    }
}

impl From<gimli::Error> for Step {
    fn from(source: gimli::Error) -> Self {
        Self::Decoder(source)
    }
}

impl From<ProgramError> for Step {
    fn from(error: ProgramError) -> Self {
        Self::Own(error)
    }
}
