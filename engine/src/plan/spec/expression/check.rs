//! The checker: what each part of an expression is, by the types of both builds.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use dsu_formats::spec::Problem;
use dsu_formats::spec::expression::{Binary, CType, Measure, Node, NodeKind, Side, Unary};
use dsu_formats::spec::model::Expression;
use dsu_formats::spec::place::Span;
use gimli::constants as dw;

use super::access::Access;
use super::frame::{Found, FrameScope};
use super::{Code, Compiled, Kind, NumberForm, Op};
use crate::plan::data::value::{is_float, is_signed};
use crate::plan::spec::types::Types;
use crate::program::types::{Member, Shape, TypeId, TypeTable};

/// What names mean, for all expressions of a spec.
pub struct Environment<'a> {
    /// Types of the old build.
    pub old: Types<'a>,
    /// Types of the new build.
    pub new: Types<'a>,
    /// Values of the old build's enumerators.
    old_enumerators: HashMap<&'a str, BTreeSet<i128>>,
    /// Values of the new build's enumerators.
    new_enumerators: HashMap<&'a str, BTreeSet<i128>>,
}

impl<'a> Environment<'a> {
    /// What names mean in two builds.
    pub fn new(old: Types<'a>, new: Types<'a>) -> Self {
        Self { old, new, old_enumerators: enumerators(old.table), new_enumerators: enumerators(new.table) }
    }

    /// The value of an enumerator of one build.
    ///
    /// # Errors
    /// A name that no enumerator has, or several have with different values.
    pub fn enumerator(&self, side: Side, name: &str, span: Span) -> Result<i128, Problem> {
        let known = self.enumerators(side);
        match known.get(name).map(|values| (values.first(), values.len())) {
            Some((Some(value), 1)) => Ok(*value),
            Some((_, count)) => {
                let message =
                    format!("`{name}` is not unique: {count} enumerations of the {side} program give it different values");
                Err(self.old.source.problem(span, message))
            }
            None => Err(self.old.source.unknown(span, &format!("enumerator of the {side} program"), name, known.keys().copied())),
        }
    }

    fn enumerators(&self, side: Side) -> &HashMap<&'a str, BTreeSet<i128>> {
        match side {
            Side::Old => &self.old_enumerators,
            Side::New => &self.new_enumerators,
        }
    }

    /// A name without a side: it must mean one value, whichever build has it.
    fn either(&self, name: &str, span: Span) -> Result<i128, Problem> {
        match (self.old_enumerators.contains_key(name), self.new_enumerators.contains_key(name)) {
            (true, false) => self.enumerator(Side::Old, name, span),
            (false, true) => self.enumerator(Side::New, name, span),
            (true, true) => {
                let (old, new) = (self.enumerator(Side::Old, name, span)?, self.enumerator(Side::New, name, span)?);
                if old == new {
                    return Ok(old);
                }
                let message = format!(
                    "`{name}` is {old} in the old program and {new} in the new one: write `old::{name}` or `new::{name}`"
                );
                Err(self.old.source.problem(span, message))
            }
            (false, false) => {
                let known = self.old_enumerators.keys().chain(self.new_enumerators.keys()).copied().chain(["old", "new"]);
                Err(self.old.source.unknown(span, "name", name, known))
            }
        }
    }
}

fn enumerators(table: &TypeTable) -> HashMap<&str, BTreeSet<i128>> {
    let mut found: HashMap<&str, BTreeSet<i128>> = HashMap::new();
    for entry in &table.types {
        if let Shape::Enum { enumerators } = &entry.shape {
            for (name, value) in enumerators {
                found.entry(name).or_default().insert(*value);
            }
        }
    }
    found
}

/// The fields of the new object that rules of the same spec give a value: an expression may use them as `new.field`. `None`: by a map.
pub type NewFields<'a> = HashMap<String, Option<&'a Expression>>;

/// How deep an expression may nest, with everything that it uses of other rules.
const MAX_DEPTH: u32 = 300;
/// How many parts an expression may have, with everything that it uses of other rules.
const MAX_PARTS: u32 = 4096;

/// Checks the expressions about objects of one old type.
pub struct Checker<'a> {
    /// What names mean.
    pub environment: &'a Environment<'a>,
    /// The old type; `None` where there is no old object.
    pub old: Option<TypeId>,
    /// What `new.field` means, by field.
    new_fields: &'a NewFields<'a>,
    /// Fields of the new object that are being looked into.
    within: Vec<String>,
    /// What `old` is where it is a frame, and what else names may mean there.
    frame: Option<&'a FrameScope<'a>>,
    /// How deep the part that is being looked at is.
    depth: u32,
    /// How many parts have been looked at.
    parts: u32,
}

