//! What a call does: allocators, functions of libraries by name, functions of the program by what is known of them.

use std::collections::BTreeSet;

use iced_x86::{FlowControl, Instruction, Mnemonic};

use super::bytes::{Byte, Bytes};
use super::function::{Origin, Walk};
use super::library::{self, Library};
use super::state::{ARGUMENTS, CLOBBERED, RAX, RCX, State};
use super::summary::{Given, Size, Summary, Told};
use super::types::Target;
use super::value::{Fresh, Value};
use crate::program::code::{Callee, FunctionId};
use crate::program::types::TypeId;

/// What a call goes to.
enum Called {
    Library(Library),
    Function(FunctionId),
}

impl Walk<'_, '_> {
    /// Follows a call or a tail call; whether it returns.
    pub(super) fn call(&mut self, instruction: &Instruction, state: &mut State) -> bool {
        if instruction.mnemonic() == Mnemonic::Syscall {
            for register in [RAX, RCX, 11] {
                state.set_register(register, Value::Unknown);
            }
            return true;
        }
        let callee = self.callee(instruction).map(|site| site.callee);
        let is_direct = !matches!(instruction.flow_control(), FlowControl::IndirectCall | FlowControl::IndirectBranch);
        let called = match callee {
            Some(Callee::Function(id)) => match self.program.image.inventory().get(id) {
                Some(function) if library::replaces(&function.name) => Called::Library(library::of(&function.name)),
                _ => Called::Function(id),
            },
            Some(Callee::Import(import)) => {
                Called::Library(self.program.image.import(import).map_or(Library::Unknown, |symbol| library::of(&symbol.name)))
            }
            // A jump within the function that is written as a call, or code that is not known.
            _ if is_direct && callee.is_none() => Called::Library(Library::Unknown),
            _ => Called::Library(Library::Unknown),
        };
        match called {
            Called::Library(library) => self.call_library(library, state),
            Called::Function(id) => {
                self.call_function(id, state);
                true
            }
        }
    }

    fn arguments(state: &State) -> [Value; 6] {
        ARGUMENTS.map(|register| state.register(register))
    }

    fn call_library(&mut self, library: Library, state: &mut State) -> bool {
        let arguments = Self::arguments(state);
        let mut result = Value::Unknown;
        match library {
            Library::Ends => return false,
            Library::Allocate { size, zeroed } => {
                let size = self.size(size, &arguments);
                return self.allocate(size, if zeroed { Byte::Zero } else { Byte::Other }, state);
            }
            Library::AllocateThrough => return self.allocate_through(&arguments, state),
            Library::Bytes => result = Value::Raw,
            Library::StoresBytes => {
                self.pass_to_unknown(&arguments[..3], state);
                result = Value::Raw;
            }
            Library::GivesBack => result = Value::Void(None),
            Library::Free => {
                if let Value::Fresh(Fresh { site, offset: 0, exact: true, sure: true, .. }) = arguments[0] {
                    state.objects.remove(&site);
                }
            }
            Library::Fill => {
                self.fill_block(&arguments, state);
                result = arguments[0];
            }
            Library::Copy => {
                let length = if let Value::Const(length) = arguments[2] { Some(length) } else { None };
                self.fill_bytes(arguments[0], length, Byte::Other, state);
                if let Value::Stack(offset) = arguments[0] {
                    self.expose(offset, state);
                }
                result = arguments[0];
            }
            Library::Reads => {}
            Library::StoresFirst => {
                self.pass_to_unknown(&arguments[..1], state);
                for site in arguments.iter().skip(1).filter_map(|argument| argument.site()) {
                    self.site_mut(site, |site| site.told.escapes = true);
                }
            }
            Library::Unknown => self.pass_to_unknown(&arguments, state),
        }
        if !matches!(library, Library::Reads | Library::Free) {
            self.expose_arguments(&arguments, state);
        }
        state.clobber(CLOBBERED);
        state.set_register(RAX, result);
        true
    }

    fn expose_arguments(&self, arguments: &[Value; 6], state: &mut State) {
        for argument in arguments {
            if let Value::Stack(offset) = argument {
                self.expose(*offset, state);
            }
        }
    }

