//! What running a function leaves behind, told from its code and from everything that it calls.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind, Register};

use crate::program::code::{Callee, CodeImage, FunctionId, ImportId};
use crate::program::flow::may_store;

/// What a call leaves behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impact {
    /// Nothing that the program can read later.
    None,
    /// Output that the program does not read.
    Output,
    /// Anything.
    #[default]
    Memory,
}

/// Library functions that only look (C11, POSIX), or that give storage that only their caller knows.
const NO_IMPACT: [&str; 62] = [
    "strlen",
    "strnlen",
    "strcmp",
    "strncmp",
    "strcasecmp",
    "strncasecmp",
    "strchr",
    "strrchr",
    "strchrnul",
    "strstr",
    "strcasestr",
    "strspn",
    "strcspn",
    "strpbrk",
    "memcmp",
    "memchr",
    "memrchr",
    "memmem",
    "rawmemchr",
    "bcmp",
    "abs",
    "labs",
    "llabs",
    "isatty",
    "getpid",
    "getppid",
    "gettid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getpgrp",
    "getpagesize",
    "sysconf",
    "sched_getcpu",
    "pthread_self",
    "pthread_equal",
    "__errno_location",
    "__ctype_b_loc",
    "__ctype_tolower_loc",
    "__ctype_toupper_loc",
    "toupper",
    "tolower",
    "isalpha",
    "isdigit",
    "isspace",
    "isalnum",
    "isupper",
    "islower",
    "isprint",
    "ispunct",
    "htonl",
    "htons",
    "ntohl",
    "ntohs",
    "floor",
    "ceil",
    "fabs",
    "fabsf",
    "sqrt",
    "malloc_usable_size",
    "fileno",
];

/// Library functions that write to a stream or a log.
const OUTPUT: [&str; 29] = [
    "printf",
    "vprintf",
    "puts",
    "putchar",
    "putchar_unlocked",
    "_IO_putc",
    "putc",
    "fputc",
    "fputs",
    "fputs_unlocked",
    "fwrite",
    "fwrite_unlocked",
    "fprintf",
    "vfprintf",
    "dprintf",
    "vdprintf",
    "perror",
    "fflush",
    "syslog",
    "vsyslog",
    "__printf_chk",
    "__vprintf_chk",
    "__fprintf_chk",
    "__vfprintf_chk",
    "__dprintf_chk",
    "__vdprintf_chk",
    "__syslog_chk",
    "__vsyslog_chk",
    "psignal",
];

/// What the functions do that some functions can call.
#[derive(Clone, Debug, Default)]
pub struct Impacts {
    functions: BTreeMap<FunctionId, Impact>,
    imports: BTreeMap<ImportId, Impact>,
}

impl Impacts {
    /// Of everything that `roots` call.
    pub fn new(image: &CodeImage<'_>, roots: impl Iterator<Item = FunctionId>) -> Self {
        let mut found = Self::default();
        let mut open: Vec<FunctionId> = roots.collect();
        let mut seen: BTreeSet<FunctionId> = open.iter().copied().collect();
        while let Some(function) = open.pop() {
            found.functions.insert(function, own(image, function));
            for call in image.calls(function) {
                match call.callee {
                    Callee::Function(callee) if seen.insert(callee) => open.push(callee),
                    Callee::Import(import) => {
                        found
                            .imports
                            .entry(import)
                            .or_insert_with(|| named(image.import(import).map(|symbol| symbol.name.as_str())));
                    }
                    _ => {}
                }
            }
        }
        found.spread(image);
        found
    }

    /// What a call leaves behind.
    pub fn of(&self, callee: Callee) -> Impact {
        match callee {
            Callee::Function(function) => self.functions.get(&function).copied().unwrap_or_default(),
            Callee::Import(import) => self.imports.get(&import).copied().unwrap_or_default(),
            Callee::Selected(_) | Callee::Indirect | Callee::Unknown(_) => Impact::Memory,
        }
    }

    /// A function does what those do that it calls.
    fn spread(&mut self, image: &CodeImage<'_>) {
        let functions: Vec<FunctionId> = self.functions.keys().copied().collect();
        let mut changed = true;
        while changed {
            changed = false;
            for function in &functions {
                let called = image.calls(*function).iter().map(|call| self.of(call.callee)).max().unwrap_or(Impact::None);
                if let Some(own) = self.functions.get_mut(function)
                    && called > *own
                {
                    *own = called;
                    changed = true;
                }
            }
        }
    }
}

fn named(name: Option<&str>) -> Impact {
    match name {
        Some(name) if NO_IMPACT.contains(&name) => Impact::None,
        Some(name) if OUTPUT.contains(&name) => Impact::Output,
        _ => Impact::Memory,
    }
}

/// What a function's own instructions do: whether one may store elsewhere than in its frame.
fn own(image: &CodeImage<'_>, function: FunctionId) -> Impact {
    if image.defect(function).is_some() {
        return Impact::Memory;
    }
    let stores = image.parts(function).any(|(start, bytes)| {
        let mut decoder = Decoder::with_ip(64, bytes, start.0, DecoderOptions::NONE);
        let mut frame_pointer = false;
        let mut instruction = iced_x86::Instruction::default();
        while decoder.can_decode() {
            decoder.decode_out(&mut instruction);
            // Only the usual prologue makes it one, and nothing else is then kept in it.
            let is_prologue = instruction.mnemonic() == Mnemonic::Mov
                && instruction.op0_kind() == OpKind::Register
                && instruction.op1_kind() == OpKind::Register
                && instruction.op0_register() == Register::RBP;
            frame_pointer |= is_prologue && instruction.op1_register() == Register::RSP;
            if instruction.is_invalid()
                || instruction.is_string_instruction()
                || matches!(instruction.mnemonic(), Mnemonic::Syscall | Mnemonic::Int | Mnemonic::Maskmovdqu)
            {
                return true;
            }
            if instruction.op0_kind() == OpKind::Memory && may_store(&instruction) {
                let plain = instruction.memory_index() == Register::None && instruction.segment_prefix() != Register::FS;
                let own = match instruction.memory_base() {
                    Register::RSP => true,
                    Register::RBP => frame_pointer,
                    _ => false,
                };
                if !(plain && own) {
                    return true;
                }
            }
        }
        false
    });
    if stores { Impact::Memory } else { Impact::None }
}
