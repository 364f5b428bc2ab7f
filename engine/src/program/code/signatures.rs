//! Which registers a function is given its arguments in and leaves its result in (System V ABI §3.2.3), where debug information and the
//! function's visibility make that certain.

use std::collections::HashSet;

use object::elf;

use super::facts::RegisterSet;
use super::functions::{Function, FunctionId};
use super::image::CodeImage;
use super::reference::Callee;
use crate::program::dwarf::DebugInfo;
use crate::program::elf::Elf;
use crate::program::types::{Shape, TypeId};

/// General registers of arguments, in order: rdi, rsi, rdx, rcx, r8, r9.
const ARGUMENTS: [u16; 6] = [7, 6, 2, 1, 8, 9];
const RAX: u16 = 1;
/// The static chain of nested functions.
const R10: u16 = 1 << 10;

/// DW_ATE_complex_float.
const COMPLEX_FLOAT: u8 = 3;
/// DW_ATE_float.
const FLOAT: u8 = 4;

/// What is passed to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// In registers, as far as the callee's code reads them.
    pub registers: RegisterSet,
    /// In general registers, whether the callee's code reads them or not.
    pub given: u16,
    /// Whether some may be passed on the stack.
    pub on_stack: bool,
    /// Whether vector registers may be used as a whole, rather than for one number each.
    pub wide_vectors: bool,
}

impl Arguments {
    /// All that may be.
    pub const ALL: Self = Self {
        given: 1 << 7 | 1 << 6 | 1 << 2 | 1 << 1 | 1 << 8 | 1 << 9 | RAX | R10,
        registers: RegisterSet {
            general: 1 << 7 | 1 << 6 | 1 << 2 | 1 << 1 | 1 << 8 | 1 << 9 | RAX | R10,
            vector: 0xff,
            mask: 0,
        },
        on_stack: true,
        wide_vectors: true,
    };
}

/// What a function leaves to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Results {
    /// Bits of rax.
    pub rax: u64,
    /// Bits of rdx.
    pub rdx: u64,
    /// Vector registers.
    pub vector: u32,
    /// Whether something may be on the stack of the x87 unit.
    pub x87: bool,
}

impl Results {
    /// All that may be.
    pub const ALL: Self = Self { rax: u64::MAX, rdx: u64::MAX, vector: 3, x87: true };
    const NONE: Self = Self { rax: 0, rdx: 0, vector: 0, x87: false };
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    arguments: Arguments,
    results: Results,
    /// Registers that certainly hold a result. The function may not even write it (`double same(double x) { return x; }`).
    left: RegisterSet,
}

impl Signature {
    const NO_RESULT: RegisterSet = RegisterSet { general: 0, vector: 0, mask: 0 };
    const UNKNOWN: Self = Self { arguments: Arguments::ALL, results: Results::ALL, left: Self::NO_RESULT };
}

impl CodeImage<'_> {
    /// What a call passes.
    pub fn arguments(&self, callee: Callee) -> Arguments {
        let Callee::Function(function) = callee else { return Arguments::ALL };
        let told = self.parameters(function);
        let on_stack = told.on_stack || self.uses_stack_arguments(callee);
        Arguments { registers: told.registers.and(self.reads(callee)), on_stack, ..told }
    }

    /// What a function may be given.
    pub fn parameters(&self, function: FunctionId) -> Arguments {
        self.signatures.get(function.0 as usize).map_or(Arguments::ALL, |signature| signature.arguments)
    }

    /// The registers in which a callee certainly leaves a result, as far as that is known.
    pub(super) fn left(&self, callee: Callee) -> RegisterSet {
        match callee {
            Callee::Function(FunctionId(function)) => {
                self.signatures.get(function as usize).map_or(Signature::NO_RESULT, |signature| signature.left)
            }
            _ => Signature::NO_RESULT,
        }
    }

    /// What a function leaves to its caller.
    pub fn results(&self, function: FunctionId) -> Results {
        self.signatures.get(function.0 as usize).map_or(Results::ALL, |signature| signature.results)
    }
}

/// The signatures of all functions, in order.
pub(super) fn all<'f>(elf: &Elf, debug: &DebugInfo, functions: impl Iterator<Item = &'f Function>) -> Vec<Signature> {
    let global = elf.symbols.iter().filter(|symbol| symbol.is_code() && symbol.binding != elf::STB_LOCAL.0);
    let global: HashSet<u64> = global.map(|symbol| symbol.address.0).collect();
    // GCC makes a copy of a function whose arguments it changes.
    let is_told = elf.is_all_of_gcc();
    functions.map(|function| signature(debug, function, is_told || global.contains(&function.entry().0))).collect()
}

