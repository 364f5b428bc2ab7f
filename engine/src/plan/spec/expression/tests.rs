//! Expressions over an object that a test lays out.

use std::path::Path;

use dsu_formats::address::RunAddress;
use dsu_formats::spec::expression::Side;
use dsu_formats::spec::model::FieldValue as Given;
use dsu_formats::spec::{Source, Spec};

use super::{Checker, Compiled, Environment, NewFields};
use crate::plan::data::rules::FieldValue;
use crate::plan::data::value::{ObjectView, Value};
use crate::plan::spec::types::Types;
use crate::plan::testing::FakeMemory;
use crate::program::build::Build;
use crate::program::testing::Compiled as Program;
use crate::program::types::TypeId;

const SOURCE: &str = "\
    enum state { IDLE, BUSY = 5 };
    struct peer { int port; char host[8]; };
    struct object { int a; unsigned char b; short list[4]; char name[8]; const char *title; struct peer *peer; double ratio;
                    unsigned low : 3; int sign : 4; enum state state; struct { long deep; }; struct peer *peers; unsigned long big; };
    struct object object;
    int main(void) { return object.a; }";
const TITLE: u64 = 0x5000;
const PEER: u64 = 0x6000;

struct Fixture {
    build: Build,
    bytes: Vec<u8>,
    memory: FakeMemory,
}

impl Fixture {
    fn new() -> Self {
        let program = Program::new("program", SOURCE, &["-g", "-O0"]);
        let mut memory = FakeMemory::default();
        memory.put(TITLE, b"a title\0");
        let peer = [&7i32.to_le_bytes()[..], b"host\0\0\0\0", &9i32.to_le_bytes(), b"other\0\0\0"].concat();
        memory.put(PEER, &peer);
        let mut fixture = Self { build: program.build(), bytes: Vec::new(), memory };
        fixture.bytes = vec![0; fixture.build.debug.types.size_of(Some(fixture.object())).unwrap() as usize];
        fixture.put("a", &(-3i32).to_le_bytes());
        fixture.put("b", &[200]);
        fixture.put("list", &[1, 0, 2, 0, 255, 255, 4, 0]);
        fixture.put("name", b"widget\0x");
        fixture.put("title", &TITLE.to_le_bytes());
        fixture.put("peer", &PEER.to_le_bytes());
        fixture.put("peers", &PEER.to_le_bytes());
        fixture.put("ratio", &2.5f64.to_le_bytes());
        // low = 5, sign = -2
        fixture.put("low", &[0b0111_0101]);
        fixture.put("state", &5u32.to_le_bytes());
        fixture.put("big", &u64::MAX.to_le_bytes());
        fixture
    }

    fn object(&self) -> TypeId {
        let types = &self.build.debug.types;
        types.canonical(types.definitions(gimli::DW_TAG_structure_type.0, "object")[0])
    }

    fn put(&mut self, name: &str, bytes: &[u8]) {
        let types = &self.build.debug.types;
        let members = types.get(self.object()).shape.members().unwrap();
        let member = members.iter().find(|member| member.name == name).unwrap();
        let at = member.bits.map_or(member.offset, |bits| bits.0 / 8) as usize;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn compile(&self, text: &str) -> Result<Compiled, String> {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        let spec =
            Spec::parse(Path::new("u.toml"), &format!("fields.\"x.y\" = \"{quoted}\"")).map_err(|error| error.to_string())?;
        let Given::Expression(expression) = &spec.fields[0].value.value else { panic!("an expression") };
        let source = Source::new(Path::new("u.toml"), &spec.source.text);
        let types = |side| Types { source: &source, side, table: &self.build.debug.types };
        let environment = Environment::new(types(Side::Old), types(Side::New));
        let none = NewFields::new();
        let mut checker = Checker::new(&environment, Some(self.object()), &none, None);
        checker.compile(expression).map_err(|problem| problem.to_string())
    }

    fn view(&self) -> ObjectView<'_> {
        ObjectView::new(&self.build.debug.types, Some(self.object()), RunAddress(0x4000), &self.bytes, &self.memory)
    }

    fn value(&self, text: &str) -> Result<Value, String> {
        self.compile(text)?.value(&self.view()).map_err(|error| error.to_string())
    }
}

#[test]
fn values_are_those_of_the_object() {
    let fixture = Fixture::new();
    let integers: [(&str, i128); 34] = [
        ("old.a", -3),
        ("old.b + 100", 300),
        ("old.a - old.b", -203),
        ("old.list[2]", -1),
        ("old.list[old.list[0]]", 2),
        ("old.low", 5),
        ("old.sign", -2),
        ("old.state", 5),
        ("old.state == BUSY", 1),
        ("old.deep", 0),
        ("old.peer.port", 7),
        ("old.peer->port * 3", 21),
        ("old.peers[1].port", 9),
        ("old.peers[old.low - 4].port", 9),
        ("old.big", u64::MAX as i128),
        ("old.big + 1", 1 << 64),
        ("(unsigned char)(old.b + 100)", 44),
        ("(signed char)old.b", -56),
        ("(int)old.ratio", 2),
        ("(bool)old.a", 1),
        ("(unsigned)old.a", u32::MAX as i128 - 2),
        ("length(old.name)", 6),
        ("length(old.title) + count(old.list)", 11),
        ("old.name == \"widget\"", 1),
        ("old.title != \"a title\"", 0),
        ("old.peer.host == \"host\" && old.peers[1].host == \"other\"", 1),
        ("old.name[0] == 'w'", 1),
        ("old.peer == 0 ? 1 : 2", 2),
        ("old.peer == old.peers", 1),
        ("!old.peer || old.a < 0", 1),
        ("old.a / 2", -1),
        ("old.a % 2", -1),
        ("~old.low & 7", 2),
        ("old.b >> 3 << 1 | 1 ^ 0", 51),
    ];
    for (text, expected) in integers {
        assert_eq!(fixture.value(text), Ok(Value::Integer(expected)), "{text}");
    }
    assert_eq!(fixture.value("old.ratio * 2"), Ok(Value::Float(5.0)));
    assert_eq!(fixture.value("old.a < 0 ? old.ratio : 1"), Ok(Value::Float(2.5)));
    assert_eq!(fixture.value("old.a < 0 ? old.name : \"none\""), Ok(Value::Bytes(b"widget".to_vec())));
    assert_eq!(fixture.value("old.a < 0 ? old.peer : 0"), Ok(Value::Address(RunAddress(PEER))));
}

