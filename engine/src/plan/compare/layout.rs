//! Types of paired variables.

use super::objects::{Object, Objects};
use super::pairs::Partner;
use super::sides::Sides;
use crate::program::build::Build;
use crate::program::compare_types::{Comparison, Difference};
use crate::program::dwarf::Storage;
use crate::program::types::{Shape, TypeId};

/// How the type of a paired variable changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutChange {
    /// Member or aspect that differs first.
    pub place: String,
    /// The old side.
    pub old: String,
    /// The new side.
    pub new: String,
}

/// For each variable of the old build whether the bytes of its value mean the same in its partner.
pub fn layout_changes(old: &Build, new: &Build, sides: &Sides) -> (Vec<Option<LayoutChange>>, Vec<Option<LayoutChange>>) {
    let mut comparison = Comparison::new(&old.debug.types, &new.debug.types);
    let fixed = changes(&mut comparison, (old, new), (&sides.old.objects, &sides.new.objects), &sides.objects);
    let local = changes(&mut comparison, (old, new), (&sides.old.locals, &sides.new.locals), &sides.locals);
    (fixed, local)
}

fn changes(
    comparison: &mut Comparison<'_>,
    builds: (&Build, &Build),
    objects: (&Objects, &Objects),
    partners: &[Partner],
) -> Vec<Option<LayoutChange>> {
    let pairs = objects.0.list().iter().zip(partners);
    pairs.map(|(old, partner)| change(comparison, builds, old, objects.1.list().get(partner.one()?)?)).collect()
}

fn change(comparison: &mut Comparison<'_>, builds: (&Build, &Build), old: &Object, new: &Object) -> Option<LayoutChange> {
    if old.size != new.size {
        let bytes = |size: u64| format!("{size} bytes");
        return Some(LayoutChange { place: "its size".to_owned(), old: bytes(old.size), new: bytes(new.size) });
    }
    // A variable of assembly has no type on either side: its size is all there is.
    if old.kind.is_none() && new.kind.is_none() {
        return part_change(comparison, builds, &old.identity.name);
    }
    let Difference { reached, old, new, .. } = comparison.compare_own(old.kind, new.kind).err()?;
    Some(LayoutChange { place: reached, old, new })
}

/// How the type of a variable changes of which the compiler made several, or of whose only object it made a variable: LLVM's GlobalOpt calls
/// the parts `NAME.0` and so on, the object `NAME.body`, and debug information does not say what is in them.
fn part_change(comparison: &mut Comparison<'_>, (old, new): (&Build, &Build), name: &str) -> Option<LayoutChange> {
    // Numbers are no part of what a variable is called.
    let (whole, part) = name.split_once('.').unwrap_or((name, "0"));
    if part != "body" && !part.split('.').all(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())) {
        return None;
    }
    let target = |build: &Build, kind: Option<TypeId>| match build.debug.types.get(build.debug.types.peel(kind)?).shape {
        Shape::Pointer { target } => target,
        _ => kind,
    };
    let kinds = |build: &Build| -> Vec<Option<TypeId>> {
        let variables =
            build.debug.variables.iter().filter(|variable| variable.name == whole && variable.storage == Storage::None);
        variables.map(|variable| if part == "body" { target(build, variable.kind) } else { variable.kind }).collect()
    };
    let (olds, news) = (kinds(old), kinds(new));
    let mut differences = olds.iter().flat_map(|old| news.iter().map(|new| (*old, *new)));
    let Difference { reached, old, new, .. } = differences.find_map(|(old, new)| comparison.compare_own(old, new).err())?;
    Some(LayoutChange { place: reached, old, new })
}
