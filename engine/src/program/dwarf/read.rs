//! Reads all units of a file, side by side, and puts them together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use gimli::{UnitHeader, UnitType};

use super::image::Image;
use super::lines::Lines;
use super::merge::merge;
use super::raw::{Key, RawUnit};
use super::sections::{DebugSections, Reader};
use super::unit::{Shared, read_unit, unit_key};
use super::{DebugInfo, Function};
use crate::program::elf::Elf;
use crate::program::error::ProgramError;

/// The most threads that one file is read with.
const THREAD_LIMIT: usize = 8;

/// What was read.
#[derive(Debug)]
pub struct Reading {
    /// Functions, variables, types.
    pub debug: DebugInfo,
    /// Definitions of functions whose code no entry describes: inlined everywhere, or folded with a function of the same code.
    pub bodiless: Vec<Function>,
    /// Line tables.
    pub lines: Lines,
}

/// Reads the debug information in `sections` about the program `elf` (which may be another file: see debuglink).
///
/// # Errors
/// Debug information that cannot be decoded, or that lies in further files (split DWARF, supplementary files).
pub fn read(elf: &Elf, sections: &DebugSections) -> Result<Reading, ProgramError> {
    let dwarf = sections.dwarf();
    let (headers, signatures) = headers(&dwarf)?;
    let image = Image::of(elf);
    let shared = Shared { dwarf: &dwarf, image: &image, signatures: &signatures, supplement: sections.supplement.as_deref() };
    let units = read_units(&shared, &headers)?;
    let ranges = units.iter().zip(&headers).flat_map(|(unit, header)| {
        let offset = unit_key(header) as usize;
        unit.ranges.iter().map(move |&(start, end)| (start, end, offset))
    });
    let lines = Lines::new(ranges.collect());
    let (debug, bodiless) = merge(units);
    Ok(Reading { debug, bodiless, lines })
}

type Headers<'a> = Vec<UnitHeader<Reader<'a>>>;

/// All unit headers, those of `.debug_types` last, and the types that type units define, by signature.
fn headers<'a>(dwarf: &gimli::Dwarf<Reader<'a>>) -> Result<(Headers<'a>, HashMap<u64, Key>), ProgramError> {
    let error = |section: &str| {
        let place = format!("the unit headers of {section}");
        move |source| ProgramError::Dwarf { place: place.clone(), source }
    };
    let mut headers = Vec::new();
    let mut units = dwarf.units();
    while let Some(header) = units.next().map_err(error(".debug_info"))? {
        headers.push(header);
    }
    let mut units = dwarf.type_units();
    while let Some(header) = units.next().map_err(error(".debug_types"))? {
        headers.push(header);
    }
    let mut signatures = HashMap::new();
    for header in &headers {
        if let UnitType::Type { type_signature, type_offset } = header.type_() {
            signatures.insert(type_signature.0, unit_key(header).wrapping_add(type_offset.0 as u64));
        }
    }
    Ok((headers, signatures))
}

fn read_units<'a>(shared: &Shared<'a, '_>, headers: &Headers<'a>) -> Result<Vec<RawUnit<'a>>, ProgramError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREAD_LIMIT).min(headers.len().max(1));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(header) = headers.get(index) else { return done };
            done.push((index, read_unit(shared, index, *header)));
        }
    };
    let mut all = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            match other.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, unit)| unit).collect()
}
