//! Calls, tail calls, pointers: what a stack shows and what it leaves out.

use super::*;

const SOURCE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#define NOINLINE __attribute__((noinline))
int state;
NOINLINE int last(int n) { state += n; return puts("last") + n; }
NOINLINE int middle(int n) { state ^= n; return last(n + 1); }
NOINLINE int first(int n) { state--; return middle(n * 2); }
NOINLINE int jumps(int n) {
    switch (n) { case 0: return puts("a"); case 1: state = 4; return rand(); case 2: return last(3) + 1; case 3: state += 9; return 3; case 4: return state; }
    return 1;
}
int (*hook)(int) = first;
NOINLINE int through(int n) { return hook(n); }
NOINLINE int by_pointer(int (*f)(int), int n) { return f(n) + 1; }
int main(int c, char **v) { return first(c) + 1 + by_pointer(middle, c) + jumps(c) + through(c) + !v; }
"#;

struct Graph<'a> {
    image: &'a CodeImage<'a>,
    graph: CallGraph,
}

impl Graph<'_> {
    fn id(&self, name: &str) -> FunctionId {
        self.image.inventory().iter().find(|(_, function)| function.name == name).expect("a function").0
    }

    fn names(&self, ids: impl IntoIterator<Item = FunctionId>) -> Vec<String> {
        ids.into_iter().filter_map(|id| self.image.inventory().get(id)).map(Function::full_name).collect()
    }

    /// Names of what a function calls, and what it tail-calls.
    fn callees(&self, name: &str, tail: bool) -> Vec<String> {
        let calls = self.image.calls(self.id(name)).iter().filter(|call| call.is_tail == tail);
        calls
            .map(|call| match call.callee {
                Callee::Function(id) => self.image.inventory().get(id).expect("its own number").full_name(),
                Callee::Import(id) => self.image.import(id).expect("its own number").name.clone(),
                other => format!("{other:?}"),
            })
            .collect()
    }
}

fn with_graph(flags: &[&str], check: impl FnOnce(&Graph<'_>)) {
    let flags: Vec<&str> = ["-g"].iter().chain(flags).copied().collect();
    let build = Compiled::new("program", SOURCE, &flags).build();
    let image = CodeImage::new(&build.elf, &build.debug);
    check(&Graph { image: &image, graph: CallGraph::new(&image) });
}

#[test]
fn calls_and_tail_calls_are_told_apart() {
    for flags in [&["-O2"][..], &["-O2", "-fno-plt"], &["-O2", "-fno-pie", "-no-pie"], &["-O2", "-fcf-protection=full"]] {
        with_graph(flags, |graph| {
            assert_eq!(graph.callees("first", true), ["middle"], "{flags:?}");
            assert_eq!(graph.callees("middle", true), ["last"]);
            assert_eq!(graph.callees("middle", false), [""; 0]);
            assert_eq!(graph.callees("last", false), ["puts"]);
            assert_eq!(graph.callees("through", true), ["Indirect"]);
            assert_eq!(graph.callees("by_pointer", false), ["Indirect"]);
            // Its indirect jump goes through a table and is no call.
            let mut tails = graph.callees("jumps", true);
            tails.sort();
            assert_eq!(tails, ["puts", "rand"], "{flags:?}");
        });
    }
    with_graph(&["-O0"], |graph| assert_eq!(graph.callees("jumps", true), [""; 0]));
}

#[test]
fn a_return_address_names_its_call() {
    with_graph(&["-O2"], |graph| {
        let main = graph.id("main");
        let calls = graph.image.calls(main);
        assert!(!calls.is_empty());
        for call in calls {
            assert_eq!(graph.image.call_before(call.next), Some(*call));
        }
        assert_eq!(graph.image.call_before(LinkAddress(calls[0].next.0 + 1)), None);
    });
}

#[test]
fn tail_calls_that_left_no_frame_are_named() {
    with_graph(&["-O2"], |graph| {
        let path = |called: &str, frame: &str| graph.graph.tail_path(Callee::Function(graph.id(called)), graph.id(frame));
        assert_eq!(path("first", "first"), TailPath::Direct);
        let TailPath::Through(between) = path("first", "last") else { panic!("{:?}", path("first", "last")) };
        assert_eq!(graph.names(between).len(), 2);
        assert_eq!(path("last", "first"), TailPath::None);
        assert_eq!(path("jumps", "first"), TailPath::External, "what `rand` calls is its own affair");
        let TailPath::Pointer(_) = path("through", "last") else { panic!("a pointer may lead anywhere") };
        let by_pointer = graph.graph.tail_path(Callee::Indirect, graph.id("last"));
        let TailPath::Pointer(between) = by_pointer else { panic!("{by_pointer:?}") };
        let mut names = graph.names(between);
        names.sort();
        assert_eq!(names, ["first", "middle"]);
        let own = graph.graph.tail_path(Callee::Indirect, graph.id("first"));
        assert_eq!(own, TailPath::Direct);
    });
}

#[test]
fn addresses_taken_are_found_in_code_and_data() {
    for flags in [&["-O2"][..], &["-O0"], &["-O2", "-fno-pie", "-no-pie"]] {
        with_graph(flags, |graph| {
            let taken = graph.names(graph.image.address_taken(false));
            for name in ["first", "middle", "main"] {
                assert!(taken.contains(&name.to_owned()), "{name} with {flags:?}: {taken:?}");
            }
            assert!(!taken.contains(&"last".to_owned()), "{flags:?}: {taken:?}");
        });
    }
}

#[test]
fn a_closure_holds_everything_that_may_run() {
    with_graph(&["-O2"], |graph| {
        let closure = graph.graph.closure([graph.id("first")]);
        let mut names = graph.names(closure.functions.iter().copied());
        names.sort();
        assert_eq!(names, ["first", "last", "middle"]);
        let imports: Vec<_> =
            closure.imports.iter().filter_map(|id| graph.image.import(*id)).map(|import| &import.name).collect();
        assert_eq!(imports, ["puts"]);
        assert!(!closure.is_open);
        assert!(graph.graph.closure([graph.id("through")]).is_open);
    });
}
