//! What stands against rewriting data as blockers, each with the lines of a spec that would answer it.

use dsu_formats::address::RunAddress;

use super::blocker::Blocker;
use super::data::question::{Question, Unknown};
use super::data::recipe::RecipeProblem;
use super::data::rewrite::RewriteProblem;
use super::spec::names::line;
use super::walk::{Cleared, Problem};

/// An open question; `object` is one that needs the answer.
pub fn question(question: &Question, object: RunAddress) -> Blocker {
    Blocker::Question { question: question.to_string(), needs: question.what.answered_by(), object, answers: lines(question) }
}

/// A problem of the walk.
pub fn problem(problem: Problem) -> Blocker {
    let answers = match &problem {
        Problem::Suspect { kind, holders, .. } => {
            let leads = holders.iter().map(|holder| line("memory", holder, &format!("{{ type = \"{kind}\" }}")));
            leads.chain([format!("[accept] unused-types = [\"{kind}\"]")]).collect()
        }
        Problem::UnreadableHeap { kind, passing: false, .. } => {
            vec![format!("[accept] unused-types = [\"{kind}\"]")]
        }
        _ => Vec::new(),
    };
    Blocker::Walk { problem, answers }
}

/// A block that evidence alone clears.
pub fn cleared(block: Cleared) -> Blocker {
    let Cleared { address, usable, reason } = block;
    Blocker::Cleared { address, usable, reason, answers: vec!["[accept] cleared-blocks = true".to_owned()] }
}

/// What keeps an object from being rewritten; `on_stack` says whether an address lies on a stack.
pub fn rewrite(problem: &RewriteProblem, on_stack: impl Fn(RunAddress) -> bool) -> Vec<Blocker> {
    let (object, answers) = match problem {
        RewriteProblem::Questions { address, questions, .. } => {
            return questions.iter().map(|one| self::question(one, *address)).collect();
        }
        RewriteProblem::Recipe(error) => (error.address, recipe(&error.field, &error.problem)),
        RewriteProblem::Unchanged { address, .. }
        | RewriteProblem::NotMade { address, .. }
        | RewriteProblem::NoRoom { address, .. }
        | RewriteProblem::Alignment { address, .. }
        | RewriteProblem::Overlap { address, .. }
        | RewriteProblem::Memory { address, .. } => (*address, Vec::new()),
        RewriteProblem::Pointer { holder, .. } => (*holder, Vec::new()),
    };
    vec![Blocker::Object { problem: with_causes(problem), object, passing: on_stack(object), answers }]
}

/// What a plugin did not do.
pub fn plugin(error: &(dyn std::error::Error + 'static)) -> Blocker {
    Blocker::Plugin { problem: with_causes(error) }
}

/// An error with its causes, none said twice.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let words = source.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = source.source();
    }
    text
}

fn recipe(field: &str, problem: &RecipeProblem) -> Vec<String> {
    match problem {
        RecipeProblem::Lost { .. } | RecipeProblem::Cut { .. } => vec![format!("[accept] may-lose = [\"{field}\"]")],
        RecipeProblem::NoEnumerator { value, kind } => {
            let kind = kind.trim_matches('`');
            vec![line("enums", kind, &format!("{{ {value} = NEW_VALUE }}"))]
        }
        _ => Vec::new(),
    }
}

/// The lines that answer a question; what the user has to fill in stands in capitals.
pub(super) fn lines(question: &Question) -> Vec<String> {
    let (owner, field) = (&question.owner, &question.field);
    let at = if field.is_empty() { owner.clone() } else { format!("{owner}.{field}") };
    let likely = question.likely.as_ref().map(|likely| line("fields", &at, &format!("\"old.{likely}\"")));
    match question.what {
        Unknown::NewField => likely.into_iter().chain([line("fields", &at, "0")]).collect(),
        Unknown::NewElements => vec![line("fields", &format!("{at}[new]"), "0")],
        Unknown::Retyped => vec![line("fields", &at, &format!("\"EXPRESSION OF old.{field}\""))],
        Unknown::UnionMember => vec![line("memory", &at, "{ by = \"old.TAG\", members = { VALUE = \"MEMBER\" } }")],
        Unknown::Length => vec![line("memory", &at, "{ count = \"old.FIELD\" }")],
        Unknown::Target => vec![line("memory", &at, "{ type = \"struct NAME\" }"), line("fields", &at, "\"EXPRESSION\"")],
        Unknown::TypeName => vec![line("pair.types", &question.old, &format!("\"{}\"", question.new))],
        Unknown::Enumerator => vec![line("enums", owner, "{ OLD_NAME = \"NEW_NAME\" }")],
        Unknown::Undescribed => vec![line("memory", owner, "\"opaque\"")],
        Unknown::Unset if field.is_empty() => vec![line("globals", owner, "\"new\"")],
        Unknown::Unset => vec![line("fields", &at, "0")],
        Unknown::Rule => Vec::new(),
    }
}
