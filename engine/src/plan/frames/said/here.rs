//! What the user says of one frame at one pair of points: which variables of the new frame take what, and where both are.

use std::sync::Arc;

use dsu_formats::spec::continuation::{Accepted, CodeLine, Question};

use super::asked::{About, Answer, Asked};
use super::{
    Besides, CallArgument, Formula, FrameRule, FrameRules, LocalRule, Piece, Readable, Said, SaidArgument, SaidCall, SaidSet,
    SetPlace, SetRule, Whole, is_line,
};
use crate::plan::address::NewLink;
use crate::plan::frames::continuation::{FrameObject, FramePlace};
use crate::plan::frames::locals::{InMemory, Locals};
use crate::program::compare_types::Comparison as TypeComparison;
use crate::program::types::TypeTable;

/// A variable of the new frame that is given a value.
#[derive(Clone, Debug)]
pub(in super::super) struct Variable {
    pub(in super::super) name: String,
    /// A number or an address that it takes.
    pub(in super::super) given: Option<Said>,
    /// A variable of the old frame that it takes whole.
    whole: Option<InMemory>,
    place: Where,
    origin: Arc<str>,
}

/// Where a variable of the new frame is.
#[derive(Clone, Debug)]
enum Where {
    Register(u8),
    Memory(InMemory),
    /// Nowhere: the new code has no use for it, or takes it for a constant.
    Nowhere,
}

/// What the user says of a frame at a pair of points.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Here {
    pub(in super::super) variables: Vec<Variable>,
    /// Questions that he answers.
    accepted: Vec<(Accepted, Answer)>,
    /// Calls that make up for what the new code has done by then.
    calls: Vec<(NewLink, Answer)>,
    /// What is asked there, and which answers that uses.
    asked: Asked,
    pub(in super::super) besides: Besides,
}

/// The variables of both frames at their points.
pub(in super::super) struct Sides<'s> {
    pub(in super::super) old: &'s Locals,
    pub(in super::super) new: &'s Locals,
    /// Those of frames that vanish, each with how far its canonical frame address is from the frame's.
    pub(in super::super) inner: &'s [(Locals, i64)],
}

impl Here {
    /// What rules say, at points with these variables.
    ///
    /// # Errors
    /// What they say and what is not possible there.
    pub(in super::super) fn new(rules: &FrameRules, about: &About, sides: &Sides<'_>) -> Result<Self, Vec<String>> {
        let mut here = Self::default();
        let mut problems = Vec::new();
        let found: Vec<(usize, &FrameRule)> = about.rules.iter().filter_map(|index| Some((*index, rules.get(*index)?))).collect();
        let mut take = |result: Result<(), String>| problems.extend(result.err());
        let is_bare = about.is_bare;
        for (index, rule) in found {
            let accepted = rule.accept.iter().enumerate();
            here.accepted.extend(accepted.map(|(at, (accepted, _))| (accepted.clone(), Answer::Accept(index, at))));
            if is_bare {
                continue;
            }
            for local in &rule.locals {
                take(here.local(local, sides));
            }
            for set in &rule.set {
                take(here.set(set, sides));
            }
            for (at, call) in rule.before.iter().enumerate() {
                take(here.call(call, sides));
                here.calls.push((call.function, Answer::Before(index, at)));
            }
        }
        if problems.is_empty() { Ok(here) } else { Err(problems) }
    }

    fn local(&mut self, rule: &LocalRule, sides: &Sides<'_>) -> Result<(), String> {
        let name = &rule.name;
        if let Some(other) = self.variables.iter().find(|variable| variable.name == *name) {
            return Err(format!("{}: `{name}` is given a value at {}, too", rule.origin, other.origin));
        }
        let place = located(sides.new, name).map_err(|what| format!("{}: in the new frame `{name}` {what}", rule.origin))?;
        let wide = matches!(&place, Where::Memory(variable) if variable.length > 8);
        let whole = rule.whole.as_ref().and_then(|whole| part(sides, whole));
        let given = match &rule.formula {
            Some(formula) if !wide => Some(said(formula, sides)).transpose()?,
            _ => None,
        };
        if given.is_none() && whole.is_none() && !matches!(place, Where::Nowhere) {
            let what = "takes a variable of the old frame that is in memory there, as in `old.name`";
            return Err(format!("{}: `{name}` {what}", rule.origin));
        }
        self.variables.push(Variable { name: name.clone(), given, whole, place, origin: Arc::clone(&rule.origin) });
        Ok(())
    }

