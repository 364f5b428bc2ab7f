//! Split debug information (DWARF 5, 7.3.2; GNU's extension of DWARF 4): units whose entries are in `.dwo` files or a `.dwp` package
//! are put back into the sections of the program, so that whoever reads them sees a build that was never split.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gimli::write::{
    Address, AttributeValue, ConvertError, ConvertResult, ConvertUnit, ConvertUnitEntry, Location, LocationList, Sections,
    UnitEntryId,
};
use gimli::{
    DwarfPackageSections, DwarfSections, DwoId, EndianSlice, LittleEndian, Section, SectionId, UnitType, constants as dw,
};
use object::{Object, ObjectSection};

use super::sections::{Content, DebugSections, Reader, unpack};
use crate::program::elf::bytes::text;
use crate::program::error::ProgramError;

/// Reads a whole file.
pub type ReadFile = dyn Fn(&Path) -> Result<Arc<[u8]>, ProgramError>;

/// Where parts of split debug information are looked for.
pub struct SplitSearch<'a> {
    /// Packages (`.dwp`) that may hold them.
    pub packages: Vec<PathBuf>,
    /// Folders where `.dwo` files are looked for after the one that they were made in.
    pub folders: Vec<PathBuf>,
    /// Reads a whole file.
    pub read: &'a ReadFile,
}

/// A unit whose entries are elsewhere.
struct Skeleton {
    /// As the compiler names its source.
    name: String,
    id: DwoId,
    directory: String,
    file: String,
}

/// Puts split units back into `sections`; gives them back as they are where none is split.
///
/// # Errors
/// A part that is nowhere, or is of another build, or that cannot be put together.
pub fn join(sections: DebugSections, search: &SplitSearch<'_>) -> Result<DebugSections, ProgramError> {
    let parent = sections.dwarf();
    let skeletons = skeletons(&parent).map_err(|source| ProgramError::Dwarf { place: "the split units".to_owned(), source })?;
    if skeletons.is_empty() {
        return Ok(sections);
    }
    let packages = search.packages.iter().filter_map(|path| Some((path, (search.read)(path).ok()?)));
    let packages =
        packages.map(|(path, bytes)| Ok((path.as_path(), load_package(path, &bytes)?))).collect::<Result<Vec<_>, _>>()?;
    let missing: Vec<&Skeleton> =
        skeletons.values().filter(|unit| !packages.iter().any(|(_, package)| package_has(package, unit.id))).collect();
    let files = missing.into_iter().map(|unit| Ok((unit.id.0, find_file(unit, search)?)));
    let files = files.collect::<Result<HashMap<u64, DwarfSections<Content>>, ProgramError>>()?;

    let mut parts: HashMap<u64, gimli::Dwarf<Reader<'_>>> = HashMap::new();
    for (path, package) in &packages {
        let place = |source| ProgramError::Dwarf { place: path.display().to_string(), source };
        let package = package.borrow(|content| reader(content), reader(&Content::Absent)).map_err(place)?;
        for unit in skeletons.values().filter(|unit| !files.contains_key(&unit.id.0)) {
            if let Some(part) = package.find_cu(unit.id, &parent).map_err(place)? {
                parts.insert(unit.id.0, part);
            }
        }
    }
    for (id, file) in &files {
        let mut part = file.borrow(|content| reader(content));
        part.make_dwo(&parent);
        parts.insert(*id, part);
    }
    let joined = convert(&parent, &parts)?;
    Ok(DebugSections::from_unpacked(joined, sections.supplement.clone()))
}

fn reader(content: &Content) -> Reader<'_> {
    EndianSlice::new(content.bytes(), LittleEndian)
}

/// All units that stand for one elsewhere, by what identifies it.
fn skeletons(dwarf: &gimli::Dwarf<Reader<'_>>) -> gimli::Result<HashMap<u64, Skeleton>> {
    let mut found = HashMap::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next()? {
        // In DWARF 4 only the entry tells; it has addresses elsewhere, too.
        let may_be = match header.type_() {
            UnitType::Skeleton(_) => true,
            _ => header.version() < 5 && !dwarf.debug_addr.reader().is_empty(),
        };
        if !may_be {
            continue;
        }
        let unit = dwarf.unit(header)?;
        let Some(id) = unit.dwo_id else { continue };
        let file = match unit.dwo_name()? {
            Some(name) => text(dwarf.attr_string(&unit, name)?.slice()),
            None => String::new(),
        };
        let directory = unit.comp_dir.map(|directory| text(directory.slice())).unwrap_or_default();
        let name = unit.name.map_or_else(|| file.clone(), |name| text(name.slice()));
        found.insert(id.0, Skeleton { name, id, directory, file });
    }
    Ok(found)
}

