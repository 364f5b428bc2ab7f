//! One row of the call frame table: how to find the caller's registers at one place.

use gimli::{CfaRule, EndianSlice, LittleEndian, RegisterRule, UnwindExpression, UnwindSection};

use super::registers::dwarf;

/// The bytes of a section.
pub(super) type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// The rules that hold at one instruction.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    pub(super) cfa: Cfa<'a>,
    /// By DWARF number, the return address last.
    pub(super) rules: [Rule<'a>; 17],
    pub(super) is_signal_frame: bool,
}

/// How to find the canonical frame address.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cfa<'a> {
    RegisterAndOffset {
        register: u16,
        offset: i64,
    },
    Expression(&'a [u8]),
    /// The word at the stack pointer plus this many bytes (the kernel's signal frame).
    StackWord(i64),
}

/// How to find a register's value in the caller.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule<'a> {
    /// No rule: the ABI decides.
    Unspecified,
    Undefined,
    SameValue,
    /// Stored at the CFA plus this.
    Offset(i64),
    /// Is the CFA plus this.
    ValOffset(i64),
    Register(u16),
    /// Stored at the expression's result.
    Expression(&'a [u8]),
    /// Is the expression's result.
    ValExpression(&'a [u8]),
    /// Stored at the callee's stack pointer plus this (the kernel's signal frame).
    StackWord(i64),
    Unsupported(&'static str),
}

/// The row of the frame description at `offset` of `section` that holds at `address`.
pub(super) fn find<'a, S>(
    section: &S,
    bases: &gimli::BaseAddresses,
    offset: usize,
    address: u64,
    context: &mut gimli::UnwindContext<usize>,
) -> Result<Row<'a>, gimli::Error>
where
    S: UnwindSection<Bytes<'a>>,
    S::Offset: From<usize>,
{
    let fde = section.fde_from_offset(bases, offset.into(), S::cie_from_offset)?;
    let row = fde.unwind_info_for_address(section, bases, context, address)?;
    read(section, &fde, row)
}

/// What a decoded row of `fde` says.
pub(super) fn read<'a, S>(
    section: &S,
    fde: &gimli::FrameDescriptionEntry<Bytes<'a>>,
    row: &gimli::UnwindTableRow<usize>,
) -> Result<Row<'a>, gimli::Error>
where
    S: UnwindSection<Bytes<'a>>,
{
    let return_column = fde.cie().return_address_register();
    let bytes = |expression: &UnwindExpression<usize>| expression.get(section).map(|expression| expression.0.slice());
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => Cfa::RegisterAndOffset { register: register.0, offset: *offset },
        CfaRule::Expression(expression) => Cfa::Expression(bytes(expression)?),
    };
    let mut rules = [Rule::Unspecified; 17];
    for (register, rule) in row.registers() {
        let column = if *register == return_column { dwarf::RETURN_ADDRESS } else { usize::from(register.0) };
        if let Some(slot) = rules.get_mut(column) {
            *slot = convert(rule, bytes)?;
        }
    }
    Ok(Row { cfa, rules, is_signal_frame: fde.cie().is_signal_trampoline() })
}

fn convert<'a>(
    rule: &RegisterRule<usize>,
    bytes: impl Fn(&UnwindExpression<usize>) -> Result<&'a [u8], gimli::Error>,
) -> Result<Rule<'a>, gimli::Error> {
    Ok(match rule {
        RegisterRule::Undefined => Rule::Undefined,
        RegisterRule::SameValue => Rule::SameValue,
        RegisterRule::Offset(offset) => Rule::Offset(*offset),
        RegisterRule::ValOffset(offset) => Rule::ValOffset(*offset),
        RegisterRule::Register(register) => Rule::Register(register.0),
        RegisterRule::Expression(expression) => Rule::Expression(bytes(expression)?),
        RegisterRule::ValExpression(expression) => Rule::ValExpression(bytes(expression)?),
        RegisterRule::Architectural => Rule::Unsupported("an architectural register rule"),
        RegisterRule::Constant(_) => Rule::Unsupported("a constant register rule"),
    })
}