    fn set(&mut self, rule: &SetRule, old: &Sides<'_>) -> Result<(), String> {
        let place = match &rule.place {
            SetPlace::Fixed(link) => SetPlace::Fixed(*link),
            SetPlace::Thread(offset) => SetPlace::Thread(*offset),
            SetPlace::Through(pointer, offset) => SetPlace::Through(said(pointer, old)?, *offset),
        };
        let given = said(&rule.formula, old)?;
        self.besides.set.push(SaidSet { place, bits: rule.bits, given });
        Ok(())
    }

    fn call(&mut self, rule: &super::CallRule, old: &Sides<'_>) -> Result<(), String> {
        let argument = |argument: &CallArgument| match argument {
            CallArgument::Word(word) => Ok(SaidArgument::Word(*word)),
            CallArgument::Address(link) => Ok(SaidArgument::Address(*link)),
            CallArgument::Of(formula) => said(formula, old).map(SaidArgument::Of),
        };
        let arguments = rule.arguments.iter().map(argument).collect::<Result<_, _>>()?;
        self.besides.before.push(SaidCall { function: rule.function, arguments, text: rule.text.clone() });
        Ok(())
    }

    /// What a place of the new frame is given.
    pub(in super::super) fn at(&self, place: FramePlace) -> Option<(&str, Said)> {
        self.variables.iter().find_map(|variable| {
            let given = variable.given.as_ref()?;
            let skip = match (&variable.place, place) {
                (Where::Register(own), FramePlace::Register(register)) if *own == register => 0,
                (Where::Memory(own), FramePlace::Slot { offset, length }) => {
                    let skip = u64::try_from(offset.checked_sub(own.offset)?).ok()?;
                    let end = skip.checked_add(u64::from(length))?;
                    u8::try_from(skip).ok().filter(|_| end <= own.length)?
                }
                _ => return None,
            };
            Some((variable.name.as_str(), Said { skip, ..given.clone() }))
        })
    }

    /// Variables that are given a value, each with another one in the same place that is given one, too, or none.
    ///
    /// # Errors
    /// A variable beside one that is given a value, of which nothing says that it has the same.
    pub(in super::super) fn agreeing(&self, new: &Locals) -> Result<Vec<(Said, Said)>, String> {
        let mut found = Vec::new();
        for variable in self.variables.iter().filter(|variable| variable.given.is_some()) {
            for name in new.beside(&variable.name) {
                let other = self.variables.iter().find(|other| other.name == name).and_then(|other| other.given.clone());
                match (variable.given.clone(), other) {
                    (Some(own), Some(other)) if variable.name < name => found.push((own, other)),
                    (_, Some(_)) | (None, _) => {}
                    (Some(_), None) => {
                        let own = &variable.name;
                        return Err(format!(
                            "{}: the new code has `{own}` and `{name}` in one place there; what `{name}` takes has to be said, too",
                            variable.origin
                        ));
                    }
                }
            }
        }
        Ok(found)
    }

    /// Whether the user says what a variable takes.
    pub(in super::super) fn gives(&self, name: &str) -> bool {
        self.variables.iter().any(|variable| variable.name == name)
    }

    /// Variables that are given a number and that the new frame has nowhere: the new code may take them for constants.
    pub(in super::super) fn nowhere(&self) -> impl Iterator<Item = (&str, &Said)> {
        let nowhere = self.variables.iter().filter(|variable| matches!(variable.place, Where::Nowhere));
        nowhere.filter_map(|variable| Some((variable.name.as_str(), variable.given.as_ref()?)))
    }

    /// Puts the pairs that the user gives into those of one name. Gives the names of the new variables.
    pub(in super::super) fn pair(&self, objects: &mut Vec<FrameObject>, types: (&TypeTable, &TypeTable)) -> Vec<String> {
        let mut compared = TypeComparison::new(types.0, types.1);
        let mut given = Vec::new();
        for variable in &self.variables {
            let Where::Memory(to) = &variable.place else { continue };
            objects.retain(|object| object.name != variable.name);
            let Some(from) = &variable.whole else { continue };
            objects.retain(|object| object.old != from.offset);
            let same = from.length == to.length && compared.compare_own(from.kind, to.kind).is_ok();
            // A number that is converted is a value of its own.
            if !same && variable.given.is_some() {
                continue;
            }
            objects.push(FrameObject {
                name: variable.name.clone(),
                old: from.offset,
                new: to.offset,
                old_length: from.length,
                new_length: to.length,
                kinds: (from.kind, to.kind),
                is_changed: !same,
                initial: Vec::new(),
            });
            given.push(variable.name.clone());
        }
        objects.sort_unstable_by_key(|object| object.new);
        given
    }

