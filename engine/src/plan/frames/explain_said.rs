//! What the user says of a point, while it is explained; and what would answer what is not.

use dsu_formats::spec::continuation::Question;

use super::attempt::Attempt;
use super::by_rules::local;
use super::continuation::{Condition, FramePlace, Placed, Relation, Value};
use super::events::{self, Store};
use super::explain::Explainer;
use super::facts::Constants;
use super::layout_shape::shape;
use super::locals::Locals;
use super::said::{Inner, Said};
use crate::plan::address::{NewLink, OldLink};
use crate::plan::compare::functions::position;
use crate::plan::spec::names::written_among;
use crate::program::code::{Callee, Symbolic};
use crate::program::flow::{Live, Place, Term};

impl Explainer<'_> {
    /// The variables of frames that vanish, each with how far its canonical frame address is from that of the frame that stays.
    pub(super) fn inner_locals(&self, (_, returns): (usize, OldLink), inner: &[Inner]) -> Result<Vec<(Locals, i64)>, String> {
        let (mut distance, mut place) = (0i64, returns.0);
        let mut found = Vec::new();
        for one in inner {
            let shape = shape(&self.view.old.elf, &self.comparison.unwind, place, false)?;
            distance = distance.saturating_sub_unsigned(shape.size);
            let facts = self.comparison.prepared.old(one.function).map_err(|unclear| unclear.to_string())?;
            let locals = Locals::at(self.view.old, facts.function(), one.place, false).map_err(|error| error.to_string())?;
            found.push((locals, distance));
            place = one.place;
        }
        Ok(found)
    }
}

impl Attempt<'_, '_> {
    /// Which values of the new code the user gives.
    pub(super) fn know_given(&mut self) {
        for variable in &self.here.variables {
            let Some(given) = &variable.given else { continue };
            let bits = given.formula.form.length.saturating_mul(8);
            let value = match (self.locals.1.place_of(&variable.name), self.locals.1.entered(&variable.name)) {
                (Some(place), _) => self.correspondence.new.here(place),
                // Wherever the code has put it: it is what the function was given.
                (None, Some(register)) => self.correspondence.new.values.entered(Place::Register(register)),
                (None, None) => continue,
            };
            let value = self.correspondence.new.values.extend(bits, false, value);
            self.said.push((value, bits, Value::Said(given.clone())));
        }
    }

    /// A location that the user gives a value.
    pub(super) fn placed_as_given(&mut self, to: FramePlace, live: &Live) -> Option<Placed> {
        let (name, given) = self.here.at(to)?;
        let why = format!("variable `{name}`, as {} says", given.formula.origin);
        let bits = given.formula.form.length.saturating_mul(8);
        let value = Value::Said(given.clone());
        if let FramePlace::Register(_) = to
            && live.bits.checked_shr(bits.into()).unwrap_or(0) != 0
            && !given.formula.form.float
        {
            // Whether a sign or zeros come above the variable is the same for numbers that are not negative.
            self.conditions.push(Condition {
                left: value.clone(),
                relation: Relation::GreaterOrEqual,
                right: Value::Constant(0),
                bits,
                branch: NewLink(live.reader),
                argument: None,
            });
        }
        Some(Placed { place: to, bits: live.bits, value, why, reader: NewLink(live.reader) })
    }

    /// Two variables in one place have one value (PROOF 3.4).
    pub(super) fn agree(&mut self) {
        match self.here.agreeing(self.locals.1) {
            Err(reason) => self.refuse(None, reason),
            Ok(pairs) => self.conditions.extend(pairs.into_iter().map(|(one, other)| Condition {
                bits: one.formula.form.length.min(other.formula.form.length).saturating_mul(8),
                left: Value::Said(one),
                relation: Relation::Equal,
                right: Value::Said(other),
                branch: self.at.2,
                argument: None,
            })),
        }
    }

