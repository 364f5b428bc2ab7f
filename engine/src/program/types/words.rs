//! What a type says of one word of an object: a pointer, numbers, bytes of any meaning, or nothing.

use super::{Shape, TypeId, TypeTable};

/// How deep structures may nest; more is a loop in mangled debug information.
const DEPTH_LIMIT: usize = 48;
/// Bytes of a word.
const WORD: i64 = 8;
/// Integer types that are made to hold addresses, and what saves whole register sets (C11 7.20.1.4, glibc `bits/setjmp.h`, `sys/ucontext.h`).
const ADDRESS_TYPES: [&str; 7] = ["uintptr_t", "intptr_t", "__uintptr_t", "__intptr_t", "__jmp_buf", "greg_t", "gregset_t"];

/// What a word is by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordKind {
    /// A pointer of this type.
    Pointer(TypeId),
    /// Integers, floating-point numbers, enumerators, flags, padding.
    Number,
    /// Part of an array of characters: it may hold anything.
    Bytes,
    /// A union of a pointer and something else, an integer made for addresses, or no known type.
    Unknown,
}

/// What lies in a word.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    pointer: Option<TypeId>,
    number: bool,
    bytes: bool,
    unknown: bool,
}

impl Seen {
    fn kind(self) -> WordKind {
        match self.pointer {
            _ if self.unknown => WordKind::Unknown,
            Some(_) if self.number || self.bytes => WordKind::Unknown,
            Some(pointer) => WordKind::Pointer(pointer),
            None if self.bytes => WordKind::Bytes,
            None => WordKind::Number,
        }
    }
}

impl TypeTable {
    /// What the eight bytes at `offset` of an object of type `kind` are.
    pub fn word_at(&self, kind: Option<TypeId>, offset: u64) -> WordKind {
        let Ok(offset) = i64::try_from(offset) else { return WordKind::Unknown };
        let mut seen = Seen::default();
        self.see(kind, -offset, DEPTH_LIMIT, &mut seen);
        seen.kind()
    }

    /// Adds what an object of type `kind` that starts `at` bytes behind the word's start has in the word.
    fn see(&self, kind: Option<TypeId>, at: i64, depth: usize, seen: &mut Seen) {
        let Some((id, depth)) = kind.zip(depth.checked_sub(1)) else {
            seen.unknown = true;
            return;
        };
        let entry = self.get(id);
        if let Shape::Alias { target, .. } = &entry.shape {
            if ADDRESS_TYPES.contains(&entry.name.as_str()) {
                seen.unknown |= self.meets(kind, at);
                return;
            }
            return self.see(*target, at, depth, seen);
        }
        if !self.meets(kind, at) {
            return;
        }
        match &entry.shape {
            Shape::Pointer { .. } if at == 0 => seen.pointer = Some(id),
            Shape::Base { .. } | Shape::Enum { .. } => seen.number = true,
            Shape::Array { element, .. } => self.see_elements(*element, (at, self.size_of(kind)), depth, seen),
            Shape::Struct { members } => {
                for member in members {
                    match member.bits {
                        Some((first, width)) => {
                            let start = at.saturating_mul(8).saturating_add_unsigned(first);
                            seen.number |= start < WORD * 8 && start.saturating_add_unsigned(width) > 0;
                        }
                        None => self.see(member.kind, at.saturating_add_unsigned(member.offset), depth, seen),
                    }
                }
            }
            Shape::Union { members } => self.see_union(members, at, depth, seen),
            _ => seen.unknown = true,
        }
    }

    /// Whether any byte of such an object can lie in the word; one without a known size may go on for ever.
    fn meets(&self, kind: Option<TypeId>, at: i64) -> bool {
        at < WORD && self.size_of(kind).is_none_or(|size| at.saturating_add_unsigned(size) > 0)
    }

    fn see_elements(&self, element: Option<TypeId>, (at, whole): (i64, Option<u64>), depth: usize, seen: &mut Seen) {
        let size = self.size_of(element).and_then(|size| i64::try_from(size).ok()).filter(|size| *size > 0);
        let Some(size) = size else {
            seen.unknown = true;
            return;
        };
        if size == 1 {
            // A pointer takes a whole word.
            let is_whole = at <= 0 && whole.is_none_or(|whole| at.saturating_add_unsigned(whole) >= WORD);
            seen.bytes |= is_whole;
            seen.number |= !is_whole;
            return;
        }
        let mut start = at.saturating_add((at.saturating_neg().max(0) / size).saturating_mul(size));
        let end = whole.map_or(WORD, |whole| at.saturating_add_unsigned(whole));
        while start < WORD.min(end) {
            self.see(element, start, depth, seen);
            start = start.saturating_add(size);
        }
    }

    /// Members that agree agree. glibc hides what its objects hold behind a buffer of characters (`__size`) and an integer.
    fn see_union(&self, members: &[super::Member], at: i64, depth: usize, seen: &mut Seen) {
        if let Some(data) = members.iter().find(|member| member.name == "__data")
            && members.iter().any(|member| member.name == "__size")
        {
            return self.see(data.kind, at.saturating_add_unsigned(data.offset), depth, seen);
        }
        let mut kinds = members.iter().filter(|member| self.meets(member.kind, at)).map(|member| {
            let mut own = Seen::default();
            self.see(member.kind, at.saturating_add_unsigned(member.offset), depth, &mut own);
            own
        });
        let Some(first) = kinds.next() else { return };
        let is_pointer = |one: &Seen| matches!(one.kind(), WordKind::Pointer(_));
        let agree = kinds.all(|other| other.kind() == first.kind() || (is_pointer(&other) && is_pointer(&first)));
        seen.unknown |= !agree || first.unknown;
        seen.number |= first.number;
        seen.bytes |= first.bytes;
        seen.pointer = seen.pointer.or(first.pointer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::testing::Compiled;

    #[test]
    fn words_are_told_by_their_types() {
        let program = Compiled::new(
            "program",
            "#include <pthread.h>\n#include <setjmp.h>\n#include <stdint.h>\n
             struct all { int a, b; char *p; char name[16]; long n; uintptr_t u; void (*f)(void); union { int i; void *p; } v;
                          struct { short s; char c; } few[4]; unsigned bits: 3; double d[2]; char *q[2]; jmp_buf j; pthread_mutex_t m; };
             struct all all; int main(void) { return all.a; }",
            &["-g"],
        );
        let build = program.build();
        let types = &build.debug.types;
        let kind = types.definitions(gimli::DW_TAG_structure_type.0, "all")[0];
        let members = types.get(kind).shape.members().unwrap();
        let at = |name: &str, skip: u64| {
            let member = members.iter().find(|member| member.name == name).unwrap();
            match types.word_at(Some(kind), member.offset + skip) {
                WordKind::Pointer(_) => 'p',
                WordKind::Number => 'n',
                WordKind::Bytes => 'b',
                WordKind::Unknown => '?',
            }
        };
        let seen: String = ["a", "p", "name", "n", "u", "f", "v", "few", "d", "q", "j"].iter().map(|name| at(name, 0)).collect();
        assert_eq!(seen, "npbn?p?nnp?");
        assert_eq!((at("q", 8), at("name", 8), at("name", 12), at("p", 4)), ('p', 'b', 'n', '?'));
        // Behind the lock words of a mutex: the links of the list of robust ones.
        assert_eq!((at("m", 0), at("m", 24), at("m", 32)), ('n', 'p', 'p'));
    }
}