type Checked = Result<(Code, Kind), Problem>;

impl<'a> Checker<'a> {
    /// A checker of one expression about objects of `old`; for the field `within` of the new object, where it is for one.
    pub fn new(
        environment: &'a Environment<'a>,
        old: Option<TypeId>,
        new_fields: &'a NewFields<'a>,
        within: Option<&str>,
    ) -> Self {
        let within = within.map(str::to_owned).into_iter().collect();
        Self { environment, old, new_fields, within, frame: None, depth: 0, parts: 0 }
    }

    /// A checker of an expression over a frame of the old program.
    pub fn over_frame(environment: &'a Environment<'a>, none: &'a NewFields<'a>, frame: &'a FrameScope<'a>) -> Self {
        Self { frame: Some(frame), ..Self::new(environment, None, none, None) }
    }

    /// Checks an expression.
    ///
    /// # Errors
    /// The first thing that is not known, or does not fit.
    pub fn compile(&mut self, expression: &Expression) -> Result<Compiled, Problem> {
        let (code, kind) = self.value(&expression.root)?;
        Ok(self.compiled(code, kind, &expression.text))
    }

    /// As [`Self::compile`], for `{ map = {…}, of = "…" }`, whose cases are numbers by now.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_map(
        &mut self,
        of: &Expression,
        values: &[(i128, &Expression)],
        otherwise: Option<&Expression>,
    ) -> Result<Compiled, Problem> {
        let (tag, kind) = self.value(&of.root)?;
        self.require(kind, Kind::Integer, "a map", of.root.span)?;
        let mut result = None;
        let mut entries = Vec::new();
        for (case, value) in values {
            entries.push((*case, self.same_kind(&mut result, value)?));
        }
        entries.sort_by_key(|entry| entry.0);
        let otherwise = otherwise.map(|value| self.same_kind(&mut result, value).map(Box::new)).transpose()?;
        let span = of.root.span;
        let Some(kind) = result else { return Err(self.problem(span, "the map is empty")) };
        let code = Code::new(Op::Map(Box::new(tag), entries.into(), otherwise), span);
        Ok(self.compiled(code, kind, &of.text))
    }

    fn same_kind(&mut self, known: &mut Option<Kind>, value: &Expression) -> Result<Code, Problem> {
        let (code, kind) = self.value(&value.root)?;
        match known {
            None => *known = Some(kind),
            Some(known) => self.require(kind, *known, "the other values of the map", value.root.span)?,
        }
        Ok(code)
    }

    fn compiled(&self, code: Code, kind: Kind, text: &str) -> Compiled {
        let source = self.environment.old.source.clone();
        Compiled { code, kind, text: Arc::from(text), source, range: None }
    }

    /// The path of an expression that only names a field of the old object: `old.a.b`.
    pub fn field_path(expression: &Expression) -> Option<Vec<String>> {
        let mut names = Vec::new();
        let mut node = &expression.root;
        loop {
            match &node.kind {
                NodeKind::Object(Side::Old) => break,
                NodeKind::Member(object, name) => {
                    names.push(name.clone());
                    node = object;
                }
                _ => return None,
            }
        }
        names.reverse();
        Some(names)
    }

    fn problem(&self, span: Span, message: impl Into<String>) -> Problem {
        self.environment.old.source.problem(span, message)
    }

    fn require(&self, found: Kind, expected: Kind, what: &str, span: Span) -> Result<(), Problem> {
        if found == expected || matches!((found, expected), (Kind::Pointer(_), Kind::Pointer(_))) {
            return Ok(());
        }
        let message = format!("type mismatch: {what} needs {}, found {}", expected.describe(), found.describe());
        Err(self.problem(span, message))
    }

    fn value(&mut self, node: &Node) -> Checked {
        self.depth += 1;
        self.parts += 1;
        if self.depth > MAX_DEPTH || self.parts > MAX_PARTS {
            return Err(self.problem(node.span, "the expression is too long, with all that it uses of other rules"));
        }
        let found = self.any_value(node);
        self.depth -= 1;
        found
    }

    fn any_value(&mut self, node: &Node) -> Checked {
        let span = node.span;
        let code = |op| Code::new(op, span);
        match &node.kind {
            NodeKind::Integer(value) => Ok((code(Op::Integer(*value)), Kind::Integer)),
            NodeKind::Boolean(value) => Ok((code(Op::Integer((*value).into())), Kind::Integer)),
            NodeKind::Float(value) => Ok((code(Op::Float(*value)), Kind::Float)),
            NodeKind::Text(text) => Ok((code(Op::Text(text.as_bytes().into())), Kind::Text)),
            NodeKind::Name { .. } if self.variable(node).is_some() => self.read(node),
            NodeKind::Name { side, name } => {
                let value = match side {
                    Some(side) => self.environment.enumerator(*side, name, span)?,
                    None => self.environment.either(name, span)?,
                };
                Ok((code(Op::Integer(value)), Kind::Integer))
            }
            NodeKind::Object(_) | NodeKind::Member(..) | NodeKind::Index(..) => self.read(node),
            NodeKind::Measure(Measure::Length, of) => {
                let text = self.text(of)?;
                Ok((code(Op::Length(Box::new(text))), Kind::Integer))
            }
            NodeKind::Measure(Measure::Count, of) => self.count(of, span),
            NodeKind::Cast(kind, of) => self.cast(*kind, of, span),
            NodeKind::Unary(operator, of) => self.unary(*operator, of, span),
            NodeKind::Binary(operator, a, b) => self.binary(*operator, a, b, span),
            NodeKind::Choice(condition, then, otherwise) => self.choice(condition, then, otherwise, span),
        }
    }

    /// A text, or the text behind a pointer to characters.
    fn text(&mut self, node: &Node) -> Result<Code, Problem> {
        match self.value(node)? {
            (code, Kind::Text) => Ok(code),
            (code, Kind::Pointer(target)) if self.is_character(target) => {
                Ok(Code::new(Op::TextBehind(Box::new(code)), node.span))
            }
            (_, kind) => Err(self.problem(node.span, format!("type mismatch: expected a text, found {}", kind.describe()))),
        }
    }

    fn count(&mut self, of: &Node, span: Span) -> Checked {
        let (_, kind) = self.place(of)?;
        let table = self.environment.old.table;
        let counted = table.peel(kind).and_then(|kind| match &table.get(kind).shape {
            Shape::Array { counts, .. } => counts.first().copied().flatten(),
            _ => None,
        });
        match counted {
            Some(count) => Ok((Code::new(Op::Integer(count.into()), span), Kind::Integer)),
            None => Err(self
                .problem(of.span, format!("type mismatch: expected an array of known length, found `{}`", table.describe(kind)))),
        }
    }

    fn cast(&mut self, kind: CType, of: &Node, span: Span) -> Checked {
        let (code, found) = self.value(of)?;
        if !matches!(found, Kind::Integer | Kind::Float) {
            return Err(self.problem(of.span, format!("type mismatch: only numbers can be cast, found {}", found.describe())));
        }
        let result = if matches!(kind, CType::Float { .. }) { Kind::Float } else { Kind::Integer };
        Ok((Code::new(Op::Cast(kind, Box::new(code)), span), result))
    }

    fn unary(&mut self, operator: Unary, of: &Node, span: Span) -> Checked {
        let (code, kind) = self.value(of)?;
        let result = match (operator, kind) {
            (Unary::Not, Kind::Integer | Kind::Float | Kind::Pointer(_)) => Kind::Integer,
            (Unary::Minus, Kind::Integer | Kind::Float) => kind,
            (Unary::Complement, Kind::Integer) => kind,
            _ => return Err(self.problem(of.span, format!("type mismatch: expected a number, found {}", kind.describe()))),
        };
        Ok((Code::new(Op::Unary(operator, Box::new(code)), span), result))
    }

    fn condition(&mut self, node: &Node) -> Result<Code, Problem> {
        match self.value(node)? {
            (code, Kind::Integer | Kind::Float | Kind::Pointer(_)) => Ok(Code::new(Op::IsSet(Box::new(code)), node.span)),
            (_, kind) => Err(self.problem(node.span, format!("type mismatch: expected a condition, found {}", kind.describe()))),
        }
    }

    fn binary(&mut self, operator: Binary, a: &Node, b: &Node, span: Span) -> Checked {
        use Binary::{Add, Both, Divide, Either, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Multiply, Subtract, Unequal};
        if matches!(operator, Both | Either) {
            let (left, right) = (self.condition(a)?, self.condition(b)?);
            return Ok((Code::new(Op::Binary(operator, Box::new(left), Box::new(right)), span), Kind::Integer));
        }
        let is_order = matches!(operator, Less | LessOrEqual | Greater | GreaterOrEqual);
        let is_comparison = is_order || matches!(operator, Equal | Unequal);
        let is_arithmetic = matches!(operator, Add | Subtract | Multiply | Divide);
        let ((left, from), (right, to)) = (self.value(a)?, self.value(b)?);
        let (left, right, kind) = match (from, to) {
            (Kind::Integer, Kind::Integer) => (left, right, Kind::Integer),
            (Kind::Float | Kind::Integer, Kind::Float | Kind::Integer) if is_arithmetic || is_comparison => {
                (to_float(left, from), to_float(right, to), Kind::Float)
            }
            (Kind::Text | Kind::Pointer(_), Kind::Text) | (Kind::Text, Kind::Pointer(_)) if is_comparison => {
                (self.text(a)?, self.text(b)?, Kind::Text)
            }
            (Kind::Pointer(_), Kind::Pointer(_)) if is_comparison && !is_order => (left, right, from),
            (Kind::Pointer(_), Kind::Integer) if is_comparison && !is_order && is_zero(&right) => (left, right, from),
            (Kind::Integer, Kind::Pointer(_)) if is_comparison && !is_order && is_zero(&left) => (left, right, to),
            _ => {
                let message = format!("type mismatch: the operator has {} and {}", from.describe(), to.describe());
                return Err(self.problem(span, message));
            }
        };
        if matches!(operator, Divide | Binary::Remainder) && is_zero(&right) {
            return Err(self.problem(b.span, "division by zero"));
        }
        let of_whole = kind == Kind::Integer;
        let kind = if is_comparison { Kind::Integer } else { kind };
        let (left, right) = (Box::new(left), Box::new(right));
        let op = if of_whole { Op::Whole(operator, left, right) } else { Op::Binary(operator, left, right) };
        Ok((Code::new(op, span), kind))
    }

    fn choice(&mut self, condition: &Node, then: &Node, otherwise: &Node, span: Span) -> Checked {
        let condition = self.condition(condition)?;
        let ((a, from), (b, to)) = (self.value(then)?, self.value(otherwise)?);
        let (a, b, kind) = match (from, to) {
            (Kind::Float | Kind::Integer, Kind::Float | Kind::Integer) if from != to => {
                (to_float(a, from), to_float(b, to), Kind::Float)
            }
            (Kind::Pointer(_), Kind::Pointer(_)) => (a, b, from),
            (Kind::Pointer(_), Kind::Integer) if is_zero(&b) => (a, b, from),
            (Kind::Integer, Kind::Pointer(_)) if is_zero(&a) => (a, b, to),
            _ => {
                self.require(to, from, "the choice", otherwise.span)?;
                (a, b, from)
            }
        };
        Ok((Code::new(Op::Choice(Box::new(condition), Box::new(a), Box::new(b)), span), kind))
    }

    /// The value at a place of the old object, or of a field of the new one.
    fn read(&mut self, node: &Node) -> Checked {
        if let Some(path) = new_path(node) {
            return self.new_field(&path, node.span);
        }
        let (place, kind) = self.place(node)?;
        let table = self.environment.old.table;
        let Some(id) = table.peel(kind).map(|id| table.resolve(id)) else {
            return Err(self.problem(node.span, "this has no type that a value can be read by"));
        };
        let code = |op| Code::new(op, node.span);
        let entry = table.get(id);
        Ok(match &entry.shape {
            Shape::Pointer { target } => (code(Op::Pointer(place.access)), Kind::Pointer(*target)),
            Shape::Array { element, counts } if counts.len() == 1 && self.is_character(*element) => {
                (code(Op::Characters(place.access, entry.size.filter(|size| *size > 0))), Kind::Text)
            }
            _ => match number_form(table, id, place.bits) {
                Some(form) if form.float => (code(Op::Number(place.access, form)), Kind::Float),
                Some(form) => (code(Op::Number(place.access, form)), Kind::Integer),
                None => {
                    let message = format!("type mismatch: `{}` is no number, text or pointer", table.describe(kind));
                    return Err(self.problem(node.span, message));
                }
            },
        })
    }

    /// A field of the new object, by its own rule.
    fn new_field(&mut self, path: &[String], span: Span) -> Checked {
        let name = path.join(".");
        if self.within.contains(&name) {
            let way: Vec<&str> = self.within.iter().map(String::as_str).chain([name.as_str()]).collect();
            return Err(self.problem(span, format!("cyclic rule: `{}`", way.join("` needs `"))));
        }
        match self.new_fields.get(&name) {
            Some(Some(expression)) => {
                self.within.push(name);
                let found = self.value(&expression.root);
                self.within.pop();
                found
            }
            Some(None) => Err(self.problem(span, format!("`new.{name}` is given by a map; write the map's `of` instead"))),
            None => {
                let known = self.new_fields.keys().map(String::as_str);
                Err(self.environment.new.source.unknown(span, "field with a rule of its own", &format!("new.{name}"), known))
            }
        }
    }

    fn is_character(&self, kind: Option<TypeId>) -> bool {
        let table = self.environment.old.table;
        table.peel(kind).is_some_and(|kind| {
            let entry = table.get(kind);
            matches!(entry.shape, Shape::Base { encoding }
                if entry.size == Some(1) && encoding != dw::DW_ATE_boolean.0)
        })
    }

    /// A place in the old object or behind it, with its type.
    fn place(&mut self, node: &Node) -> Result<(Place, Option<TypeId>), Problem> {
        if let (Some(frame), NodeKind::Member(object, name)) = (self.frame, &node.kind)
            && matches!(object.kind, NodeKind::Object(Side::Old))
        {
            return self.at_variable(frame.local(name), name, node.span);
        }
        if let (Some(found), NodeKind::Name { name, .. }) = (self.variable(node), &node.kind) {
            return self.at_variable(found, name, node.span);
        }
        match &node.kind {
            NodeKind::Object(Side::Old) if self.frame.is_some() => {
                Err(self.problem(node.span, "expected a variable of the old frame, as in `old.count`"))
            }
            NodeKind::Object(Side::Old) if self.old.is_some() => Ok((Place::default(), self.old)),
            NodeKind::Object(Side::Old) => Err(self.problem(node.span, "there is no old object that `old` could mean here")),
            NodeKind::Object(Side::New) => Err(self.problem(node.span, "expected a field of the new object, as in `new.field`")),
            NodeKind::Member(object, name) => self.member(object, name, node.span),
            NodeKind::Index(array, index) => self.element(array, index, node.span),
            _ => Err(self.problem(node.span, "expected a field of the old object, as in `old.field`")),
        }
    }

    /// A variable of the old program that a name means beside a frame: no enumerator has it.
    fn variable(&self, node: &Node) -> Option<Found> {
        let NodeKind::Name { side: None | Some(Side::Old), name } = &node.kind else { return None };
        let frame = self.frame?;
        let is_enumerator = self.environment.enumerators(Side::Old).contains_key(name.as_str());
        if is_enumerator { None } else { frame.variable(name) }
    }

    fn at_variable(&self, found: Found, name: &str, span: Span) -> Result<(Place, Option<TypeId>), Problem> {
        match found {
            Found::At(offset, kind) => match Access::default().skip(offset) {
                Some(access) => Ok((Place { access, bits: None }, kind)),
                None => Err(self.problem(span, "there are too many variables in this expression")),
            },
            Found::Unknown(nearest) => {
                let problem = self.problem(span, format!("variable of the old function `{name}` is not known"));
                Err(Problem { nearest, ..problem })
            }
            Found::Unclear(what) => Err(self.problem(span, format!("`{name}` {what}"))),
        }
    }

    fn member(&mut self, object: &Node, name: &str, span: Span) -> Result<(Place, Option<TypeId>), Problem> {
        let (mut place, mut kind) = self.place(object)?;
        let types = self.environment.old;
        if let Some((target, size)) = self.pointed_to(kind) {
            place = Place { access: place.access.follow(target, size, None, object.span), bits: None };
            kind = target;
        }
        let inner = types.table.peel(kind).map(|kind| types.table.resolve(kind));
        let Some(path) = types.table.member_path(inner, name) else { return Err(types.no_member(inner, name, span)) };
        let (mut at, mut result) = (inner, None);
        for step in path {
            let shape = at.and_then(|kind| types.table.peel(Some(kind))).map(|kind| &types.table.get(kind).shape);
            let Some(member) = shape.and_then(Shape::members).and_then(|members| members.get(step as usize)) else {
                return Err(types.no_member(inner, name, span));
            };
            place = place.member(member).ok_or_else(|| self.problem(span, "this field lies outside every object"))?;
            at = member.kind;
            result = Some(member.kind);
        }
        Ok((place, result.flatten()))
    }

    fn element(&mut self, array: &Node, index: &Node, span: Span) -> Result<(Place, Option<TypeId>), Problem> {
        let (place, kind) = self.place(array)?;
        let (index_code, index_kind) = self.value(index)?;
        self.require(index_kind, Kind::Integer, "an index", index.span)?;
        let table = self.environment.old.table;
        let shape = table.peel(kind).map(|kind| &table.get(kind).shape);
        match shape {
            Some(Shape::Array { element, counts }) if counts.len() == 1 => {
                let Some(size) = table.size_of(*element) else { return Err(self.problem(span, "the elements have no size")) };
                let count = counts.first().copied().flatten();
                if let (Op::Integer(value), Some(count)) = (&index_code.op, count)
                    && !(0..i128::from(count)).contains(value)
                {
                    let message = format!("element {value} is out of range: the array has {count}");
                    return Err(self.problem(index.span, message));
                }
                Ok((Place { access: place.access.element(index_code, size, count), bits: None }, *element))
            }
            Some(Shape::Pointer { .. }) => match self.pointed_to(kind) {
                Some((target, size)) => {
                    Ok((Place { access: place.access.follow(target, size, Some(index_code), array.span), bits: None }, target))
                }
                None => Err(self.problem(span, format!("`{}` has no elements of known size", table.describe(kind)))),
            },
            _ => {
                let message = format!("type mismatch: expected an array or a pointer, found `{}`", table.describe(kind));
                Err(self.problem(array.span, message))
            }
        }
    }

    /// What a pointer points to, with its size.
    fn pointed_to(&self, kind: Option<TypeId>) -> Option<(Option<TypeId>, u64)> {
        let table = self.environment.old.table;
        let Shape::Pointer { target } = &table.get(table.peel(kind)?).shape else { return None };
        let target = table.peel(*target).map(|target| table.resolve(target))?;
        Some((Some(target), table.size_of(Some(target))?))
    }
}