#[test]
fn what_cannot_be_computed_says_where_and_why() {
    let mut fixture = Fixture::new();
    fixture.put("peers", &0u64.to_le_bytes());
    fixture.put("title", &0x9_0000u64.to_le_bytes());
    for (text, expected) in [
        ("old.b / old.deep", "u.toml:1:17: `old.b / old.deep`: division by zero"),
        ("1 + old.b % (old.low - 5)", "u.toml:1:21: `1 + old.b % (old.low - 5)`: division by zero"),
        ("old.peers.port", "u.toml:1:17: `old.peers.port`: the pointer is null"),
        ("old.list[old.b]", "element 200 is out of range: expected 0 to 3"),
        ("old.list[old.a]", "element -3 is out of range"),
        ("length(old.title)", "cannot be read"),
        ("1 << old.b", "the shift is out of range"),
        ("old.big * old.big * old.big", "overflow"),
        ("(unsigned char)(old.ratio * 1000.0)", "out of range: expected 0 to 255"),
    ] {
        let message = fixture.value(text).unwrap_err();
        assert!(message.contains(expected), "{text}\nexpected {expected}\nfound {message}");
    }
    let narrow = fixture.compile("old.b * 2").unwrap().within(0, 255, "`unsigned char`");
    let message = narrow.value(&fixture.view()).unwrap_err().to_string();
    assert!(message.contains("the value 400 is out of range: `unsigned char` takes 0 to 255"), "{message}");
}

#[test]
fn mistakes_are_found_before_any_object_is() {
    let fixture = Fixture::new();
    for (text, expected) in [
        ("old.x", "member of `struct object` of the old program `x` is not known"),
        ("old.peer.prot", "member of `struct peer` of the old program `prot` is not known; the nearest known name is `port`"),
        ("old.a.b", "member of `int` of the old program `b` is not known"),
        ("old.a[0]", "type mismatch: expected an array or a pointer, found `int`"),
        ("old.list + 1", "type mismatch: `short int [4]` is no number, text or pointer"),
        ("old.peer + 1", "type mismatch: the operator has a pointer and a whole number"),
        ("old.peer == 1", "type mismatch"),
        ("old.ratio & 1", "type mismatch"),
        ("old.name < 1", "type mismatch"),
        ("length(old.a)", "type mismatch: expected a text, found a whole number"),
        ("count(old.peers)", "type mismatch: expected an array of known length, found `struct peer *`"),
        ("(int)old.name", "type mismatch: only numbers can be cast"),
        ("-old.name", "type mismatch"),
        ("old.a ? 1 : old.name", "type mismatch: the choice needs a whole number, found a text"),
        ("old.name ? 1 : 2", "type mismatch: expected a condition, found a text"),
        ("old.list[1.5]", "type mismatch: an index needs a whole number"),
        ("old.a % 0", "division by zero"),
        ("old", "is no number, text or pointer"),
        ("new", "expected a field of the new object"),
        ("IDEL", "name `IDEL` is not known; the nearest known name is `IDLE`"),
    ] {
        let message = fixture.compile(text).map(|compiled| compiled.describe()).unwrap_err();
        assert!(message.contains(expected), "{text}\nexpected {expected}\nfound {message}");
    }
}

#[test]
fn a_short_object_is_an_error_and_no_panic() {
    let fixture = Fixture::new();
    let compiled = fixture.compile("old.a + old.big + old.list[3] + length(old.name) + old.peer.port").unwrap();
    for length in 0..fixture.bytes.len() {
        let view = ObjectView::new(
            &fixture.build.debug.types,
            Some(fixture.object()),
            RunAddress(0x4000),
            &fixture.bytes[..length],
            &fixture.memory,
        );
        let _ = compiled.value(&view);
    }
    let view = ObjectView::new(&fixture.build.debug.types, Some(fixture.object()), RunAddress(0), &[], &fixture.memory);
    assert!(compiled.value(&view).unwrap_err().to_string().contains("past the end of the object"));
}

/// What this thread has computed, whatever else the machine does.
fn processor_time() -> std::time::Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock).expect("a clock that Linux has").into()
}

#[test]
fn a_million_objects_take_a_million_evaluations_and_no_more() {
    let fixture = Fixture::new();
    let compiled = fixture.compile("old.b * 2 + (old.a < 0 ? old.list[old.low - 4] : old.low) & 0xff").unwrap();
    let view = fixture.view();
    let start = processor_time();
    let sum: i128 = (0..1_000_000)
        .map(|_| match compiled.value(&view) {
            Ok(Value::Integer(value)) => value,
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(sum, 1_000_000 * ((200 * 2 + 2) & 0xff));
    println!("1,000,000 evaluations: {:?} of processor time", processor_time() - start);
}
