//! `[enums]`, and what the cases of a tag mean.

use std::collections::HashMap;

use dsu_formats::spec::expression::Side;
use dsu_formats::spec::model::{Case, EnumMap, Otherwise, Rule};
use dsu_formats::spec::names::TypeName;
use dsu_formats::spec::{At, Problem};

use super::bind::Binder;
use crate::plan::data::rules::{EnumRule, Rules, Unmapped};
use crate::program::types::{Shape, TypeId};

/// Binds every map to the old enumerations that it is for.
pub(super) fn bind(binder: &mut Binder<'_>, rules: &mut Rules) {
    for rule in &binder.spec.enums {
        let found = map(binder, rules, rule);
        rules.enums.extend(binder.take(found).into_iter().flatten());
    }
}

fn map(binder: &Binder<'_>, rules: &Rules, rule: &Rule<TypeName, EnumMap>) -> Result<Vec<(TypeId, EnumRule)>, Problem> {
    let mut found = Vec::new();
    for old in binder.environment.old.find(&rule.subject)? {
        if !matches!(binder.shape(Side::Old, Some(old)), Some(Shape::Enum { .. })) {
            return Err(binder.wrong_kind(rule.subject.span, Side::Old, "an enumeration", Some(old)));
        }
        let new = binder.new_type(rules, old, &rule.subject.value);
        let mut values = HashMap::new();
        for (from, to) in &rule.value.value.values {
            let from_value = binder.case(from, Side::Old, Some(old))?;
            if values.insert(from_value, binder.case(to, Side::New, new)?).is_some() {
                return Err(binder.spec.source.problem(from.span, format!("the value {from_value} stands here twice")));
            }
        }
        let otherwise = match rule.value.value.otherwise.as_ref().map(|at| (&at.value, at.span)) {
            None => Unmapped::Refuse,
            Some((Otherwise::Keep, _)) => Unmapped::Keep,
            Some((Otherwise::Value(case), span)) => Unmapped::Value(binder.case(&At::new(case.clone(), span), Side::New, new)?),
        };
        found.push((old, EnumRule { values, flags: rule.value.value.flags, otherwise }));
    }
    Ok(found)
}

impl Binder<'_> {
    /// The number that a case means: an enumerator of `kind`, where that is an enumeration, else of any of the build.
    pub(super) fn case(&self, case: &At<Case>, side: Side, kind: Option<TypeId>) -> Result<i128, Problem> {
        let name = match &case.value {
            Case::Number(value) => return Ok(*value),
            Case::Name(name) => name,
        };
        let Some(Shape::Enum { enumerators }) = self.shape(side, kind) else {
            return self.environment.enumerator(side, name, case.span);
        };
        match enumerators.iter().find(|entry| entry.0 == *name) {
            Some((_, value)) => Ok(*value),
            None => {
                let what = format!("enumerator of `{}` of the {side} program", self.types(side).table.describe(kind));
                Err(self.spec.source.unknown(case.span, &what, name, enumerators.iter().map(|entry| entry.0.as_str())))
            }
        }
    }
}
