//! What a register or a word of the stack holds, as far as it matters where objects come from.

use crate::program::types::TypeId;

/// Number of a place where an object comes from, within one function.
pub(super) type Site = u32;

/// What a word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// A number, or a link-time address.
    Const(u64),
    /// The stack pointer at the function's entry, plus bytes.
    Stack(i64),
    /// A pointer to an object of the program's, by the type that is declared for it.
    Pointer {
        /// What it points to: a structure, a union, an array, a pointer.
        to: TypeId,
        /// How far behind its start, or the same place of another element of an array; `None` when not known.
        offset: Option<i64>,
    },
    /// A pointer that is declared as one to `void`, and the word that it was read from.
    Void(Option<Cell>),
    /// Anything.
    Unknown,
    /// A pointer to bytes or numbers, or a number that is no constant.
    Raw,
    /// The number that is the function's argument at this position, plus bytes.
    Number(Site, i64),
    /// The pointer that came from `site` in this function.
    Fresh(Fresh),
    /// A pointer from one of several sites, which are not told apart.
    Lost,
}

/// A pointer from a site: an allocation, or the function's argument of that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fresh {
    /// Where it came from.
    pub(super) site: Site,
    /// Distance from it.
    pub(super) offset: i64,
    /// Whether the distance is that, and not that of some element of an array.
    pub(super) exact: bool,
    /// Whether, once there is an object, this is a pointer to it or zero.
    pub(super) sure: bool,
    /// Whether it may as well be a pointer that nothing explains.
    pub(super) doubtful: bool,
}

/// A word in memory, told from others by its declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Cell {
    /// A word of a variable with static storage.
    Static(u64),
    /// A member of every object of a type.
    Member(TypeId, i64),
}

impl Value {
    /// The pointer itself, at its start.
    pub(super) fn of_site(site: Site) -> Self {
        Self::Fresh(Fresh { site, offset: 0, exact: true, sure: true, doubtful: false })
    }

    /// The site that it may be a pointer from.
    pub(super) fn site(self) -> Option<Site> {
        if let Self::Fresh(fresh) = self { Some(fresh.site) } else { None }
    }

    /// It plus a number; `None` is a number that is not known, which leads to another element of an array.
    pub(super) fn plus(self, by: Option<i64>) -> Self {
        match self {
            Self::Const(number) => by.map_or(Self::Raw, |by| Self::Const(number.wrapping_add_signed(by))),
            Self::Stack(offset) => by.and_then(|by| offset.checked_add(by)).map_or(Self::Unknown, Self::Stack),
            Self::Pointer { to, offset: Some(offset) } => Self::Pointer { to, offset: offset.checked_add(by.unwrap_or(0)) },
            Self::Fresh(fresh) => match fresh.offset.checked_add(by.unwrap_or(0)) {
                Some(offset) => Self::Fresh(Fresh { offset, exact: fresh.exact && by.is_some(), ..fresh }),
                None => Self::Fresh(Fresh { exact: false, ..fresh }),
            },
            Self::Number(site, more) => by.and_then(|by| more.checked_add(by)).map_or(Self::Raw, |more| Self::Number(site, more)),
            Self::Void(cell) if by == Some(0) => Self::Void(cell),
            // What is reckoned with is no pointer that merely comes back.
            Self::Void(_) => Self::Raw,
            other => other,
        }
    }

    /// What is known where two ways meet. `live` says whether the other way knows the site; what that way holds says nothing about an
    /// object that it has not got. `meet` knows of pointers to different types.
    pub(super) fn join(self, other: Self, live: impl Fn(bool, Site) -> bool, meet: impl Fn(Self, Self) -> Option<Self>) -> Self {
        if self == other {
            return self;
        }
        match (self, other) {
            (Self::Fresh(a), Self::Fresh(b)) if a.site == b.site => Self::Fresh(Fresh {
                site: a.site,
                offset: a.offset,
                exact: a.exact && b.exact && a.offset == b.offset,
                sure: a.sure && b.sure,
                doubtful: a.doubtful || b.doubtful,
            }),
            (Self::Fresh(fresh), other) => with_other(fresh, other, live(true, fresh.site)),
            (other, Self::Fresh(fresh)) => with_other(fresh, other, live(false, fresh.site)),
            (Self::Lost, _) | (_, Self::Lost) => Self::Lost,
            (Self::Raw, _) | (_, Self::Raw) => Self::Raw,
            (Self::Pointer { to, .. }, Self::Pointer { to: same, .. }) if to == same => Self::Pointer { to, offset: None },
            (pointer @ (Self::Pointer { .. } | Self::Void(_)), Self::Const(0)) => pointer,
            (Self::Const(0), pointer @ (Self::Pointer { .. } | Self::Void(_))) => pointer,
            (Self::Pointer { .. }, Self::Void(cell)) | (Self::Void(cell), Self::Pointer { .. }) => Self::Void(cell),
            (a, b) => meet(a, b).unwrap_or(Self::Unknown),
        }
    }
}

fn with_other(fresh: Fresh, other: Value, other_is_live: bool) -> Value {
    match other {
        Value::Fresh(_) | Value::Lost => Value::Lost,
        Value::Const(0) => Value::Fresh(fresh),
        Value::Const(_) | Value::Pointer { .. } | Value::Void(_) => {
            Value::Fresh(Fresh { sure: fresh.sure && !other_is_live, ..fresh })
        }
        Value::Stack(_) | Value::Number(..) | Value::Unknown | Value::Raw => {
            Value::Fresh(Fresh { sure: fresh.sure && !other_is_live, doubtful: true, ..fresh })
        }
    }
}
