//! Where the arguments of a function are when it is entered (System V ABI, 3.2.3), by the names of its parameters.

use dsu_formats::address::RunAddress;
use gimli::constants::DW_ATE_float;

use super::locals::ENCODED;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::flow::Place;
use crate::program::types::{Shape, TypeId};
use crate::program::unwind::{Place as Kept, RegisterValue};
use crate::program::variables::{Frame, Local, Piece, Source, Variables};

/// Registers of the first integer arguments, as instructions number them.
const GENERAL: [u8; 6] = [7, 6, 2, 1, 8, 9];
/// How many arguments go into vector registers.
const VECTORS: u8 = 8;

/// Where a frame is thought to be while places in it are found.
const FRAME: u64 = 1 << 40;
/// How far a build is moved to tell addresses in it from numbers.
const MOVED: u64 = 1 << 42;

/// The parameters of a function with the places of their arguments.
#[derive(Debug)]
pub(super) struct Parameters {
    places: Vec<(Place, String)>,
    /// Their types.
    kinds: Vec<(Place, Option<TypeId>)>,
    /// Parameters that nobody passes: the compiler made the function for these values.
    fixed: Vec<(String, Fixed)>,
    /// Whether the place of each is known.
    is_whole: bool,
}

/// What a parameter always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fixed {
    /// A number.
    Number(u64),
    /// An address of its build.
    Address(LinkAddress),
}

/// How an argument is passed.
enum Class {
    General,
    Vector,
    /// A structure of whole numbers and addresses, in two registers if two are left, else on the stack.
    Pair,
    /// Bytes on the stack.
    Stack(u64),
    Other,
}

impl Parameters {
    /// The parameters of the function entered at `entry`, if all are known.
    pub(super) fn of(build: &Build, entry: LinkAddress) -> Option<Self> {
        Self::usual(build, entry).or_else(|| Self::told(build, entry))
    }

    /// Those of a function that the compiler made for some arguments only, or of which it dropped parameters: what debug information tells
    /// of each at the entry. One of which it tells nothing is not passed, or in parts: nothing that the function makes of it is ever
    /// explained by a name.
    fn told(build: &Build, entry: LinkAddress) -> Option<Self> {
        let mut variables = Variables::new(build);
        let parameters = variables.parameters(entry).ok()?;
        let (mut places, mut kinds, mut fixed) = (Vec::new(), Vec::new(), Vec::new());
        let locals = variables.at(entry).ok()?.into_iter().filter(|local| local.inlined.is_none());
        for local in locals.filter(|local| parameters.contains(&local.name)) {
            match told_of(&variables, &local) {
                Some(Told::In(register)) if matches!(class(build, local.kind), Class::General) => {
                    kinds.push((Place::Register(register), local.kind));
                    places.push((Place::Register(register), local.name));
                }
                None if matches!(class(build, local.kind), Class::Vector) => {
                    let register = variables.vector(&local).filter(|register| *register < VECTORS);
                    places.extend(register.map(|register| (Place::Vector(register), local.name)));
                }
                Some(Told::Always(value)) => fixed.push((local.name, value)),
                Some(Told::Passed(offset)) => {
                    let words = match class(build, local.kind) {
                        Class::General | Class::Vector => 1,
                        Class::Stack(bytes) => bytes.div_ceil(8),
                        Class::Pair | Class::Other => 0,
                    };
                    let own: Vec<Place> =
                        (0..words).filter_map(|word| Some(word_at(offset.checked_add_unsigned(8 * word)?))).collect();
                    if let [place] = own[..] {
                        kinds.push((place, local.kind));
                    }
                    places.extend(named(&local.name, own));
                }
                Some(Told::In(_)) | None => {}
            }
        }
        let absent = variables.absent(entry).ok()?.into_iter().filter(|absent| absent.inlined.is_none());
        for absent in absent.filter(|absent| parameters.contains(&absent.name)) {
            fixed.extend(absent.value.map(|value| (absent.name, Fixed::Number(value))));
        }
        Some(Self { places, kinds, fixed, is_whole: false })
    }

