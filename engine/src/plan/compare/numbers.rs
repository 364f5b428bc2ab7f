//! Code that computes with the address of a variable or function as with a number: what it made of it (the place in a hash table, say)
//! is wrong once the address changes. A table keyed by addresses is found where the address goes into it directly; the rest is the
//! axiom that every plan prints.

use std::collections::{BTreeSet, HashMap, HashSet};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::functions::Functions;
use super::objects::Objects;
use crate::plan::blocker::Blocker;
use crate::plan::compare::sides::Side;
use crate::plan::spec::names::line;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::types::{Shape, TypeId, TypeTable};

/// Registers of the first integer arguments (System V ABI, 3.2.3).
const ARGUMENTS: [Register; 6] = [Register::RDI, Register::RSI, Register::RDX, Register::RCX, Register::R8, Register::R9];
/// Registers that a call does not keep.
const CLOBBERED: [Register; 9] = [
    Register::RAX,
    Register::RDI,
    Register::RSI,
    Register::RDX,
    Register::RCX,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Origin {
    /// The address of something of the program's own.
    Own(LinkAddress),
    /// The pointer that the function got as this argument.
    Argument(usize),
}

/// What one function does with addresses.
#[derive(Clone, Debug, Default)]
struct Uses {
    /// Addresses that it computes with.
    computed: HashSet<Origin>,
    /// Addresses that it hands to the function entered here, as this argument.
    passed: HashSet<(Origin, LinkAddress, usize)>,
}

/// A blocker for each variable or function of the old build and each function of it that computes with the address.
pub fn computed_addresses(build: &Build, side: &Side) -> Vec<Blocker> {
    let functions = &side.functions;
    // The compiler's start files compute the length of a table from its two ends.
    let is_start_file = |index: usize| {
        let code = &functions.list()[index];
        code.identity.unit == "crtstuff.c" && code.declared.1 == 0
    };
    let uses = |index| if is_start_file(index) { Uses::default() } else { Walk::new(build, side, index).run() };
    let uses: Vec<Uses> = (0..functions.list().len()).map(uses).collect();
    // Functions with arguments that they, or what they hand it to, compute with: and the functions that really do.
    let mut computing: HashMap<(usize, usize), BTreeSet<usize>> = HashMap::new();
    let mut found: BTreeSet<(LinkAddress, usize)> = BTreeSet::new();
    loop {
        let before = (computing.values().map(BTreeSet::len).sum::<usize>(), found.len());
        for (index, of) in uses.iter().enumerate() {
            let own = of.computed.iter().map(|origin| (*origin, index));
            let handed = of.passed.iter().filter_map(|(origin, callee, argument)| {
                let deeper = computing.get(&(functions.at_entry(*callee)?, *argument))?;
                Some(deeper.iter().map(|function| (*origin, *function)))
            });
            let origins: Vec<(Origin, usize)> = own.chain(handed.flatten()).collect();
            for (origin, function) in origins {
                match origin {
                    Origin::Own(address) => drop(found.insert((address, function))),
                    Origin::Argument(argument) => drop(computing.entry((index, argument)).or_default().insert(function)),
                }
            }
        }
        if (computing.values().map(BTreeSet::len).sum::<usize>(), found.len()) == before {
            break;
        }
    }
    found.iter().map(|(address, function)| blocker(build, functions, *address, *function)).collect()
}

fn blocker(build: &Build, functions: &Functions, address: LinkAddress, function: usize) -> Blocker {
    let code = &functions.list()[function];
    let place = format!("{}:{}", code.declared.0, code.declared.1);
    let (function, entry) = (code.identity.name.clone(), code.entry);
    let answers = vec![line("keyed-by-address", &function, "\"CALL_OF_THE_NEW_PROGRAM(&TABLE)\"")];
    Blocker::AddressAsNumber { function, entry, place, object: build.place(address), answers }
}

/// A pass over the code of one function, in the order of addresses: what registers and stack slots hold is followed through moves, up
/// to where ways meet.
struct Walk<'a> {
    build: &'a Build,
    functions: &'a Functions,
    objects: &'a Objects,
    index: usize,
    registers: HashMap<Register, Origin>,
    slots: HashMap<(Register, u64), Origin>,
    info: InstructionInfoFactory,
    uses: Uses,
}