/// A place while its way is followed.
#[derive(Clone, Debug, Default)]
struct Place {
    access: Access,
    /// For a bit-field: first bit from the place, and width.
    bits: Option<(u64, u64)>,
}

impl Place {
    fn member(self, member: &Member) -> Option<Self> {
        match member.bits {
            Some((start, width)) => Some(Self { access: self.access.skip(start / 8)?, bits: Some((start % 8, width)) }),
            None => Some(Self { access: self.access.skip(member.offset)?, bits: None }),
        }
    }
}

fn to_float(code: Code, kind: Kind) -> Code {
    let span = code.span;
    if kind == Kind::Integer { Code::new(Op::ToFloat(Box::new(code)), span) } else { code }
}

fn is_zero(code: &Code) -> bool {
    match &code.op {
        Op::Integer(value) => *value == 0,
        Op::Float(value) => *value == 0.0,
        Op::ToFloat(of) => is_zero(of),
        _ => false,
    }
}

/// The path of a node that names a field of the new object.
fn new_path(node: &Node) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut node = node;
    loop {
        match &node.kind {
            NodeKind::Object(Side::New) if !names.is_empty() => break,
            NodeKind::Member(object, name) => {
                names.push(name.clone());
                node = object;
            }
            _ => return None,
        }
    }
    names.reverse();
    Some(names)
}

/// How a number of this type is read; `None` for other types, and for numbers of more than 64 bits.
fn number_form(table: &TypeTable, id: TypeId, bits: Option<(u64, u64)>) -> Option<NumberForm> {
    let entry = table.get(id);
    let size = entry.size.filter(|size| (1..=8).contains(size))?;
    let (signed, float) = match &entry.shape {
        Shape::Base { encoding } => (is_signed(*encoding), is_float(*encoding)),
        Shape::Enum { enumerators } => (enumerators.iter().any(|(_, value)| *value < 0), false),
        _ => return None,
    };
    if float && !matches!(size, 4 | 8) {
        return None;
    }
    let size = bits.map_or(size, |(start, width)| start.saturating_add(width).div_ceil(8));
    Some(NumberForm { size, bits, signed, float })
}
