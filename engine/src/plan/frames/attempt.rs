//! One pair of points: whether every value that the new code reads there is explained, and all else that has to be proved of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use dsu_formats::spec::continuation::Question;

use super::arguments::{self, Differing};
use super::between;
use super::blocker::{CodePlace, FrameBlocker};
use super::by_rules::{accept, local};
use super::continuation::{AskedArgument, Condition, FrameObject, FramePlace, Placed, Relation, Value};
use super::correspond::Correspondence;
use super::effects;
use super::explain::{Explainer, KEPT};
use super::facts::{self, Constants};
use super::given;
use super::kinds;
use super::locals::{DWARF, ENCODED, Locals};
use super::parameters;
use super::points::Points;
use super::prepared::Facts;
use super::said::{Here, Inner, SaidSet, SetPlace};
use super::terms::{Candidate, Terms};
use super::unread::Readers;
use crate::plan::address::{NewLink, OldLink};
use crate::plan::compare::functions::position;
use crate::plan::view::View;
use crate::program::code::Callee;
use crate::program::flow::{Live, LiveKind, LivePlace, Place, Term, ValueId};

/// Where a frame keeps its return address, from its canonical frame address: it is the layout's.
const RETURN_ADDRESS: i64 = -8;

/// Bytes that are stored, by their distances from where something begins.
type Stored = Vec<(u64, Vec<u8>)>;

/// One pair of points.
pub(super) struct Attempt<'a, 'g> {
    pub(super) explainer: &'a Explainer<'a>,
    /// The calls of both functions.
    pub(super) points: &'a Points,
    pub(super) at: (usize, OldLink, NewLink),
    pub(super) sides: (&'g Facts, &'g Facts),
    pub(super) locals: (&'a Locals, &'a Locals),
    pub(super) objects: &'a [FrameObject],
    pub(super) candidates: &'a [Candidate],
    /// What the old code reads from the point on.
    pub(super) readers: &'a Readers,
    /// Whether variables count that the old code does not read again.
    pub(super) has_unread: bool,
    pub(super) correspondence: Correspondence<'a, 'g>,
    pub(super) blockers: Vec<FrameBlocker>,
    /// What the user says.
    pub(super) here: Here,
    /// Position in the new build of the function that the frame is inside of besides, if this is about that one.
    pub(super) inside: Option<usize>,
    /// Frames that vanish, the nearest first.
    pub(super) inner: &'a [Inner],
    /// Variables that are handed over whole because he says so.
    pub(super) handed_over: &'a [String],
    /// Values of the new code at the point that he gives, with their widths in bits.
    pub(super) said: Vec<(ValueId, u8, Value)>,
    /// Variables whose bytes have to be carried, by their offsets in the new frame.
    pub(super) needed: Vec<i64>,
    /// What must hold besides the facts of position.
    pub(super) conditions: Vec<Condition>,
    /// What the new code has stored into new parts of variables, by their positions in `objects`.
    pub(super) initial: Vec<(usize, Stored)>,
}

impl Attempt<'_, '_> {
    /// The nodes of the calls under way, or of the next instructions.
    fn nodes(&self) -> (u32, u32) {
        (self.correspondence.old.point, self.correspondence.new.point)
    }

    pub(super) fn is_between(&self) -> bool {
        self.correspondence.new.between
    }

    /// What no value can be put into stays as it is, if it is the same: flags and vector registers.
    fn as_it_is(&mut self, place: LivePlace, live: &Live) {
        if let Err(reason) = between::same_as_it_is(&mut self.correspondence, place) {
            self.tell(Some(name(place)), live, reason.to_owned());
        }
    }