    /// Those of a function as its source has it, by the calling convention.
    fn usual(build: &Build, entry: LinkAddress) -> Option<Self> {
        let described =
            build.debug.functions.iter().find(|function| function.ranges.first().is_some_and(|range| range.0 == entry))?;
        let symbols = build.elf.symbols.iter().filter(|symbol| symbol.is_code() && symbol.address == entry);
        if symbols.clone().any(|symbol| symbol.name.contains('.')) {
            return None;
        }
        let types = &build.debug.types;
        let Shape::Function { parameters, result, .. } = &types.get(types.peel(described.kind)?).shape else { return None };
        let mut variables = Variables::new(build);
        let is_c = variables.is_c(entry);
        let locals = variables.at(entry).ok()?;
        let mut names = locals.into_iter().filter(|local| local.inlined.is_none());
        let mut passed = Passed { general: GENERAL.iter(), vectors: 0..VECTORS, stack: 0 };
        match class(build, *result) {
            Class::Stack(_) if is_c => drop(passed.general.next()),
            // Whether its address is passed first is not known.
            Class::Stack(_) | Class::Pair => return None,
            Class::General | Class::Vector | Class::Other => {}
        }
        let (mut places, mut kinds, mut is_whole) = (Vec::new(), Vec::new(), true);
        for kind in parameters {
            let local = names.next().filter(|local| types.peel(local.kind) == types.peel(*kind))?;
            let class = class(build, *kind);
            let is_plain = matches!(class, Class::General | Class::Vector) && !is_structure(build, *kind);
            // How it is passed decides where all that follow are.
            if matches!(class, Class::Other) || !(is_c || is_plain) {
                is_whole = false;
                break;
            }
            let is_wide = matches!(class, Class::Pair) || matches!(class, Class::Stack(bytes) if bytes.is_multiple_of(16));
            let own = passed.places(&class);
            // What is aligned to sixteen bytes would begin at another place.
            if is_wide && matches!(own.first(), Some(Place::Slot { offset, .. }) if offset % 16 != 0) {
                is_whole = false;
                break;
            }
            if let [place] = own[..] {
                kinds.push((place, local.kind));
            }
            places.extend(named(&local.name, own));
        }
        Some(Self { places, kinds, fixed: Vec::new(), is_whole })
    }

    /// All parameters with the places of their arguments.
    pub(super) fn places(&self) -> impl Iterator<Item = (&Place, &str)> {
        self.places.iter().map(|(place, name)| (place, name.as_str()))
    }

    /// Parameters that nobody passes, with what they always are.
    pub(super) fn fixed(&self) -> impl Iterator<Item = (&str, Fixed)> {
        self.fixed.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Whether no parameter is anywhere else.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Where the argument of a parameter is.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        self.places.iter().find(|(_, own)| own == name).map(|(place, _)| *place)
    }

    /// The type of the parameter whose argument is at a place when the function is entered.
    pub(super) fn kind(&self, place: Place) -> Option<TypeId> {
        self.kinds.iter().find(|(own, _)| *own == place).and_then(|(_, kind)| *kind)
    }

    /// The parameter whose argument is at a place when the function is entered.
    pub(super) fn name(&self, place: Place) -> Option<&str> {
        let holds = |own: &Place| match (*own, place) {
            (Place::Slot { offset: own, .. }, Place::Slot { offset, length }) => own == offset && length <= 8,
            (own, place) => own == place,
        };
        self.places.iter().find(|(own, _)| holds(own)).map(|(_, name)| name.as_str())
    }
}

/// The places of one argument, with what each word of it is called.
fn named(name: &str, places: Vec<Place>) -> impl Iterator<Item = (Place, String)> {
    let parts = places.len();
    let of = move |part: usize| if parts == 1 { name.to_owned() } else { format!("{name} (part {part})") };
    (1..).zip(places).map(move |(part, place)| (place, of(part)))
}

fn word_at(offset: i64) -> Place {
    Place::Slot { offset, length: 8 }
}

/// What is left for arguments.
struct Passed<'p> {
    general: std::slice::Iter<'p, u8>,
    vectors: std::ops::Range<u8>,
    stack: i64,
}

impl Passed<'_> {
    /// Where the next argument is, each word of it.
    fn places(&mut self, class: &Class) -> Vec<Place> {
        let in_register = match class {
            Class::General => self.general.next().map(|register| vec![Place::Register(*register)]),
            Class::Vector => self.vectors.next().map(|register| vec![Place::Vector(register)]),
            Class::Pair if self.general.len() >= 2 => {
                Some(self.general.by_ref().take(2).map(|register| Place::Register(*register)).collect())
            }
            Class::Pair | Class::Stack(_) | Class::Other => None,
        };
        in_register.unwrap_or_else(|| {
            let words = match class {
                Class::Stack(bytes) => bytes.div_ceil(8),
                Class::Pair => 2,
                Class::General | Class::Vector | Class::Other => 1,
            };
            (0..words).map(|_| self.word()).collect()
        })
    }

    fn word(&mut self) -> Place {
        self.stack += 8;
        word_at(self.stack - 8)
    }
}

/// Whether a register, as instructions number it, is one that whole numbers and addresses are passed in.
pub(super) fn is_argument(register: u8) -> bool {
    GENERAL.contains(&register)
}