fn package_has(package: &DwarfPackageSections<Content>, id: DwoId) -> bool {
    package.borrow(|content| reader(content), reader(&Content::Absent)).is_ok_and(|package| package.cu_index.find(id.0).is_some())
}

fn load_package(path: &Path, bytes: &[u8]) -> Result<DwarfPackageSections<Content>, ProgramError> {
    let file = parse(path, bytes)?;
    let place = |source| ProgramError::Dwarf { place: path.display().to_string(), source };
    let mut failed = None;
    let load = |id| -> gimli::Result<Content> {
        Ok(load_section(&file, id).unwrap_or_else(|error| {
            failed.get_or_insert(error);
            Content::Absent
        }))
    };
    let package = DwarfPackageSections::load(load).map_err(place)?;
    failed.map_or(Ok(package), Err)
}

/// The `.dwo` file of a unit: where the compiler left it, else in the search's folders.
fn find_file(unit: &Skeleton, search: &SplitSearch<'_>) -> Result<DwarfSections<Content>, ProgramError> {
    let name = Path::new(&unit.file);
    let first = Path::new(&unit.directory).join(name);
    // The name comes from the file: elsewhere it must stay within the folder.
    let others = search.folders.iter().flat_map(|folder| {
        let below = name.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let base = name.file_name().map(|base| folder.join(base));
        below.then(|| folder.join(name)).into_iter().chain(base)
    });
    let mut looked = Vec::new();
    for path in std::iter::once(first).chain(others) {
        let found = (search.read)(&path).map_err(|error| match error {
            ProgramError::Read { source, .. } => source.to_string(),
            other => other.to_string(),
        });
        match found.and_then(|bytes| try_file(unit, &path, &bytes)) {
            Ok(sections) => return Ok(sections),
            Err(why) => looked.push(format!("{} ({why})", path.display())),
        }
    }
    looked.extend(search.packages.iter().map(|path| format!("{} (has it not)", path.display())));
    let problem = format!("is split off into {}, which is nowhere; looked for {}", unit.file, looked.join(", "));
    Err(ProgramError::SplitDebug { unit: unit.name.clone(), problem })
}

fn try_file(unit: &Skeleton, path: &Path, bytes: &[u8]) -> Result<DwarfSections<Content>, String> {
    let file = parse(path, bytes).map_err(|error| error.to_string())?;
    let sections = DwarfSections::load(|id| load_section(&file, id)).map_err(|error: ProgramError| error.to_string())?;
    let id = first_id(&sections).map_err(|error| error.to_string())?;
    match id {
        Some(id) if id == unit.id => Ok(sections),
        Some(id) => Err(format!("of another build: expected unit {:016x}, found {:016x}", unit.id.0, id.0)),
        None => Err("without a split unit".to_owned()),
    }
}

fn first_id(sections: &DwarfSections<Content>) -> gimli::Result<Option<DwoId>> {
    let dwarf = sections.borrow(|content| reader(content));
    let Some(header) = dwarf.units().next()? else { return Ok(None) };
    match header.type_() {
        UnitType::SplitCompilation(id) => Ok(Some(id)),
        _ => Ok(dwarf.unit(header)?.dwo_id),
    }
}

type File<'d> = object::File<'d>;

fn parse<'d>(path: &Path, bytes: &'d [u8]) -> Result<File<'d>, ProgramError> {
    File::parse(bytes).map_err(|source| ProgramError::SplitDebug {
        unit: path.display().to_string(),
        problem: format!("cannot be read: {source}"),
    })
}

fn load_section(file: &File<'_>, id: SectionId) -> Result<Content, ProgramError> {
    let Some(section) = id.dwo_name().and_then(|name| file.section_by_name(name)) else { return Ok(Content::Absent) };
    let name = section.name().unwrap_or_default();
    let data = section.compressed_data().map_err(|source| ProgramError::Compressed { section: name.to_owned(), source })?;
    match data.format {
        object::CompressionFormat::None => Ok(Content::Unpacked(data.data.to_vec())),
        format => unpack(name, format, data.data, data.uncompressed_size),
    }
}

