//! Expressions of a spec: arithmetic over the old object, as C writes it. This is their shape; types and values are the engine's.

mod parse;
mod tokens;

pub use parse::parse;

use super::place::Span;

/// An expression; how deep it nests is bounded by how long it may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Where it stands in the spec file.
    pub span: Span,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// A whole number; also a character in single quotes.
    Integer(i128),
    /// A number with a point.
    Float(f64),
    /// `true`, `false`.
    Boolean(bool),
    /// Text in double quotes.
    Text(String),
    /// `old` or `new`: the object that is converted, before and after.
    Object(Side),
    /// `NAME`, `old::NAME`, `new::NAME`: an enumerator or a global variable of a build.
    Name {
        /// The build, where it is said.
        side: Option<Side>,
        /// The name.
        name: String,
    },
    /// `A.name`, also through a pointer; `A->name` is the same.
    Member(Box<Node>, String),
    /// `A[i]`.
    Index(Box<Node>, Box<Node>),
    /// `length(A)`, `count(A)`.
    Measure(Measure, Box<Node>),
    /// `(unsigned char)A`.
    Cast(CType, Box<Node>),
    /// `-A` and its like.
    Unary(Unary, Box<Node>),
    /// `A + B` and its like.
    Binary(Binary, Box<Node>, Box<Node>),
    /// `A ? B : C`.
    Choice(Box<Node>, Box<Node>, Box<Node>),
}

/// One of the two builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The program that runs.
    Old,
    /// The program to move to.
    New,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Old => "old",
            Self::New => "new",
        })
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Characters of a text up to its terminating zero.
    Length,
    /// Elements of an array, as its type says.
    Count,
}

/// Operators before their operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// `-`
    Minus,
    /// `~`
    Complement,
    /// `!`
    Not,
}

/// Operators between their operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`, towards zero
    Divide,
    /// `%`, with the sign of the left side
    Remainder,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `&`
    And,
    /// `|`
    Or,
    /// `^`
    Xor,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `&&`
    Both,
    /// `||`
    Either,
}

/// A type that a value can be cast to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CType {
    /// An integer of so many bits; a cast keeps the low ones.
    Integer {
        /// 8, 16, 32 or 64.
        bits: u32,
        /// Whether the highest bit is a sign.
        signed: bool,
    },
    /// `_Bool`.
    Boolean,
    /// `float` (32 bits) or `double` (64 bits).
    Float {
        /// 32 or 64.
        bits: u32,
    },
}

impl CType {
    /// The type that these words name; `None` for words that name none. Sizes are those of x86-64.
    pub fn from_words(words: &[&str]) -> Option<Self> {
        let integer = |bits, signed| Some(Self::Integer { bits, signed });
        match words {
            ["int8_t"] => return integer(8, true),
            ["int16_t"] => return integer(16, true),
            ["int32_t"] => return integer(32, true),
            ["int64_t" | "ssize_t" | "ptrdiff_t" | "intptr_t" | "time_t" | "off_t"] => return integer(64, true),
            ["uint8_t"] => return integer(8, false),
            ["uint16_t"] => return integer(16, false),
            ["uint32_t"] => return integer(32, false),
            ["uint64_t" | "size_t" | "uintptr_t"] => return integer(64, false),
            ["bool" | "_Bool"] => return Some(Self::Boolean),
            ["float"] => return Some(Self::Float { bits: 32 }),
            ["double"] => return Some(Self::Float { bits: 64 }),
            _ => {}
        }
        let count = |word: &str| words.iter().filter(|other| **other == word).count();
        let signs = (count("signed"), count("unsigned"));
        let (chars, shorts, ints, longs) = (count("char"), count("short"), count("int"), count("long"));
        let known = signs.0 + signs.1 + chars + shorts + ints + longs;
        if words.is_empty() || known != words.len() || signs.0 + signs.1 > 1 || ints > 1 {
            return None;
        }
        let bits = match (chars, shorts, longs) {
            (1, 0, 0) if ints == 0 => 8,
            (0, 1, 0) => 16,
            (0, 0, 0) => 32,
            (0, 0, 1 | 2) => 64,
            _ => return None,
        };
        integer(bits, signs.1 == 0)
    }

    /// Whether `word` may be part of the name of such a type.
    pub fn is_word(word: &str) -> bool {
        matches!(word, "signed" | "unsigned" | "char" | "short" | "int" | "long") || Self::from_words(&[word]).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_as_in_c() {
        let integer = |bits, signed| Some(CType::Integer { bits, signed });
        for (words, expected) in [
            ("unsigned char", integer(8, false)),
            ("char", integer(8, true)),
            ("long unsigned int", integer(64, false)),
            ("long long", integer(64, true)),
            ("unsigned", integer(32, false)),
            ("short int", integer(16, true)),
            ("uint16_t", integer(16, false)),
            ("long char", None),
            ("unsigned signed", None),
            ("long long long", None),
            ("conn", None),
            ("", None),
        ] {
            assert_eq!(CType::from_words(&words.split_whitespace().collect::<Vec<_>>()), expected, "{words}");
        }
    }
}