    pub(super) fn all(&mut self, live: &[Live]) -> Vec<Placed> {
        let mut placed = Vec::new();
        let mut needed: BTreeMap<usize, Live> = BTreeMap::new();
        for live in live {
            match (live.kind, live.place) {
                (LiveKind::Saved(_), _) | (_, LivePlace::Slot { offset: RETURN_ADDRESS, .. }) => {}
                (_, LivePlace::Register(register)) if self.correspondence.old.between || KEPT.contains(&register) => {
                    let place = FramePlace::Register(DWARF[usize::from(register)]);
                    placed.extend(self.place(place, Place::Register(register), live));
                }
                (_, LivePlace::Slot { offset, length }) if self.is_handed_over(offset, length) => {}
                (_, LivePlace::Slot { offset, length }) => {
                    let place = FramePlace::Slot { offset, length };
                    placed.extend(self.place(place, Place::Slot { offset, length }, live));
                }
                (_, LivePlace::Object { offset, length: length @ 1..=8 })
                    if !self.is_handed_over(offset, length as u8)
                        && self.here.at(FramePlace::Slot { offset, length: length as u8 }).is_some() =>
                {
                    placed.extend(self.placed_as_given(FramePlace::Slot { offset, length: length as u8 }, live));
                }
                (_, LivePlace::Object { offset, length }) => match self.object_at(offset, length) {
                    Some(object) if self.handed_over.contains(&self.objects[object].name) => {}
                    // As long as nobody else knows its address, it is what the function itself made it.
                    _ if length <= 8 && self.correspondence.new.is_private(offset, length.cast_signed()) => {
                        let length = length as u8;
                        let place = FramePlace::Slot { offset, length };
                        placed.extend(self.place(place, Place::Slot { offset, length }, live));
                    }
                    Some(object) => drop(needed.entry(object).or_insert(*live)),
                    None => placed.extend(self.unpaired(offset, live)),
                },
                (_, place) if self.correspondence.old.between => self.as_it_is(place, live),
                (_, place) => {
                    let what = match place {
                        // It counts as read only where the call that comes back is another one.
                        LivePlace::Register(0) => {
                            "it is the result of the call that the new code goes on behind, and another call comes back: let it go on \
                             before a line or a label (`at = { line = … }`), or behind a call of which no result is read"
                        }
                        _ => "the new code keeps a value there over the call, where calls need not keep it",
                    };
                    let what = what.to_owned();
                    self.tell(Some(name(place)), live, what);
                }
            }
        }
        for (object, live) in &needed {
            let read = &self.objects[*object];
            self.has_unread |= !self.readers.reads_all(read.old, read.old_length);
            placed.extend(self.object(*object, live));
        }
        // An earlier update has carried these, too, whoever reads them.
        for (object, live) in self.known_to_call() {
            if let Entry::Vacant(vacant) = needed.entry(object) {
                vacant.insert(live);
                placed.extend(self.object(object, &live));
            }
        }
        let handed = self.objects.iter().filter(|object| self.handed_over.contains(&object.name));
        let needed = needed.keys().filter_map(|object| self.objects.get(*object)).chain(handed);
        self.needed = needed.map(|object| object.new).collect();
        placed
    }

    /// Variables whose address the call under way may know, a function of the program: what it finds there counts, whether or not anybody reads
    /// it behind the call (PROOF 3.10).
    fn known_to_call(&self) -> Vec<(usize, Live)> {
        let new = &self.correspondence.new;
        let function = new.values.function();
        let called = function.graph.node(new.point).filter(|call| !new.between && call.is_call());
        let Some(call) = called.filter(|call| !matches!(call.call, Some(Callee::Import(_) | Callee::Selected(_)))) else {
            return Vec::new();
        };
        let known = self.objects.iter().enumerate().filter(|(_, object)| {
            function.escapes.is_escaped_at(new.point, object.new, object.new_length.cast_signed())
                && !self.handed_over.contains(&object.name)
        });
        let live = |object: &FrameObject| Live {
            place: LivePlace::Object { offset: object.new, length: object.new_length },
            bits: u64::MAX,
            reader: call.address(),
            kind: LiveKind::Plain,
        };
        known.map(|(number, object)| (number, live(object))).collect()
    }