    /// Whether the spec makes up for an effect of the new code that never ran: it calls the function, or sets what is stored.
    pub(super) fn is_made_up_for(&mut self, at: NewLink) -> bool {
        let new = &mut self.correspondence.new;
        let Some(node) = new.values.function().graph.at(at.0) else { return self.here.makes_up_for(None) };
        let called = new.values.function().graph.node(node).filter(|node| node.is_call()).map(|node| node.call);
        if let Some(callee) = called {
            let functions = self.explainer.view.sides.new.functions.list();
            let called = match callee {
                Some(Callee::Function(id)) => functions.get(position(id)).map(|code| NewLink(code.entry)),
                _ => None,
            };
            return self.here.makes_up_for(called);
        }
        self.here.makes_up_for(None);
        let Some(Store { address, bytes, .. }) = events::store(new.values, node) else { return false };
        match new.values.node(address) {
            Term::Address(Symbolic::Address(place)) => self.here.sets(NewLink(*place), bytes.into()),
            _ => false,
        }
    }

    /// The line that sets the variable which an instruction of the new code stores to, where the old frame has a local of that name.
    pub(super) fn kept_local(&mut self, at: NewLink) -> Option<String> {
        let new = &mut self.correspondence.new;
        let node = new.values.function().graph.at(at.0)?;
        let Store { address, .. } = events::store(new.values, node)?;
        let Term::Address(Symbolic::Address(place)) = *new.values.node(address) else { return None };
        let objects = &self.explainer.view.sides.new.objects;
        let index = objects.covering(place)?;
        let name = &objects.list().get(index)?.identity.name;
        let written = written_among(objects.list(), index)?;
        self.locals.0.names().any(|own| own == name).then(|| format!("set = {{ \"{written}\" = \"old.{name}\" }}"))
    }

    /// What the call under way is given that a frame makes which vanishes: nothing says what the new code would give it.
    pub(super) fn other_arguments(&mut self) {
        let last = self.inner.last().and_then(|last| self.explainer.view.code.returns.get(&last.place));
        let is_own = !matches!(last, None | Some(Callee::Import(_)));
        if is_own && !self.here.accepts(Question::Argument, None, None) {
            let reason = "whether the new code gives the call that is under way the same arguments is not known, as the frame vanishes that made it";
            self.refuse(None, reason.to_owned());
            self.answer_with(Some("accept = [\"argument\"]".to_owned()));
        }
    }

    /// Whether bytes of the new frame are part of a variable that is handed over as it is.
    pub(super) fn is_handed_over(&self, offset: i64, length: u8) -> bool {
        let object = self.object_at(offset, length.into()).and_then(|object| self.objects.get(object));
        object.is_some_and(|object| self.handed_over.contains(&object.name))
    }

    /// What must hold of values that the user gives to variables that the new code takes for constants.
    pub(super) fn given_constants(&mut self, news: &Constants) -> Vec<Condition> {
        let (_, _, to) = self.at;
        let constant = |(name, given): (&str, &Said)| {
            let (number, length) = news.number(name)?;
            let (left, right) = (Value::Said(given.clone()), Value::Constant(number));
            Some(Condition { left, relation: Relation::Equal, right, bits: length.saturating_mul(8), branch: to, argument: None })
        };
        self.here.nowhere().filter_map(constant).collect()
    }

    /// Says what would answer the blocker that was found last.
    pub(super) fn answer_with(&mut self, body: Option<String>) {
        let (function, ..) = self.at;
        let answer = body.and_then(|body| self.explainer.answer_inside(function, self.inside, &body));
        if let Some(last) = self.blockers.last_mut() {
            last.answer = answer;
        }
    }

    /// What would give a variable of the new frame its value.
    pub(super) fn answer_local(&mut self, name: &str) {
        let is_there = self.locals.0.names().any(|own| own == name);
        let value = if is_there { format!("\"old.{name}\"") } else { "\"EXPRESSION\"".to_owned() };
        let written = match name.split_once(" of ") {
            Some((name, function)) => format!("\"{function}::{name}\""),
            None => name.to_owned(),
        };
        let body = (!written.contains(' ')).then(|| local(&written, &value));
        self.answer_with(body);
    }
}
