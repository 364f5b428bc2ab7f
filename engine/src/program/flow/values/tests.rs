//! Values of compiled functions.

use super::*;
use crate::program::build::Build;
use crate::program::code::CodeImage;
use crate::program::flow::Escapes;
use crate::program::testing::Compiled;
use crate::program::unwind::UnwindIndex;

const SOURCE: &str = r#"
    __attribute__((noipa)) long step(long n) { __asm__ volatile("" : : : "memory"); return n; }
    __attribute__((noinline)) long count(long n, int width) {
        long total = 0, first = n * 3 + 1;
        for (long i = 0; i < n; i++) {
            total += step(i) + width;
            step(first);
        }
        return total + first;
    }
    __attribute__((noinline)) long kept(long a, int b) { long c = a + 2 * b + 7; step(c); return c * b; }
    int main(int argc, char **argv) { return count(argc, 3) + kept(argc, argc + 1) + (argv == 0); }
"#;

/// Runs `check` on the graph of a function with the nodes behind its calls.
fn with_function(build: &Build, name: &str, check: impl Fn(&mut Values<'_>, &[u32])) {
    let image = CodeImage::new(&build.elf, &build.debug);
    let (id, _) = image.inventory().iter().find(|(_, function)| function.name == name).expect("the function");
    let graph = Graph::new(&image, &UnwindIndex::new(&build.elf), id).expect("code that is understood");
    let escapes = Escapes::new(&graph, build).expect("debug information");
    let points: Vec<u32> =
        graph.nodes().iter().filter(|node| node.is_call()).filter_map(|node| graph.at(node.behind())).collect();
    let mut values = Values::new(Function { graph: &graph, escapes: &escapes });
    check(&mut values, &points);
}

#[test]
fn sums_have_one_form_whatever_instructions_make_them() {
    for level in ["-O1", "-O2", "-O3"] {
        let build = Compiled::new("values", SOURCE, &["-g", level]).build();
        with_function(&build, "kept", |values, points| {
            // c = a + 2 * b + 7, in a register that calls keep.
            let found = [3, 5, 12, 13, 14, 15].iter().any(|register| {
                let value = values.before(points[0], Place::Register(*register));
                match values.node(value).clone() {
                    Term::Sum { bits: 64, terms, constant: 7 } => {
                        // The product is one of 32 bits.
                        let product = |term: ValueId| match values.node(term).clone() {
                            Term::Extend { from: 32, signed: true, of } => {
                                matches!(values.node(of), Term::Sum { bits: 32, terms, .. } if terms[0].1 == 2)
                            }
                            _ => false,
                        };
                        terms.iter().all(|term| term.1 == 1)
                            && terms.iter().any(|term| *values.node(term.0) == Term::Entry(Place::Register(7)))
                            && terms.iter().any(|term| product(term.0))
                    }
                    _ => false,
                }
            });
            let all: Vec<_> = [3, 5, 12, 13, 14, 15].map(|register| values.before(points[0], Place::Register(register))).into();
            assert!(found, "{level}: {:?}", all.iter().map(|value| values.node(*value)).collect::<Vec<_>>());
        });
    }
}

#[test]
fn what_a_loop_does_not_change_is_no_choice() {
    for level in ["-O0", "-O1", "-O2"] {
        let build = Compiled::new("values", SOURCE, &["-g", level]).build();
        with_function(&build, "count", |values, points| {
            let slots: Vec<Place> =
                (1..16).flat_map(|word| [8, 4].map(|length| Place::Slot { offset: -4 * word - 16, length })).collect();
            let places = [3, 5, 12, 13, 14, 15].map(Place::Register).into_iter().chain(slots);
            let found: Vec<ValueId> = places.map(|place| values.before(points[0], place)).collect();
            let found: Vec<Term> = found.into_iter().map(|value| values.node(value).clone()).collect();
            assert!(
                found
                    .iter()
                    .any(|node| matches!(node, Term::Sum { terms, constant: 1, .. } if terms.len() == 1 && terms[0].1 == 3)),
                "{level}: n * 3 + 1 is made before the loop: {found:?}"
            );
            assert!(found.iter().any(|node| matches!(node, Term::Choice { .. })), "{level}: {found:?}");
        });
    }
}

#[test]
fn a_fill_stores_what_the_accumulator_holds_to_each_byte() {
    let source = r#"
        __attribute__((noipa)) void look(char *at) { __asm__ volatile("" : : "r"(at) : "memory"); }
        __attribute__((noinline)) long filled(long n) {
            char text[160];
            __builtin_memset(text, 0, sizeof text);
            look(text);
            return text[n];
        }
        int main(int argc, char **argv) { return filled(argc) + (argv == 0); }
    "#;
    let build = Compiled::new("fills", source, &["-g", "-O2"]).build();
    with_function(&build, "filled", |values, points| {
        let graph = values.function().graph;
        let fills: Vec<u32> = (0u32..)
            .zip(graph.nodes())
            .filter(|(_, node)| node.instruction.mnemonic() == iced_x86::Mnemonic::Stosq)
            .map(|(index, _)| index)
            .collect();
        let [fill] = fills[..] else { panic!("one instruction fills the array: {fills:?}") };
        let instruction = graph.node(fill).unwrap().instruction;
        let (start, end) = values.fill_of_frame(fill, &instruction).expect("its place and its length are known");
        assert_eq!(end - start, 160);
        let call = graph.node(points[0]).unwrap().before[0];
        for offset in [start, start + 80, end - 8] {
            let value = values.before(call, Place::Slot { offset, length: 8 });
            assert_eq!(*values.node(value), Term::Constant(0));
        }
        let outside = values.before(call, Place::Slot { offset: end, length: 8 });
        assert_ne!(*values.node(outside), Term::Constant(0));
    });
}