    /// What has to hold because control is at the point (PROOF 3.5).
    pub(super) fn position(&mut self) -> Vec<Condition> {
        let (_, returns, to) = self.at;
        let View { old, new, .. } = self.explainer.view;
        let (from, into) = self.nodes();
        let between = (self.correspondence.old.between, self.correspondence.new.between);
        let said = &self.said;
        let mut terms = Terms { correspondence: &mut self.correspondence, candidates: self.candidates, said };
        let here = |build, call, side: &Facts| facts::Here { build, call, slots: side.slots().collect() };
        let mut position = facts::position(&mut terms, &here(old, from, self.sides.0), &here(new, into, self.sides.1));
        let constants = |build, side: &Facts, next, between| Constants::at(build, side.function(), next, between);
        match (constants(old, self.sides.0, returns.0, between.0), constants(new, self.sides.1, to.0, between.1)) {
            (Ok(olds), Ok(news)) => {
                let olds = olds.told(&mut |register, entered| self.had(register, entered));
                let given = self.given_constants(&news);
                position.conditions.extend(given);
                let news = news.without(&|name| self.here.gives(name));
                let same =
                    |from, into| self.correspondence.same_address(from, into) || facts::are_literals((old, from), (new, into));
                position.extend(news.check(&olds, (returns, to), &same));
            }
            (Err(error), _) | (_, Err(error)) => self.refuse(None, error.to_string()),
        }
        for problem in position.problems {
            let line = problem.branch.and_then(|branch| new.line_at(branch.0));
            if problem.branch.is_none() || !self.here.accepts(Question::Branch, line.as_ref(), None) {
                self.refuse(problem.branch, problem.reason);
                self.answer_with(line.map(|line| accept(Question::Branch, &line)));
            }
        }
        position.conditions.append(&mut self.conditions);
        position.conditions
    }

    /// What tells the value that a register, by DWARF number, had before the call under way or at the entry of the old function.
    fn had(&mut self, register: u8, entered: bool) -> Option<Value> {
        let place = Place::Register(*ENCODED.get(usize::from(register))?);
        let old = &mut self.correspondence.old;
        let value = if entered { old.values.entered(place) } else { old.values.before(old.point, place) };
        let value = old.values.resolve(value);
        let kept = self.candidates.iter().find(|candidate| old.values.resolve(candidate.value) == value);
        match (kept, old.values.node(value)) {
            (Some(candidate), _) if is_whole(candidate.place) => Some(Value::Old(candidate.place)),
            (_, Term::Entry(Place::Register(register))) if parameters::is_argument(*register) => Some(Value::Given(*register)),
            _ => None,
        }
    }

    /// Effects that are missing or would be had twice (PROOF 3.7); what may be missing is told.
    pub(super) fn effects(&mut self) -> Vec<String> {
        let (points, function) = ((self.explainer.view, self.points), self.at.0);
        let at = self.nodes();
        let effects = effects::effects(&mut self.correspondence, points, function, at);
        let mut warnings = effects.warnings;
        if !warnings.is_empty() {
            self.here.makes_up_for(None);
        }
        for effect in effects.problems {
            let line = self.explainer.view.new.line_at(effect.at.0);
            let question = if effect.again { Question::Repeated } else { Question::Skipped };
            let is_accepted = self.here.accepts(question, line.as_ref(), None);
            if !effect.again && self.is_made_up_for(effect.at) {
                warnings.push(format!("made up for by the spec: {}", effect.reason));
                continue;
            }
            if is_accepted {
                warnings.push(format!("taken as right by the spec: {}", effect.reason));
                continue;
            }
            self.refuse(Some(effect.at), effect.reason);
            let kept = if effect.again { None } else { self.kept_local(effect.at) };
            self.answer_with(kept.or_else(|| line.map(|line| accept(question, &line))));
        }
        warnings
    }

    /// What variables of one name say: which loops are one; and where the new code counts on a constant, whether that is what the variable
    /// had, although nothing reads it from the frame (PROOF 3.5).
    pub(super) fn variables(&mut self) {
        let names: Vec<String> = self.locals.1.names().map(str::to_owned).collect();
        for name in names {
            if self.here.gives(&name) {
                continue;
            }
            let (Some(old), Some(new)) = (self.locals.0.place_of(&name), self.locals.1.place_of(&name)) else { continue };
            self.correspondence.know(old, new);
            let value = self.correspondence.new.here(new);
            let is_constant = matches!(self.correspondence.new.values.node(value), Term::Constant(_));
            if is_constant && self.had_another(Some(&name), value) {
                self.refuse(
                    None,
                    format!("variable `{name}` is a constant for the new code, and the old code gave it another value"),
                );
                self.answer_with(Some(local(&name, &format!("\"old.{name}\""))));
            }
        }
    }

    /// What was done last before a next instruction (PROOF 3.14).
    pub(super) fn last_effects(&mut self, aligned: &between::Aligned) {
        let points = self.points;
        if let Err(reason) = between::same_last_effects(&mut self.correspondence, points, aligned) {
            self.refuse(None, reason.to_owned());
        }
    }

