//! Whether a pointer of the new build leads to what the old one led to.

use super::partners::Partner;
use crate::program::compare_types::Comparison;
use crate::program::types::{Shape, TypeId, TypeTable};

/// How many pointers and arrays are followed; more is a loop in mangled debug information.
const DEPTH_LIMIT: usize = 16;

/// Whether pointers within the two types (pointers themselves, or arrays of them) lead to the same thing in both builds. Types without
/// pointers agree. What a pointer to void leads to is nobody's claim: it agrees with everything but a structure that it newly names.
pub(in crate::plan) fn agree<'p>(
    (old, a): (&TypeTable, Option<TypeId>),
    (new, b): (&TypeTable, Option<TypeId>),
    partner: &impl Fn(TypeId) -> &'p Partner,
    comparison: &mut Comparison<'_>,
) -> bool {
    let (mut a, mut b) = (a, b);
    let mut is_target = false;
    for _ in 0..DEPTH_LIMIT {
        let (Some(m), Some(n)) = (old.normal(a), new.normal(b)) else {
            let is_new_claim = new.normal(b).is_some_and(|n| new.get(n).shape.tag().is_some());
            return !(is_target && is_new_claim);
        };
        let (left, right) = (old.get(m), new.get(n));
        (a, b) = match (&left.shape, &right.shape) {
            (Shape::Pointer { target: x }, Shape::Pointer { target: y }) => {
                is_target = true;
                (*x, *y)
            }
            (Shape::Array { element: x, .. }, Shape::Array { element: y, .. }) => (*x, *y),
            _ if !is_target => return true,
            (Shape::Base { .. } | Shape::Enum { .. }, Shape::Base { .. } | Shape::Enum { .. }) => {
                // Bytes are bytes; wider numbers may at most change their sign.
                return left.size == right.size
                    && (left.size == Some(1)
                        || comparison.compare_own(Some(m), Some(n)).is_ok()
                        || is_integer(left) == is_integer(right));
            }
            // Code is paired by itself.
            (Shape::Function { .. }, Shape::Function { .. }) => return true,
            _ => {
                return matches!(partner(m), Partner::One(one) if *one == n || declares(new, n, *one))
                    || comparison.compare(Some(m), Some(n)).is_ok();
            }
        };
    }
    false
}

/// Whether `n` is a declaration of the name that `one` defines, which may stand for other structures besides: names pair.
fn declares(new: &TypeTable, n: TypeId, one: TypeId) -> bool {
    let (declaration, definition) = (new.get(n), new.get(one));
    matches!(declaration.shape, Shape::Incomplete { .. })
        && !declaration.name.is_empty()
        && (declaration.shape.tag(), &declaration.name) == (definition.shape.tag(), &definition.name)
}

fn is_integer(entry: &crate::program::types::Type) -> bool {
    match entry.shape {
        Shape::Base { encoding } => !super::value::is_float(encoding),
        _ => true,
    }
}
