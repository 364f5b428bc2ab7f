//! What `dsu plan --stacks --json` says.

use serde::{Deserialize, Deserializer, de};

/// A whole answer, also that of a plan that is blocked.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// `planned`, `blocked`, …
    pub result: String,
    /// The threads' stacks, the leader's first.
    #[serde(default)]
    pub stacks: Vec<ThreadPlan>,
    /// What stands in the way.
    #[serde(default)]
    pub blockers: Vec<Reason>,
    /// What of the process cannot be carried.
    #[serde(default)]
    pub obstacles: Vec<Reason>,
}

/// One reason of a refusal.
#[derive(Clone, Debug, Deserialize)]
pub struct Reason {
    /// Its kind.
    #[serde(default)]
    pub kind: String,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// One thread.
#[derive(Clone, Debug, Deserialize)]
pub struct ThreadPlan {
    /// Its ID.
    pub tid: i32,
    /// Its frames, innermost first.
    pub frames: Vec<FramePlan>,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Its bytes stay.
    Carried,
    /// It is made anew.
    Rebuilt,
    /// It cannot be made.
    Blocked,
}

/// One frame.
#[derive(Clone, Debug, Deserialize)]
pub struct FramePlan {
    /// Name of its function.
    #[serde(default)]
    pub function: String,
    /// What becomes of it.
    pub fate: Fate,
    /// Its place in the old process.
    pub old: Position,
    /// Its place in the new process; none where it is blocked.
    #[serde(default)]
    pub new: Option<Position>,
    /// What it is given.
    #[serde(default)]
    pub values: Vec<PlacedValue>,
    /// Variables that are carried.
    #[serde(default)]
    pub objects: Vec<PlacedObject>,
    /// Why it is blocked.
    #[serde(default)]
    pub blockers: Vec<String>,
}

/// A place in code and on a stack, as run-time addresses.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Position {
    /// Where the frame goes on.
    #[serde(deserialize_with = "number")]
    pub pc: u64,
    /// Its canonical frame address.
    #[serde(deserialize_with = "number")]
    pub cfa: u64,
}

/// A register or slot that is filled in.
#[derive(Clone, Debug, Deserialize)]
pub struct PlacedValue {
    /// Where.
    #[serde(deserialize_with = "place")]
    pub place: Place,
    /// Length in bytes.
    pub length: u8,
    /// The bits that the new code reads.
    #[serde(deserialize_with = "number")]
    pub bits: u64,
    /// What is stored; none where nothing is.
    #[serde(deserialize_with = "stored")]
    pub value: Option<u64>,
    /// Which rule proves it.
    #[serde(default)]
    pub why: String,
    /// Who reads it.
    #[serde(default)]
    pub reader: String,
}

/// A variable that is in memory on both sides.
#[derive(Clone, Debug, Deserialize)]
pub struct PlacedObject {
    /// Its name.
    pub name: String,
    /// Where it is in the new frame.
    #[serde(deserialize_with = "place")]
    pub new: Place,
    /// What it is given; none where the plan did not come so far.
    #[serde(deserialize_with = "bytes")]
    pub bytes: Option<Vec<u8>>,
}

/// A place of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A general register by DWARF number.
    Register(usize),
    /// Bytes from the canonical frame address on.
    Slot(i64),
}

/// Names of the general registers by DWARF number (System V ABI for AMD64, figure 3.36).
const REGISTERS: [&str; 16] =
    ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(number) = REGISTERS.iter().position(|name| *name == text) {
            return Ok(Place::Register(number));
        }
        let offset = text.strip_prefix("cfa").map(|offset| if offset.is_empty() { Ok(0) } else { offset.parse() });
        match offset {
            Some(Ok(offset)) => Ok(Place::Slot(offset)),
            _ => Err(format!("expected a register or `cfa` with an offset, found {text:?}")),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Register(number) => f.write_str(REGISTERS.get(*number).unwrap_or(&"?")),
            Place::Slot(offset) => write!(f, "cfa{offset:+}"),
        }
    }
}

fn place<'de, D: Deserializer<'de>>(from: D) -> Result<Place, D::Error> {
    String::deserialize(from)?.parse().map_err(de::Error::custom)
}

/// `0x…`.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    parse_number(&String::deserialize(from)?).map_err(de::Error::custom)
}

/// `0x…` or nothing.
fn stored<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text: Option<String> = Option::deserialize(from)?;
    text.map(|text| parse_number(&text).map_err(de::Error::custom)).transpose()
}

fn parse_number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").ok_or_else(|| format!("expected 0x…, found {text:?}"))?;
    u64::from_str_radix(digits, 16).map_err(|error| format!("{text:?}: {error}"))
}

/// Two digits a byte, or nothing.
fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let decoded: Option<Vec<u8>> = text.as_bytes().chunks(2).map(pair).collect();
    let whole = decoded.filter(|_| text.len() % 2 == 0);
    whole.map(Some).ok_or_else(|| de::Error::custom(format!("expected bytes in hexadecimal, found {text:?}")))
}