    /// What the call under way is given.
    pub(super) fn arguments(&mut self) {
        let calls = self.nodes();
        for Differing { name, places } in arguments::differing(&mut self.correspondence, self.explainer.view, calls) {
            if self.here.accepts(Question::Argument, None, Some(&name)) {
                continue;
            }
            if let Some(condition) = places.and_then(|places| self.same_now(&name, places)) {
                self.conditions.push(condition);
                continue;
            }
            let reason = format!("the new code gives the call that is under way another argument (`{name}`)");
            self.refuse(None, reason);
            self.answer_with(Some(format!("accept = [\"argument {name}\"]")));
        }
    }

    /// That what the old code gave the call under way in a register is what the new code would give it in one, whatever makes it: asked of
    /// the old frame at the stop (PROOF 3.36). Only of a call that is one on both sides: it says nothing about which of several it is.
    fn same_now(&mut self, name: &str, (from, to, bits): (Place, Place, u8)) -> Option<Condition> {
        let (Place::Register(_), Place::Register(_), true) = (from, to, self.correspondence.is_single) else { return None };
        let (old, new) = self.nodes();
        let called = self.correspondence.old.graph().node(old)?.call;
        // Of a changed function the frame is made anew from what it was given.
        called.filter(|callee| self.is_unchanged(*callee))?;
        let left = given::given_to(self.explainer.view, self.sides.0, old, from).ok().filter(|left| !left.is_of_other_frame())?;
        let value = self.correspondence.new.values.before(new, to);
        let mut terms = Terms { correspondence: &mut self.correspondence, candidates: self.candidates, said: &self.said };
        let right = terms.explain(value, bits).ok()?;
        // Two numbers that differ do so at every stop.
        if matches!((&left, &right), (Value::Constant(_), Value::Constant(_))) {
            return None;
        }
        let branch = NewLink(self.correspondence.new.graph().node(new)?.address());
        let answer = self.explainer.answer_inside(self.at.0, self.inside, &format!("accept = [\"argument {name}\"]"));
        Some(Condition {
            left,
            relation: Relation::Equal,
            right,
            bits,
            branch,
            argument: Some(AskedArgument { name: name.to_owned(), answer }),
        })
    }

    fn is_unchanged(&self, callee: Callee) -> bool {
        matches!(callee, Callee::Function(id) if self.explainer.view.same_code(position(id)))
    }

    /// Variables that are no longer the frame's.
    pub(super) fn statics(&mut self) {
        let view = self.explainer.view;
        let function = view.sides.old.functions.list()[self.at.0].identity.name.clone();
        for name in kinds::become_static(view, &function, self.locals) {
            let is_it = |set: &SaidSet| {
                let SetPlace::Fixed(place) = set.place else { return false };
                let found = view.sides.new.objects.covering(place.0).and_then(|index| view.sides.new.objects.list().get(index));
                found.is_some_and(|object| object.identity.name == name)
            };
            if self.here.besides.set.iter().any(is_it) {
                continue;
            }
            self.refuse(None, format!("variable `{name}` becomes a static one, and would begin with its initial value"));
            self.answer_with(Some(format!("set = {{ \"{function}::{name}\" = \"old.{name}\" }}")));
        }
    }

    /// Refuses the point for something that is no location.
    pub(super) fn refuse(&mut self, branch: Option<NewLink>, reason: String) {
        let (function, returns, to) = self.at;
        let mut blocker = self.explainer.point_blocker(function, (returns, Some(to)), self.is_between(), reason);
        blocker.reader = branch.map(|branch| CodePlace::new(self.explainer.view.new, branch.0));
        self.blockers.push(blocker);
    }