/// Writes all units anew, each split one in the place of the one that stands for it.
fn convert(
    parent: &gimli::Dwarf<Reader<'_>>,
    parts: &HashMap<u64, gimli::Dwarf<Reader<'_>>>,
) -> Result<HashMap<SectionId, Vec<u8>>, ProgramError> {
    let mut written = gimli::write::Dwarf::new();
    let failed = |place: &str| {
        let place = place.to_owned();
        move |source: ConvertError| ProgramError::Join { place, source }
    };
    let mut all = written.convert(parent).map_err(failed("the units"))?;
    while let Some((mut unit, root)) = all.read_unit().map_err(failed("the units"))? {
        let name = unit.read_unit.name.map(|name| text(name.slice())).unwrap_or_default();
        let part = unit.read_unit.dwo_id.and_then(|id| parts.get(&id.0));
        match part {
            Some(part) => convert_part(&mut unit, &root, part).map_err(failed(&name))?,
            None => convert_entries(&mut unit, root).map_err(failed(&name))?,
        }
    }
    let mut sections = Sections::new(gimli::write::EndianVec::new(LittleEndian));
    written.write(&mut sections).map_err(|source| failed("the sections")(source.into()))?;
    let mut bytes = HashMap::new();
    let taken: Result<(), std::convert::Infallible> = sections.for_each_mut(|id, section| {
        bytes.insert(id, section.take());
        Ok(())
    });
    match taken {
        Ok(()) => Ok(bytes),
    }
}

/// One split unit; `root` is what its skeleton says of it.
fn convert_part<'a, 'd>(
    skeleton: &'a mut ConvertUnit<'a, Reader<'d>>,
    root: &ConvertUnitEntry<'a, Reader<'d>>,
    part: &'a gimli::Dwarf<Reader<'d>>,
) -> ConvertResult<()> {
    let mut units = part.units();
    units.next()?;
    if units.next()?.is_some() || part.type_units().next()?.is_some() {
        return Err(ConvertError::UnsupportedUnitType);
    }
    let mut split = skeleton.convert_split(part)?;
    let (mut unit, own_root) = split.read_unit()?;
    convert_entries(&mut unit, own_root)?;
    let id = unit.unit.root();
    convert_attributes(&mut unit, id, root)
}

/// All entries of a unit, and its line table.
fn convert_entries<'a, 'd>(unit: &mut ConvertUnit<'a, Reader<'d>>, root: ConvertUnitEntry<'a, Reader<'d>>) -> ConvertResult<()> {
    if let Some(program) = unit.read_line_program(None, None)? {
        let (program, files) = program.convert(&same_address)?;
        unit.set_line_program(program, files);
    }
    let id = unit.unit.root();
    convert_attributes(unit, id, &root)?;
    let mut entry = root;
    while let Some(id) = unit.read_entry(&mut entry)? {
        let id = unit.add_entry(id, &entry);
        convert_attributes(unit, id, &entry)?;
    }
    Ok(())
}

fn convert_attributes<'d>(
    unit: &mut ConvertUnit<'_, Reader<'d>>,
    id: UnitEntryId,
    entry: &ConvertUnitEntry<'_, Reader<'d>>,
) -> ConvertResult<()> {
    for attribute in &entry.attrs {
        let value = match attribute.name() {
            // Numbers of views of a line, which nobody here reads.
            dw::DW_AT_GNU_locviews => continue,
            // The files are numbered anew; a number in the abbreviation would be taken over as it is.
            dw::DW_AT_decl_file | dw::DW_AT_call_file if attribute.form() == dw::DW_FORM_implicit_const => {
                let index = attribute.raw_value().udata_value().ok_or(ConvertError::InvalidFileIndex)?;
                AttributeValue::FileIndex(unit.convert_file_index(entry.read_unit, index)?)
            }
            _ => match attribute.value() {
                gimli::AttributeValue::LocationListsRef(offset) => {
                    let list = unit.convert_location_list(entry.read_unit, offset, &same_address)?;
                    AttributeValue::LocationListRef(unit.unit.locations.add(count_from_base(list, &entry.read_unit)))
                }
                _ => unit.convert_attribute_value(entry.read_unit, attribute, &same_address)?,
            },
        };
        unit.unit.get_mut(id).set(attribute.name(), value);
    }
    Ok(())
}

/// Lists of GNU's extension of DWARF 4 have whole addresses; those of DWARF 4 itself count from the unit's start.
fn count_from_base(list: LocationList, unit: &gimli::UnitRef<'_, Reader<'_>>) -> LocationList {
    let base = unit.low_pc;
    if unit.encoding().version >= 5 || base == 0 {
        return list;
    }
    let relative = |location: Location| match location {
        Location::StartLength { begin: Address::Constant(begin), length, data } if begin >= base => {
            Location::OffsetPair { begin: begin - base, end: (begin - base).saturating_add(length), data }
        }
        Location::StartEnd { begin: Address::Constant(begin), end: Address::Constant(end), data } if begin >= base => {
            Location::OffsetPair { begin: begin - base, end: end.saturating_sub(base), data }
        }
        other => other,
    };
    LocationList(list.0.into_iter().map(relative).collect())
}

fn same_address(address: u64) -> Option<Address> {
    Some(Address::Constant(address))
}