impl<'a> Walk<'a> {
    fn new(build: &'a Build, side: &'a Side, index: usize) -> Self {
        Self {
            build,
            functions: &side.functions,
            objects: &side.objects,
            index,
            registers: HashMap::new(),
            slots: HashMap::new(),
            info: InstructionInfoFactory::new(),
            uses: Uses::default(),
        }
    }

    fn run(mut self) -> Uses {
        let code = &self.functions.list()[self.index];
        for (argument, register) in pointer_arguments(self.build, code.entry) {
            self.registers.insert(register, Origin::Argument(argument));
        }
        for (start, length) in &code.ranges {
            let Some(bytes) = self.build.elf.file_bytes(*start, *length) else { continue };
            let instructions: Vec<Instruction> = Decoder::with_ip(64, bytes, start.0, DecoderOptions::NONE).into_iter().collect();
            let targets: HashSet<u64> =
                instructions.iter().filter(|one| is_branch(one)).map(Instruction::near_branch_target).collect();
            for instruction in &instructions {
                // Where ways meet, what one of them left in a register says nothing.
                if targets.contains(&instruction.ip()) {
                    self.registers.clear();
                    self.slots.clear();
                }
                self.step(instruction);
                if matches!(
                    instruction.flow_control(),
                    FlowControl::UnconditionalBranch | FlowControl::IndirectBranch | FlowControl::Return
                ) {
                    self.registers.clear();
                    self.slots.clear();
                }
            }
        }
        self.uses
    }

    fn step(&mut self, instruction: &Instruction) {
        if let Some(origin) = self.computed(instruction) {
            self.uses.computed.insert(origin);
        }
        if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall | FlowControl::UnconditionalBranch)
        {
            self.leave(instruction);
        }
        let kept = self.result(instruction);
        let written: Vec<Register> = self
            .info
            .info(instruction)
            .used_registers()
            .iter()
            .filter(|used| {
                matches!(used.access(), OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite)
            })
            .map(|used| used.register().full_register())
            .collect();
        for register in written {
            self.registers.remove(&register);
        }
        match kept {
            Some((Place::Register(register), origin)) => drop(self.registers.insert(register, origin)),
            Some((Place::Slot(slot), origin)) => drop(self.slots.insert(slot, origin)),
            None if instruction.op0_kind() == OpKind::Memory => drop(slot(instruction).map(|slot| self.slots.remove(&slot))),
            None => {}
        }
    }

    /// The address that `instruction` does arithmetic with which no pointer is made for.
    fn computed(&self, instruction: &Instruction) -> Option<Origin> {
        let operand = self.operand(instruction, 0);
        match instruction.mnemonic() {
            Mnemonic::Shr | Mnemonic::Sar | Mnemonic::Shl | Mnemonic::Ror | Mnemonic::Rol | Mnemonic::Not | Mnemonic::Bswap => {
                operand
            }
            Mnemonic::Mul | Mnemonic::Div | Mnemonic::Idiv => operand.or(self.registers.get(&Register::RAX).copied()),
            Mnemonic::Imul | Mnemonic::Crc32 | Mnemonic::Mulx | Mnemonic::Rorx | Mnemonic::Shrx | Mnemonic::Shlx => {
                (0..instruction.op_count()).find_map(|index| self.operand(instruction, index))
            }
            Mnemonic::Xor | Mnemonic::Or if !is_same(instruction) => operand.or_else(|| self.operand(instruction, 1)),
            _ => None,
        }
    }

    fn leave(&mut self, instruction: &Instruction) {
        let target = LinkAddress(instruction.near_branch_target());
        let inside = self.functions.containing(target).is_some_and(|(function, _)| function == self.index);
        if inside && instruction.flow_control() == FlowControl::UnconditionalBranch {
            return;
        }
        for (argument, register) in ARGUMENTS.iter().enumerate() {
            if let Some(origin) = self.registers.get(register) {
                self.uses.passed.insert((*origin, target, argument));
            }
        }
        for register in CLOBBERED {
            self.registers.remove(&register);
        }
    }

    /// The place that holds an address after `instruction`, if it copies, makes or steps one.
    fn result(&self, instruction: &Instruction) -> Option<(Place, Origin)> {
        let to = match instruction.op0_kind() {
            OpKind::Register => Place::Register(instruction.op0_register().full_register()),
            OpKind::Memory => Place::Slot(slot(instruction)?),
            _ => return None,
        };
        let origin = match instruction.mnemonic() {
            Mnemonic::Lea if instruction.is_ip_rel_memory_operand() => self.own(instruction.ip_rel_memory_address())?,
            Mnemonic::Lea if instruction.memory_index() == Register::None => {
                *self.registers.get(&instruction.memory_base().full_register())?
            }
            Mnemonic::Mov if self.is_own_immediate(instruction) => self.own(instruction.immediate(1))?,
            Mnemonic::Mov => self.operand(instruction, 1)?,
            // An address less another is a distance.
            Mnemonic::Sub if self.is_own_immediate(instruction) => return None,
            Mnemonic::Add if self.is_own_immediate(instruction) => self.own(instruction.immediate(1))?,
            Mnemonic::Add | Mnemonic::Sub if !matches!(instruction.op1_kind(), OpKind::Register | OpKind::Memory) => {
                self.operand(instruction, 0)?
            }
            _ => return None,
        };
        Some((to, origin))
    }

    /// Whether the second operand is an address in a fixed-address program.
    fn is_own_immediate(&self, instruction: &Instruction) -> bool {
        let is_address = || is_immediate(instruction.op1_kind()) && self.own(instruction.immediate(1)).is_some();
        self.build.elf.is_fixed_address() && is_address()
    }

    fn operand(&self, instruction: &Instruction, index: u32) -> Option<Origin> {
        match instruction.op_kind(index) {
            OpKind::Register => self.registers.get(&instruction.op_register(index).full_register()).copied(),
            OpKind::Memory => self.slots.get(&slot(instruction)?).copied(),
            _ => None,
        }
    }

    /// The start of the variable or function at `address`.
    fn own(&self, address: u64) -> Option<Origin> {
        let address = LinkAddress(address);
        let variable = self.objects.covering(address).map(|index| self.objects.list()[index].start);
        let function = || self.functions.at_entry(address).map(|index| self.functions.list()[index].entry);
        variable.or_else(function).map(Origin::Own)
    }
}