    /// `memset`: all of a block, where its size is what the block was asked for with.
    fn fill_block(&mut self, arguments: &[Value; 6], state: &mut State) {
        let byte = if matches!(arguments[1], Value::Const(byte) if byte & 0xff == 0) { Byte::Zero } else { Byte::Other };
        let mut length = if let Value::Const(length) = arguments[2] { Some(length) } else { None };
        if let (Value::Fresh(to), Value::Number(site, offset)) = (arguments[0], arguments[2])
            && self.sites.get(to.site as usize).is_some_and(|source| source.size == Size::Argument(site, offset))
            && to.offset == 0
        {
            length = Some(i64::MAX as u64);
        }
        self.fill_bytes(arguments[0], length, byte, state);
    }

    /// A function of which nothing is known may store anywhere in what it is given, and keep the pointer.
    fn pass_to_unknown(&mut self, arguments: &[Value], state: &mut State) {
        for argument in arguments {
            if *argument == Value::Lost {
                state.spoil_value(*argument);
                self.escape_all();
            }
            let Value::Fresh(fresh) = *argument else { continue };
            let length = self.extent(fresh);
            state.store(fresh, length, Byte::Other);
            self.site_mut(fresh.site, |site| site.told.escapes = true);
        }
    }

    /// How many bytes belong to the member that a pointer into an object leads to; `None` for all from there on.
    fn extent(&self, fresh: Fresh) -> Option<u64> {
        let site = self.sites.get(fresh.site as usize)?;
        let (kind, _) = *site.told.objects.iter().find(|(_, offset)| *offset == Some(0))?;
        let types = self.program.types.table();
        let members = types.get(kind).shape.members()?;
        let offset = u64::try_from(fresh.offset).ok().filter(|offset| fresh.exact && *offset > 0)?;
        let member = members.iter().find(|member| member.offset == offset && member.bits.is_none())?;
        types.size_of(member.kind)
    }

    /// A size that is the product of arguments.
    fn size(&self, factors: &[usize], arguments: &[Value; 6]) -> Size {
        let mut bytes: i64 = 1;
        let mut argument = None;
        for factor in factors {
            match arguments.get(*factor) {
                Some(Value::Const(number)) => match i64::try_from(*number).ok().and_then(|number| bytes.checked_mul(number)) {
                    Some(product) => bytes = product,
                    None => return Size::Unknown,
                },
                Some(Value::Number(site, offset)) if argument.is_none() => argument = Some((*site, *offset)),
                _ => return Size::Unknown,
            }
        }
        match argument {
            None => Size::Bytes(bytes),
            Some((site, offset)) if bytes == 1 => Size::Argument(site, offset),
            Some(_) => Size::Unknown,
        }
    }

    /// A new block, whose address is the result.
    fn allocate(&mut self, size: Size, byte: Byte, state: &mut State) -> bool {
        let site = self.site_of_call(state, size);
        state.clobber(CLOBBERED);
        state.objects.insert(site, Bytes::all(byte));
        state.set_register(RAX, Value::of_site(site));
        true
    }

    fn allocate_through(&mut self, arguments: &[Value; 6], state: &mut State) -> bool {
        let size = self.size(&[2], arguments);
        let site = self.site_of_call(state, size);
        state.clobber(CLOBBERED);
        state.objects.insert(site, Bytes::all(Byte::Other));
        self.store(arguments[0], 8, Value::of_site(site), Byte::Other, state);
        state.set_register(RAX, Value::Unknown);
        true
    }

