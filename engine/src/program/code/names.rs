//! Symbol names taken apart: what the source calls a function, and what the compiler made of it.

/// What a compiler says of a function by the suffix of its symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloneKinds(Vec<String>);

impl CloneKinds {
    /// Whether it is the function itself rather than a specialised copy or a part of it.
    pub fn is_original(&self) -> bool {
        self.0.is_empty()
    }

    /// The kinds without their numbers, in the order of the suffixes: `constprop`, `isra`, `part`, `clone`.
    pub fn kinds(&self) -> &[String] {
        &self.0
    }
}

impl std::fmt::Display for CloneKinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|kind| write!(f, ".{kind}"))
    }
}

/// A symbol name taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SymbolName {
    /// The name without the compiler's suffixes.
    pub(super) base: String,
    /// Which copy of the function it is.
    pub(super) clone: CloneKinds,
    /// Whether it is the rarely run part of a function (`.cold`).
    pub(super) is_cold: bool,
}

/// Takes `f.constprop.0.cold` apart into `f`, (`constprop`), cold. Numbers are dropped: they say nothing across builds.
pub(super) fn split(symbol: &str) -> SymbolName {
    let mut components: Vec<&str> = symbol.split('.').collect();
    let mut kinds = Vec::new();
    let mut is_cold = false;
    while components.len() > 1 {
        match components.last().copied() {
            Some("cold") => is_cold = true,
            Some("localalias" | "lto_priv" | "llvm") => {}
            Some(kind @ ("constprop" | "isra" | "part" | "clone" | "sra" | "specialized" | "simdclone")) => {
                kinds.push(kind.to_owned());
            }
            Some(number) if is_number(number) => {
                // A number belongs to the word before it; alone (`name.3`) it marks a nested or promoted function.
                let before = components.get(components.len() - 2).copied().unwrap_or_default();
                if !is_suffix(before) {
                    kinds.push("local".to_owned());
                }
            }
            _ => break,
        }
        components.pop();
    }
    kinds.reverse();
    let base = components.join(".");
    if base.is_empty() {
        return SymbolName { base: symbol.to_owned(), clone: CloneKinds::default(), is_cold: false };
    }
    SymbolName { base, clone: CloneKinds(kinds), is_cold }
}

fn is_suffix(component: &str) -> bool {
    matches!(
        component,
        "cold"
            | "localalias"
            | "lto_priv"
            | "llvm"
            | "constprop"
            | "isra"
            | "part"
            | "clone"
            | "sra"
            | "specialized"
            | "simdclone"
    )
}

fn is_number(component: &str) -> bool {
    !component.is_empty() && component.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a data symbol is the compiler's own constant, numbered or not: tables that switches became, initialisers of locals,
/// function names. Its content counts, not its name.
pub(super) fn is_compiler_constant(symbol: &str) -> bool {
    let Some((base, rest)) = symbol.split_once('.') else {
        return matches!(symbol, "__func__" | "__FUNCTION__" | "__PRETTY_FUNCTION__");
    };
    let numbered = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match base {
        "CSWTCH" | "C" | "__func__" | "__FUNCTION__" | "__PRETTY_FUNCTION__" => numbered,
        // clang: `switch.table.f`, `.str.1`, `__const.f.array`, `__func__.f`.
        "switch" => rest.starts_with("table."),
        "" => rest.starts_with("str") || rest.starts_with('L'),
        "__const" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_apart(symbol: &str) -> (String, Vec<String>, bool) {
        let name = split(symbol);
        (name.base, name.clone.kinds().to_vec(), name.is_cold)
    }

    #[test]
    fn suffixes_lose_their_numbers() {
        let kinds = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<Vec<_>>();
        assert_eq!(taken_apart("f"), ("f".into(), kinds(&[]), false));
        assert_eq!(taken_apart("f.cold"), ("f".into(), kinds(&[]), true));
        assert_eq!(taken_apart("f.constprop.12.isra.0.cold.3"), ("f".into(), kinds(&["constprop", "isra"]), true));
        assert_eq!(taken_apart("f.lto_priv.0"), ("f".into(), kinds(&[]), false));
        assert_eq!(taken_apart("helper.3"), ("helper".into(), kinds(&["local"]), false));
        assert_eq!(taken_apart("name.with.dots"), ("name.with.dots".into(), kinds(&[]), false));
        assert_eq!(taken_apart(".part.0"), (".part.0".into(), kinds(&[]), false));
    }

    #[test]
    fn compiler_constants_are_told_from_statics() {
        for constant in ["CSWTCH.12", "__func__.4", "C.1.0", "__PRETTY_FUNCTION__.0", "switch.table.f", "__func__"] {
            assert!(is_compiler_constant(constant), "{constant}");
        }
        for variable in ["counter.3", "C", "table", "switch", "completed.0", "CSWTCH"] {
            assert!(!is_compiler_constant(variable), "{variable}");
        }
    }
}