    /// Whether the user takes a question upon himself that is asked about a line of the new program, or about a name.
    pub(in super::super) fn accepts(&mut self, question: Question, line: Option<&(String, u64)>, name: Option<&str>) -> bool {
        let short = line.map(|(file, line)| CodeLine { file: file.rsplit('/').next().map(str::to_owned), line: *line });
        let asked = Accepted { question, line: short, name: name.map(str::to_owned) };
        self.asked.questions.insert(asked.to_string());
        let mut found = false;
        for (accepted, answer) in &self.accepted {
            let is_meant = accepted.question == question
                && accepted.line.as_ref().is_none_or(|wanted| line.is_some_and(|(file, line)| is_line(wanted, file, *line)))
                && accepted.name.as_deref().is_none_or(|wanted| name == Some(wanted));
            if is_meant {
                self.asked.used.insert(*answer);
                found = true;
            }
        }
        found
    }

    /// Something is left out that the new code has done by then: calls may make up for it. Whether one is of the function itself that the new
    /// code has called, if that is what it has done.
    pub(in super::super) fn makes_up_for(&mut self, called: Option<NewLink>) -> bool {
        self.asked.used.extend(self.calls.iter().map(|(_, answer)| *answer));
        called.is_some_and(|called| self.calls.iter().any(|(function, _)| *function == called))
    }

    /// Whether a variable of the new program is set, all bytes of it that the new code has stored to.
    pub(in super::super) fn sets(&self, place: NewLink, length: u64) -> bool {
        let end = place.0.0.saturating_add(length);
        self.besides.set.iter().any(|set| match set.place {
            SetPlace::Fixed(own) if set.bits.is_none() => {
                own.0.0 <= place.0.0 && end <= own.0.0.saturating_add(set.given.formula.form.length.into())
            }
            _ => false,
        })
    }

    /// What was asked.
    pub(in super::super) fn asked(&self) -> &Asked {
        &self.asked
    }
}

/// Where a variable of the new frame is.
fn located(locals: &Locals, name: &str) -> Result<Where, &'static str> {
    let memory: Vec<&InMemory> = locals.in_memory.iter().filter(|variable| variable.name == name).collect();
    let registers: Vec<u8> = locals.in_registers.iter().filter(|(_, own)| own == name).map(|(register, _)| *register).collect();
    match (&memory[..], &registers[..]) {
        ([only], []) => Ok(Where::Memory((*only).clone())),
        ([], [only]) => Ok(Where::Register(*only)),
        ([], []) if locals.kind_of(name).is_some() && locals.is_split(name) => Err("is in several parts there"),
        ([], []) => Ok(Where::Nowhere),
        _ => Err("is the name of several variables there"),
    }
}

/// A part of a variable of the old frame, where that is in memory.
fn part(sides: &Sides<'_>, whole: &Whole) -> Option<InMemory> {
    let (old, distance) = frame(sides, whole.frame)?;
    let Ok(Where::Memory(variable)) = located(old, &whole.variable) else { return None };
    let offset = variable.offset.checked_add(distance)?.checked_add_unsigned(whole.offset)?;
    Some(InMemory { name: variable.name, offset, length: whole.length, kind: whole.kind })
}

/// The variables of the frame itself, or of one that vanishes, and how far that is.
fn frame<'s>(sides: &Sides<'s>, number: u8) -> Option<(&'s Locals, i64)> {
    match number.checked_sub(1) {
        None => Some((sides.old, 0)),
        Some(index) => sides.inner.get(usize::from(index)).map(|(locals, distance)| (locals, *distance)),
    }
}

/// An expression, with where it finds what it reads.
fn said(formula: &Arc<Formula>, sides: &Sides<'_>) -> Result<Said, String> {
    let local = |number: u8, name: &str| {
        let (old, distance) = frame(sides, number).ok_or_else(|| format!("{}: `{name}` is in no frame there", formula.origin))?;
        match located(old, name) {
            Ok(Where::Memory(variable)) => Ok(Piece::Frame(variable.offset.saturating_add(distance))),
            Ok(Where::Register(register)) if number > 0 => Ok(Piece::Inner(number, register)),
            Ok(Where::Register(register)) => Ok(Piece::Register(register)),
            Ok(Where::Nowhere) => match old.constant(name) {
                Some(number) => Ok(Piece::Constant(number)),
                None if old.is_computed(name) && number == 0 => Ok(Piece::Described(old.place)),
                None => Err(format!(
                    "{}: the old frame does not keep `{name}` there (optimised away, or not in scope)",
                    formula.origin
                )),
            },
            Err(what) => Err(format!("{}: in the old frame `{name}` {what}", formula.origin)),
        }
    };
    let place = |what: &Readable| match what {
        Readable::Static(link) => Ok(Piece::Static(*link)),
        Readable::Local(name) => local(0, name),
        Readable::Inner(number, name) => local(*number, name),
    };
    let places = formula.reads.iter().map(|read| place(&read.what)).collect::<Result<_, _>>()?;
    Ok(Said { formula: Arc::clone(formula), places, skip: 0 })
}