    /// Explains one location of its own.
    pub(super) fn place(&mut self, to: FramePlace, place: Place, live: &Live) -> Option<Placed> {
        if let Some(placed) = self.placed_as_given(to, live) {
            return Some(placed);
        }
        let value = self.correspondence.new.here(place);
        let bits = (64 - live.bits.leading_zeros()).next_multiple_of(8).clamp(8, 64) as u8;
        let bits = if bits > 32 { 64 } else { bits.next_power_of_two() };
        let mut terms = Terms { correspondence: &mut self.correspondence, candidates: self.candidates, said: &self.said };
        let explained = terms.explain(value, bits);
        let named = self.variable(to);
        let retyped = named.as_deref().filter(|name| kinds::is_retyped(self.explainer.view, self.locals, name));
        let explained = match (retyped, explained) {
            (Some(_), _) => Err("its type changes, and so does what its value means".to_owned()),
            // A constant is the new code's word; where the old code has the variable, too, its own counts (PROOF 3.5).
            (None, Ok(Value::Constant(_))) if self.had_another(named.as_deref(), value) => {
                Err("the new code takes it for a constant, and the old code gave it another value".to_owned())
            }
            (None, explained) => explained,
        };
        match explained {
            Ok(Value::Canary) => {
                let why = "what the stack protector compares with".to_owned();
                Some(Placed { place: to, bits: live.bits, value: Value::Canary, why, reader: NewLink(live.reader) })
            }
            Ok(value) => {
                let why = match (named, &value) {
                    (Some(name), _) => format!("variable `{name}`"),
                    (None, Value::Said(given)) => format!("as {} says", given.formula.origin),
                    (None, _) => "made in the same way".to_owned(),
                };
                Some(Placed { place: to, bits: live.bits, value, why, reader: NewLink(live.reader) })
            }
            Err(reason) => {
                let named = named.or_else(|| self.given_as(value));
                let location = match &named {
                    Some(variable) => format!("variable `{variable}` ({})", text(to)),
                    None => text(to),
                };
                self.tell(Some(location), live, reason);
                if let Some(name) = named {
                    self.answer_local(&name);
                }
                None
            }
        }
    }

    /// Whether the old frame has the variable, too, and it was not made in the same way as the new value.
    fn had_another(&mut self, name: Option<&str>, value: ValueId) -> bool {
        let Some(place) = name.and_then(|name| self.locals.0.place_of(name)) else { return false };
        let value = self.correspondence.new.values.resolve(value);
        let had = self.correspondence.old.here(place);
        let bits = if let Place::Slot { length, .. } = place { length.saturating_mul(8) } else { 64 };
        let (had, value) = (
            self.correspondence.old.values.extend(bits.min(32), false, had),
            self.correspondence.new.values.extend(bits.min(32), false, value),
        );
        !self.correspondence.same(had, value)
    }

    /// The parameter of the new code that was given as a value.
    fn given_as(&self, value: ValueId) -> Option<String> {
        match self.correspondence.new.values.node(value) {
            Term::Entry(Place::Register(register)) => self.locals.1.entered_in(*register).map(str::to_owned),
            _ => None,
        }
    }

    /// The variable of the new code that is at a place.
    fn variable(&self, place: FramePlace) -> Option<String> {
        match place {
            FramePlace::Register(register) => {
                self.locals.1.in_registers.iter().find(|(own, _)| *own == register).map(|(_, name)| name.clone())
            }
            FramePlace::Slot { offset, .. } => self.locals.1.holding(offset).map(|variable| variable.name.clone()),
        }
    }

    pub(super) fn tell(&mut self, location: Option<String>, live: &Live, reason: String) {
        let (function, returns, to) = self.at;
        let mut blocker = self.explainer.point_blocker(function, (returns, Some(to)), self.is_between(), reason);
        blocker.location = location;
        blocker.reader = Some(CodePlace::new(self.explainer.view.new, live.reader));
        self.blockers.push(blocker);
    }
}

fn is_whole(place: FramePlace) -> bool {
    matches!(place, FramePlace::Register(_) | FramePlace::Slot { length: 8, .. })
}

fn text(place: FramePlace) -> String {
    const NAMES: [&str; 16] =
        ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
    match place {
        FramePlace::Register(register) => NAMES.get(usize::from(register)).map_or_else(String::new, |name| (*name).to_owned()),
        FramePlace::Slot { offset, .. } => format!("cfa{offset:+}"),
    }
}

fn name(place: LivePlace) -> String {
    match place {
        LivePlace::Register(register) => text(FramePlace::Register(DWARF[usize::from(register)])),
        LivePlace::Vector(vector) => format!("xmm{vector}"),
        LivePlace::Slot { offset, length } => text(FramePlace::Slot { offset, length }),
        LivePlace::Object { offset, .. } => format!("cfa{offset:+}"),
        LivePlace::Mask(mask) => format!("k{mask}"),
        LivePlace::Flags => "the flags".to_owned(),
        LivePlace::X87 => "the x87 unit".to_owned(),
        LivePlace::Incoming => "the arguments on the stack".to_owned(),
        LivePlace::Dynamic => "the part of the frame whose length is known at run time only".to_owned(),
    }
}
