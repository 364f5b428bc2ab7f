//! Types of paired variables.

use super::objects::{Object, Objects};
use super::pairs::Partner;
use super::sides::Sides;
use crate::program::build::Build;
use crate::program::compare_types::{Comparison, Difference};

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
    let fixed = changes(&mut comparison, (&sides.old.objects, &sides.new.objects), &sides.objects);
    let local = changes(&mut comparison, (&sides.old.locals, &sides.new.locals), &sides.locals);
    (fixed, local)
}

fn changes(comparison: &mut Comparison<'_>, objects: (&Objects, &Objects), partners: &[Partner]) -> Vec<Option<LayoutChange>> {
    let pairs = objects.0.list().iter().zip(partners);
    pairs.map(|(old, partner)| change(comparison, old, objects.1.list().get(partner.one()?)?)).collect()
}

fn change(comparison: &mut Comparison<'_>, old: &Object, new: &Object) -> Option<LayoutChange> {
    if old.size != new.size {
        let bytes = |size: u64| format!("{size} bytes");
        return Some(LayoutChange { place: "its size".to_owned(), old: bytes(old.size), new: bytes(new.size) });
    }
    // A variable of assembly has no type on either side: its size is all there is.
    if old.kind.is_none() && new.kind.is_none() {
        return None;
    }
    let Difference { reached, old, new, .. } = comparison.compare_own(old.kind, new.kind).err()?;
    Some(LayoutChange { place: reached, old, new })
}