/// The arguments of a function that other objects cannot call are the compiler's to change, unless it `is_told` that it does not; its result it
/// can only leave out.
fn signature(debug: &DebugInfo, function: &Function, is_told: bool) -> Signature {
    let mut known = Signature::UNKNOWN;
    let [position] = function.debug.as_slice() else { return known };
    let kind = debug.functions.get(*position).and_then(|function| function.kind);
    let Some(kind) = kind.and_then(|kind| debug.types.normal(Some(kind))) else { return known };
    let Shape::Function { result, parameters, variadic } = &debug.types.get(kind).shape else { return known };
    let is_told = is_told || has_only_numbers(debug, *position, parameters);
    known.results = results(debug, *result);
    // A specialised copy may have lost its result (`.isra`).
    if function.clone.is_original() && known.results != Results::ALL {
        let general = if known.results.rax != 0 { RAX } else { 0 };
        known.left = RegisterSet { general, vector: known.results.vector, mask: 0 };
    }
    if !variadic && function.clone.is_original() {
        // Of a function that no other object can call a compiler may change what it is given (clang's argument promotion): what the
        // code uses counts.
        let told = arguments(debug, parameters, *result).unwrap_or(Arguments::ALL);
        known.arguments = if is_told { told } else { Arguments { on_stack: told.on_stack, ..Arguments::ALL } };
        // The number of vector registers is told to functions that take any number of arguments.
        known.arguments.registers.general &= !RAX;
    }
    known
}

/// Whether a function of C is given numbers alone: what a compiler may change of its arguments is to leave some out. It makes several of a
/// pointer only (clang's argument promotion).
fn has_only_numbers(debug: &DebugInfo, position: usize, parameters: &[Option<TypeId>]) -> bool {
    let is_number = |kind: &Option<TypeId>| {
        let kind = debug.types.normal(*kind).map(|kind| &debug.types.get(kind).shape);
        matches!(kind, Some(Shape::Base { .. } | Shape::Enum { .. }))
    };
    let is_c = debug.functions.get(position).is_some_and(|function| function.unit.ends_with(".c"));
    is_c && parameters.iter().all(is_number)
}

/// How a value is passed.
enum Class {
    General { bytes: u64 },
    Vector,
    Stack,
    Unknown,
    Nothing,
}

fn class(debug: &DebugInfo, kind: Option<TypeId>) -> Class {
    let Some(kind) = debug.types.normal(kind) else { return Class::Nothing };
    let known = debug.types.get(kind);
    match (&known.shape, known.size) {
        (Shape::Void, _) => Class::Nothing,
        (Shape::Base { encoding: FLOAT }, Some(4 | 8)) => Class::Vector,
        (Shape::Base { encoding: FLOAT | COMPLEX_FLOAT }, _) => Class::Unknown,
        (Shape::Base { .. } | Shape::Enum { .. }, Some(bytes @ 1..=8)) => Class::General { bytes },
        (Shape::Pointer { .. }, _) => Class::General { bytes: 8 },
        (Shape::Struct { .. } | Shape::Union { .. }, Some(17..)) => Class::Stack,
        _ => Class::Unknown,
    }
}

fn results(debug: &DebugInfo, kind: Option<TypeId>) -> Results {
    match class(debug, kind) {
        Class::Nothing => Results::NONE,
        Class::Vector => Results { vector: 1, ..Results::NONE },
        // Compilers do not agree on who extends a result that is narrower than `int`.
        Class::General { bytes: ..=4 } => Results { rax: u64::from(u32::MAX), ..Results::NONE },
        // The address of a result in memory is given back.
        Class::General { .. } | Class::Stack => Results { rax: u64::MAX, ..Results::NONE },
        Class::Unknown => Results::ALL,
    }
}

fn arguments(debug: &DebugInfo, parameters: &[Option<TypeId>], result: Option<TypeId>) -> Option<Arguments> {
    let (mut general, mut vector, mut on_stack) = (0, 0, false);
    match class(debug, result) {
        Class::Stack => general += 1,
        Class::Unknown => return None,
        _ => {}
    }
    for parameter in parameters {
        match class(debug, *parameter) {
            Class::General { .. } => general += 1,
            Class::Vector => vector += 1,
            Class::Stack => on_stack = true,
            Class::Unknown | Class::Nothing => return None,
        }
    }
    on_stack |= general > ARGUMENTS.len() || vector > 8;
    let used = ARGUMENTS.iter().take(general).fold(0, |used, number| used | 1 << number);
    let registers = RegisterSet { general: used, vector: (1 << vector.min(8)) - 1, mask: 0 };
    Some(Arguments { registers, given: used, on_stack, wide_vectors: false })
}
