//! Calls of functions of the new program in the filled vessel, with the texts that they get.

use dsu_formats::address::{RunAddress, RunRange};

use super::address::{NewLink, Placement, page_ceil};
use super::rewrite::{Call, Contents};
use super::spec::calls::{BoundArgument, BoundCall};

/// Bytes that the texts of all calls take: whole pages, none without a text.
pub fn texts_length(calls: &[BoundCall]) -> u64 {
    page_ceil(texts(calls).map(|text| text.len() as u64 + 1).sum())
}

fn texts(calls: &[BoundCall]) -> impl Iterator<Item = &str> {
    calls.iter().flat_map(|call| &call.arguments).filter_map(|argument| match argument {
        BoundArgument::Text(text) => Some(text.as_str()),
        _ => None,
    })
}

/// The calls with the addresses of the new program, and the texts that stand in `room`, each with a zero behind it.
///
/// A function may keep the address of a text as it may that of a literal: updates to come find the text as one of an earlier program.
pub fn placed(calls: &[BoundCall], placement: &Placement, room: RunRange) -> (Vec<Call>, Option<Contents>) {
    let mut bytes: Vec<u8> = Vec::new();
    let mut word = |argument: &BoundArgument| match argument {
        BoundArgument::Word(word) => *word,
        BoundArgument::Address(link) => placement.new_run(*link).0.0,
        BoundArgument::Text(text) => {
            let address = room.start.0.saturating_add(bytes.len() as u64);
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
            address
        }
    };
    let placed = calls.iter().map(|call| Call {
        function: address(placement, call.function),
        arguments: call.arguments.iter().map(&mut word).collect(),
        text: call.text.clone(),
    });
    let placed = placed.collect();
    bytes.resize(room.len() as usize, 0);
    (placed, (!room.is_empty()).then_some(Contents { address: room.start, bytes }))
}

fn address(placement: &Placement, link: NewLink) -> RunAddress {
    placement.new_run(link).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::address::LinkAddress;

    #[test]
    fn each_text_stands_where_its_argument_says() {
        let pages = (LinkAddress(0), LinkAddress(0x1000));
        let placement = Placement::new(0x10_0000, pages, 0x20_0000, pages, 0x1000);
        let call = |arguments: Vec<BoundArgument>| BoundCall { function: NewLink::new(0x40), arguments, text: "f()".to_owned() };
        let text = |text: &str| BoundArgument::Text(text.to_owned());
        let calls = [
            call(vec![text("one"), BoundArgument::Word(7)]),
            call(vec![BoundArgument::Address(NewLink::new(0x80)), text("two")]),
        ];
        assert_eq!((texts_length(&calls), texts_length(&[call(Vec::new())])), (0x1000, 0));
        let room = RunRange::new(0x20_2000, 0x20_3000);
        let (placed, contents) = placed(&calls, &placement, room);
        assert_eq!(placed[0].function, RunAddress(0x20_0040));
        assert_eq!(placed[0].arguments, [0x20_2000, 7]);
        assert_eq!(placed[1].arguments, [0x20_0080, 0x20_2004]);
        let contents = contents.expect("there are texts");
        assert_eq!((contents.address, &contents.bytes[..8]), (room.start, &b"one\0two\0"[..]));
        assert_eq!(contents.bytes.len(), 0x1000);
    }
}
