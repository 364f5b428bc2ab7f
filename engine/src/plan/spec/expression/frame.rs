//! What `old` is where it is a frame: its variables, put side by side as an expression first names them.

use std::cell::RefCell;

use crate::plan::address::OldLink;
use crate::plan::frames::{OldScope, Read, Readable};
use crate::program::types::{TypeId, TypeTable};

/// Most bytes of variables that an expression looks at.
const MOST_BYTES: u64 = 1 << 24;
/// Alignment of a variable among them, in bytes.
const ALIGNMENT: u64 = 8;

/// Where a variable of the old program is, with its type; or why that is not certain.
pub type Static = Result<(OldLink, Option<TypeId>), String>;

/// The variables that an expression may name, and those that it has named.
pub struct FrameScope<'f> {
    /// Variables of the old function.
    pub locals: &'f OldScope,
    /// A variable of the old program: where it is, and its type.
    pub statics: &'f dyn Fn(&str) -> Option<Static>,
    /// Types of the old build.
    pub types: &'f TypeTable,
    used: RefCell<(Vec<Read>, u64)>,
}

/// What a name is.
pub(super) enum Found {
    /// A variable, at so many bytes.
    At(u64, Option<TypeId>),
    /// Nothing; with the name that is most like it.
    Unknown(Option<String>),
    /// Why it is not certain.
    Unclear(String),
}

impl<'f> FrameScope<'f> {
    /// Nothing is named yet.
    pub fn new(locals: &'f OldScope, statics: &'f dyn Fn(&str) -> Option<Static>, types: &'f TypeTable) -> Self {
        Self { locals, statics, types, used: RefCell::default() }
    }

    /// What has been named, and how many bytes that is.
    pub fn used(self) -> (Vec<Read>, u64) {
        self.used.into_inner()
    }

    /// `old.NAME`.
    pub(super) fn local(&self, name: &str) -> Found {
        let Some(variable) = self.locals.get(name) else {
            return Found::Unknown(dsu_formats::spec::place::nearest(name, self.locals.names()).map(str::to_owned));
        };
        match variable.kinds[..] {
            [kind] if variable.frame > 0 => self.place(Readable::Inner(variable.frame, name.to_owned()), kind),
            [kind] => self.place(Readable::Local(name.to_owned()), kind),
            _ => Found::Unclear("is declared several times in the old function, with different types".to_owned()),
        }
    }

    /// `NAME`, `old::NAME`.
    pub(super) fn variable(&self, name: &str) -> Option<Found> {
        Some(match (self.statics)(name)? {
            Ok((link, kind)) => self.place(Readable::Static(link), kind),
            Err(reason) => Found::Unclear(reason),
        })
    }

    fn place(&self, what: Readable, kind: Option<TypeId>) -> Found {
        let mut used = self.used.borrow_mut();
        if let Some(read) = used.0.iter().find(|read| read.what == what) {
            return Found::At(read.at as u64, kind);
        }
        let (at, size) = (used.1, self.types.size_of(kind));
        let end = size.and_then(|size| at.checked_add(size)?.checked_next_multiple_of(ALIGNMENT));
        match (size, end, usize::try_from(at)) {
            (Some(length), Some(end), Ok(start)) if length > 0 && end <= MOST_BYTES => {
                used.0.push(Read { what, at: start, length });
                used.1 = end;
                Found::At(at, kind)
            }
            _ => Found::Unclear("has no known size, or is too large".to_owned()),
        }
    }
}
