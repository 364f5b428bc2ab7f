//! What the plan would ask about objects of types that change, if there are any.

use super::Unset;
use crate::plan::answers;
use crate::plan::compare::data::DataChanges;
use crate::plan::data::question::{Question, Unknown};

/// All that is not known of data, each once.
#[derive(Debug)]
pub(super) struct Asked(pub(super) Vec<Question>);

impl Asked {
    /// The questions of all types and variables.
    pub(super) fn new(data: &DataChanges) -> Self {
        let mut questions = data.recipes.questions();
        let variables = data.variables.values().chain(data.locals.values());
        questions.extend(variables.filter_map(|compiled| compiled.as_ref().err()).flat_map(|asked| asked.iter().cloned()));
        questions.extend(data.unset.iter().filter(|unset| unset.is_pointer).map(|unset| unset.question.clone()));
        questions.sort_unstable();
        questions.dedup();
        Self(questions)
    }

    /// Whether something is asked about a member of a type, or about what is in it.
    pub(super) fn is_about(&self, owner: &str, member: &str) -> bool {
        self.0.iter().any(|question| {
            let rest = question.field.strip_prefix(member).filter(|_| question.owner == owner);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// What is new in variables, and the lines of which one answers it.
    pub(super) fn unset(&self) -> Vec<Unset> {
        let asked = self.0.iter().filter(|question| question.what == Unknown::Unset);
        asked.map(|question| Unset { message: question.to_string(), answers: answers::lines(question) }).collect()
    }

    /// The arrays of which nobody says how many elements they have.
    pub(super) fn lengths(&self) -> impl Iterator<Item = String> {
        let asked = self.0.iter().filter(|question| question.what == Unknown::Length && !question.field.is_empty());
        asked.map(|question| format!("{}.{}", question.owner, question.field))
    }
}