/// Kinds of operands that may be an address of a fixed-address program.
fn is_immediate(kind: OpKind) -> bool {
    matches!(kind, OpKind::Immediate32 | OpKind::Immediate32to64 | OpKind::Immediate64)
}

fn is_branch(instruction: &Instruction) -> bool {
    matches!(instruction.flow_control(), FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch)
}

#[derive(Clone, Copy)]
enum Place {
    Register(Register),
    Slot((Register, u64)),
}

/// A word of the frame: base register and displacement.
fn slot(instruction: &Instruction) -> Option<(Register, u64)> {
    let base = instruction.memory_base();
    let plain = matches!(base, Register::RBP | Register::RSP) && instruction.memory_index() == Register::None;
    plain.then(|| (base, instruction.memory_displacement64()))
}

fn is_same(instruction: &Instruction) -> bool {
    instruction.op1_kind() == OpKind::Register && instruction.op0_register() == instruction.op1_register()
}

/// Arguments of pointer type that come in registers, as long as all before them are integers or pointers.
fn pointer_arguments(build: &Build, entry: LinkAddress) -> Vec<(usize, Register)> {
    let types = &build.debug.types;
    let function = build.function_at(entry).filter(|function| function.ranges.first().is_some_and(|range| range.0 == entry));
    let kind = function.and_then(|function| types.peel(function.kind)).map(|kind| &types.get(kind).shape);
    let Some(Shape::Function { parameters, .. }) = kind else { return Vec::new() };
    let mut found = Vec::new();
    let mut registers = ARGUMENTS.iter().enumerate();
    for parameter in parameters {
        match argument(types, *parameter) {
            Argument::Pointer => match registers.next() {
                Some((index, register)) => found.push((index, *register)),
                None => break,
            },
            Argument::Integer => drop(registers.next()),
            Argument::Vector => {}
            Argument::Unknown => break,
        }
    }
    found
}

enum Argument {
    Pointer,
    Integer,
    Vector,
    Unknown,
}