/// How long a structure is that the function entered at `entry` gives back in memory whose address it is given first, and its type.
pub(super) fn given_back(build: &Build, entry: LinkAddress) -> Option<(u64, TypeId)> {
    let described =
        build.debug.functions.iter().find(|function| function.ranges.first().is_some_and(|range| range.0 == entry))?;
    let types = &build.debug.types;
    let Shape::Function { result, .. } = &types.get(types.peel(described.kind)?).shape else { return None };
    match class(build, *result) {
        Class::Stack(bytes) if Variables::new(build).is_c(entry) => Some((bytes, (*result)?)),
        _ => None,
    }
}

/// Where a variable is at the entry.
enum Told {
    In(u8),
    /// On the stack, so far from the frame's address.
    Passed(i64),
    Always(Fixed),
}

fn told_of(variables: &Variables<'_>, local: &Local<'_>) -> Option<Told> {
    let registers =
        std::array::from_fn(|number| Some(RegisterValue { value: FRAME, place: Kept::Register(u8::try_from(number).ok()?) }));
    let at = |registers: &[Option<RegisterValue>; 16], bias: u64| {
        let mut word = |_: RunAddress| None;
        let mut frame = Frame { registers, cfa: RunAddress(FRAME), bias, word: &mut word };
        match variables.locate(local, &mut frame)[..] {
            [Piece { bits: None, source }] => Some(source),
            _ => None,
        }
    };
    match at(&registers, 0)? {
        Source::Register(RegisterValue { place: Kept::Register(register), .. }) => {
            let register = ENCODED.get(usize::from(register)).copied()?;
            GENERAL.contains(&register).then_some(Told::In(register))
        }
        // Counted from the frame's address, not from a register that the function is yet to set.
        Source::Memory(_) => match at(&[None; 16], 0)? {
            Source::Memory(address) => {
                address.0.checked_sub(FRAME).and_then(|offset| i64::try_from(offset).ok()).map(Told::Passed)
            }
            _ => None,
        },
        // What needs no register is the same in any frame.
        Source::Value(_) => match (at(&[None; 16], 0)?, at(&[None; 16], MOVED)?) {
            (Source::Value(one), Source::Value(moved)) if one == moved => Some(Told::Always(Fixed::Number(one))),
            (Source::Value(one), Source::Value(moved)) if moved.wrapping_sub(one) == MOVED => {
                Some(Told::Always(Fixed::Address(LinkAddress(one))))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Longer structures are not looked at.
const LONGEST: u64 = 1 << 12;

fn class(build: &Build, kind: Option<TypeId>) -> Class {
    let types = &build.debug.types;
    let (Some(peeled), size) = (types.peel(kind), types.size_of(kind)) else { return Class::Other };
    match &types.get(peeled).shape {
        Shape::Base { encoding } if *encoding == DW_ATE_float.0 && size.is_some_and(|size| size <= 8) => Class::Vector,
        Shape::Base { encoding } if *encoding != DW_ATE_float.0 && size.is_some_and(|size| size <= 8) => Class::General,
        Shape::Pointer { .. } | Shape::Enum { .. } => Class::General,
        Shape::Struct { .. } | Shape::Union { .. } => match size {
            Some(1..=16) if !is_whole_numbers(build, kind, 0) => Class::Other,
            Some(1..=8) => Class::General,
            Some(9..=16) => Class::Pair,
            Some(bytes @ 17..=LONGEST) if is_whole_numbers(build, kind, 0) => Class::Stack(bytes),
            _ => Class::Other,
        },
        _ => Class::Other,
    }
}

fn is_structure(build: &Build, kind: Option<TypeId>) -> bool {
    let types = &build.debug.types;
    let shape = types.peel(kind).map(|kind| &types.get(kind).shape);
    matches!(shape, Some(Shape::Struct { .. } | Shape::Union { .. }))
}

/// Whether something holds nothing but whole numbers and addresses of at most eight bytes, each at a multiple of its size: what is packed
/// otherwise, or needs more than eight bytes' alignment, is passed in other ways.
fn is_whole_numbers(build: &Build, kind: Option<TypeId>, at: u64) -> bool {
    let types = &build.debug.types;
    let (Some(peeled), Some(size)) = (types.peel(kind), types.size_of(kind)) else { return false };
    match &types.get(peeled).shape {
        Shape::Base { encoding } => *encoding != DW_ATE_float.0 && matches!(size, 1 | 2 | 4 | 8) && at.is_multiple_of(size),
        Shape::Pointer { .. } | Shape::Enum { .. } => matches!(size, 1 | 2 | 4 | 8) && at.is_multiple_of(size),
        Shape::Struct { members } | Shape::Union { members } => {
            !members.is_empty()
                && members.iter().all(|member| match member.bits {
                    Some(_) => is_whole_numbers(build, member.kind, 0),
                    None => is_whole_numbers(build, member.kind, at.saturating_add(member.offset)),
                })
        }
        Shape::Array { element, counts } => {
            !counts.is_empty() && counts.iter().all(Option::is_some) && is_whole_numbers(build, *element, at)
        }
        _ => false,
    }
}