    fn call_function(&mut self, id: FunctionId, state: &mut State) {
        let arguments = Self::arguments(state);
        let unknown = Summary::unknown();
        let summary = self.program.summary(id);
        let summary = summary.as_deref().unwrap_or(&unknown);
        let function = self.program.image.inventory().get(id);
        let parameters = function.map_or(Vec::new(), |function| {
            if function.clone.is_original() { self.program.parameters(function) } else { Vec::new() }
        });
        let is_variadic = function.is_some_and(|function| self.program.is_variadic(function));
        for (index, argument) in arguments.into_iter().enumerate() {
            if let Some(kind) = parameters.get(index) {
                self.meets(argument, *kind);
            }
            let as_number = parameters.get(index).is_some_and(|kind| !self.program.types.is_pointer(*kind));
            if as_number || is_variadic && index >= parameters.len() {
                self.pass_to_unknown(&[argument], state);
            }
            if argument == Value::Lost && !summary.effects[index].has_no_other() {
                state.spoil_value(argument);
            }
            if argument == Value::Lost && summary.told[index].escapes {
                self.escape_all();
            }
            self.take_handed(argument, &summary.handed[index]);
            if let Value::Fresh(fresh) = argument {
                self.pass(fresh, &summary.effects[index], &summary.told[index], state);
            }
        }
        self.expose_arguments(&arguments, state);
        if function.is_some_and(|function| self.program.takes_more(function)) {
            self.pass_on_stack(state);
        }
        let result = match &summary.given {
            Given::Value(value) => self.declared_result(id, *value),
            Given::Argument(argument, offset) => {
                arguments.get(*argument as usize).map_or(Value::Unknown, |value| value.plus(Some(*offset)))
            }
            Given::Made { bytes, size, told, doubtful } => {
                let size = self.size_for(*size, &arguments);
                let site = self.site_of_call(state, size);
                self.site_mut(site, |source| source.told.add(told, Some(0)));
                state.clobber(summary.changes | 1);
                state.objects.insert(site, bytes.clone());
                let made = Fresh { site, offset: 0, exact: true, sure: true, doubtful: *doubtful };
                return state.set_register(RAX, Value::Fresh(made));
            }
        };
        state.clobber(summary.changes | 1);
        state.set_register(RAX, result);
    }

    /// A function stored pointers to new objects of these types where an argument of it points to: in memory, where they are used from
    /// now on, or in the caller's frame, where nobody looks after what becomes of them.
    fn take_handed(&mut self, argument: Value, kinds: &BTreeSet<TypeId>) {
        let origin = argument.site().and_then(|site| self.sites.get(site as usize)).map(|site| site.origin);
        for kind in kinds {
            match (argument, origin) {
                (Value::Fresh(fresh), Some(Origin::Argument(_))) => self.handed_on.extend([(fresh.site, *kind)]),
                (Value::Fresh(_) | Value::Pointer { .. } | Value::Const(_) | Value::Void(_), _) => {}
                _ => self.refuse(*kind, argument),
            }
        }
    }

    /// What a function does to an object that it gets a pointer into.
    fn pass(&mut self, fresh: Fresh, effect: &Bytes, told: &Told, state: &mut State) {
        let at = fresh.exact.then_some(fresh.offset);
        self.site_mut(fresh.site, |site| site.told.add(told, at));
        let Some(bytes) = state.objects.get_mut(&fresh.site) else { return };
        if fresh.exact {
            let effect = if fresh.sure { effect.clone() } else { effect.without_zeros() };
            *bytes = bytes.then(&effect, fresh.offset);
        } else if !effect.has_no_other() {
            *bytes = Bytes::all(Byte::Other);
        }
    }

    /// Arguments on the stack: whoever gets a pointer there may do anything with it.
    fn pass_on_stack(&mut self, state: &mut State) {
        let Value::Stack(top) = state.register(super::state::RSP) else { return state.forget_slots() };
        for slot in (0..16).map(|index| top + index * 8) {
            if let Some(Value::Fresh(fresh)) = state.slot(slot) {
                state.spoil(fresh.site);
                self.site_mut(fresh.site, |site| site.told.escapes = true);
            }
        }
    }

    /// The size of what a function made, from its arguments.
    fn size_for(&self, size: Size, arguments: &[Value; 6]) -> Size {
        let Size::Argument(argument, more) = size else { return size };
        match arguments.get(argument as usize) {
            Some(Value::Const(number)) => {
                i64::try_from(*number).ok().and_then(|number| number.checked_add(more)).map_or(Size::Unknown, Size::Bytes)
            }
            Some(Value::Number(site, offset)) => {
                offset.checked_add(more).map_or(Size::Unknown, |offset| Size::Argument(*site, offset))
            }
            _ => Size::Unknown,
        }
    }

    /// A result whose declared type says more than what is known of it. The function itself answers for a declared type.
    fn declared_result(&self, id: FunctionId, value: Value) -> Value {
        let function = self.program.image.inventory().get(id);
        let declared = function.and_then(|function| self.program.result(function));
        match declared.map(|kind| self.program.types.target(kind)) {
            Some(Target::Object(to)) if !matches!(value, Value::Const(_)) => self.program.types.pointer(to, 0),
            _ => value,
        }
    }
}