fn argument(types: &TypeTable, kind: Option<TypeId>) -> Argument {
    /// DW_ATE_float.
    const FLOAT: u8 = 4;
    let Some(kind) = types.peel(kind) else { return Argument::Unknown };
    let entry = types.get(kind);
    match &entry.shape {
        Shape::Pointer { .. } => Argument::Pointer,
        Shape::Base { encoding: FLOAT } if entry.size <= Some(8) => Argument::Vector,
        Shape::Base { encoding } if *encoding != FLOAT && entry.size <= Some(8) => Argument::Integer,
        Shape::Enum { .. } => Argument::Integer,
        _ => Argument::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::compare::sides::Sides;
    use crate::program::testing::Compiled;

    fn found(source: &str, flags: &[&str]) -> Vec<String> {
        let compiled = Compiled::new("program", source, flags);
        let build = Build::open(&compiled.path, &crate::program::build::DebugSearch::default()).unwrap();
        let mut sides = Sides::new(&build, &build);
        super::super::code::read(&build, &build, &mut sides);
        let blockers = computed_addresses(&build, &sides.old);
        let named = blockers.iter().map(|blocker| match blocker {
            Blocker::AddressAsNumber { object, .. } => object.split([' ', '+']).next().unwrap_or_default().to_owned(),
            other => panic!("{other:?}"),
        });
        let mut names: Vec<String> = named.collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    const KEYED: &str = "
        static int table[61], red, green;
        static unsigned hash(const void *key) { return (unsigned)(((unsigned long)key >> 2) % 61); }
        __attribute__((noinline)) void put(const void *key, int value) { table[hash(key)] = value; }
        __attribute__((noinline)) int get(const void *key) { return table[hash(key)]; }
        int main(void) { put(&red, 1); put(&green, 2); return get(&red); }";

    #[test]
    fn a_table_keyed_by_addresses_is_found() {
        for level in ["-O0", "-O2"] {
            assert_eq!(found(KEYED, &["-g", level]), ["green", "red"], "{level}");
            assert_eq!(found(KEYED, &["-g", level, "-fno-pie", "-no-pie"]), ["green", "red"], "{level}");
        }
    }

    #[test]
    fn the_function_that_computes_is_named_not_one_that_calls_it() {
        let apart = KEYED.replace("static unsigned hash", "__attribute__((noipa)) unsigned hash");
        let compiled = Compiled::new("program", &apart, &["-g", "-O2"]);
        let build = Build::open(&compiled.path, &crate::program::build::DebugSearch::default()).unwrap();
        let mut sides = Sides::new(&build, &build);
        super::super::code::read(&build, &build, &mut sides);
        let blockers = computed_addresses(&build, &sides.old);
        let named = |blocker: &Blocker| matches!(blocker, Blocker::AddressAsNumber { function, .. } if function == "hash");
        assert!(blockers.len() == 2 && blockers.iter().all(named), "{blockers:?}");
    }

    #[test]
    fn what_a_register_held_before_a_jump_is_not_what_it_holds_behind_it() {
        // The compiler puts the rare branch behind the function's end, where %rdx is another value again.
        let source = "
            long table[32];
            __asm__(\".text\\n.type put,@function\\nput: test %edi,%edi\\n je 2f\\n1: lea table(%rip),%rdx\\n mov %rax,(%rdx,%rdi,8)\\n jmp 3f\\n\"
                    \"2: shr $3,%rdx\\n jmp 1b\\n3: ret\\n.size put,.-put\");
            int put(int c, long b, long d);
            int main(int c, char **v) { (void)v; return put(c, 1, 2) + (int)table[c]; }";
        assert_eq!(found(source, &["-g", "-O1"]), [""; 0]);
    }

    #[test]
    fn pointers_that_are_only_followed_are_not() {
        let source = "
            #include <string.h>
            static int list[40]; static char text[64]; static struct node { struct node *next; int value; } first, last;
            __attribute__((noinline)) int sum(const int *at, const int *end) { int s = 0; for (; at < end; at++) s += *at; return s; }
            __attribute__((noinline)) void link(struct node *a, struct node *b) { a->next = b; b->value = (int)(b - a); }
            __attribute__((noinline)) void *round_up(char *p) { return (void *)(((unsigned long)p + 15) & ~15ul); }
            int main(int c, char **v) {
                (void)v; link(&first, &last); strcpy(text, \"x\");
                return sum(list, list + 40) + first.next->value + *(char *)round_up(text) + list[c << 1];
            }";
        for level in ["-O0", "-O2"] {
            assert_eq!(found(source, &["-g", level]), [""; 0], "{level}");
        }
    }
}
