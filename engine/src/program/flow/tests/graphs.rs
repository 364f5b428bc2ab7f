//! The ways between instructions, and what is known of the stack.

use super::*;
use crate::program::unwind::dwarf;

const SWITCHES: &str = r#"
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    __attribute__((noinline)) int pick(int n, const char *text) {
        switch (n) {
            case 0: return puts(text); case 1: return puts("one"); case 2: return printf("%s two\n", text);
            case 3: return n * 7 + (int)strlen(text); case 4: exit(3); case 5: return atoi(text); case 6: return text[2];
            case 7: return puts("seven"); case 8: return abs(n) + text[1]; case 9: abort(); default: return -1;
        }
    }
    __attribute__((noinline)) long dispatch(const unsigned char *code) {
        static void *labels[] = {&&stop, &&add, &&twice, &&negate};
        long value = 0;
        goto *labels[*code++];
        add: value += *code++; goto *labels[*code++];
        twice: value *= 2; goto *labels[*code++];
        negate: value = -value; goto *labels[*code++];
        stop: return value;
    }
    __attribute__((noinline)) int through(int (*callback)(int), int n) { return callback(n + 1); }
    int main(int argc, char **argv) {
        char buffer[64];
        for (int i = 0; i < argc; i++) { snprintf(buffer, sizeof buffer, "%s-%d", argv[i], i); pick(i, buffer); }
        return through(abs, (int)dispatch((const unsigned char *)"\1\5\2\3\0")) + buffer[argc];
    }
"#;

#[test]
fn every_instruction_has_its_ways_and_the_frame_agrees_with_the_call_frame_information() {
    for (compiler, flags) in everywhere() {
        let build = compile(SWITCHES, compiler, &flags);
        for name in ["pick", "dispatch", "through", "main"] {
            let graph = graph(&build, name);
            let place = |node: &Node| format!("{compiler} {flags:?} {}", line(&build, node.address()));
            for (index, node) in (0u32..).zip(graph.nodes()) {
                let is_reached = graph.stack().is_reached(index);
                assert!(!is_reached || !node.next.is_empty() || node.exit.is_some(), "{}: leads nowhere", place(node));
                assert!(node.next.iter().all(|next| graph.nodes()[*next as usize].before.contains(&index)));
                assert!(node.before.iter().all(|before| graph.nodes()[*before as usize].next.contains(&index)));
                if !graph.stack().is_reached(index) {
                    continue;
                }
                let row = graph.stack().row(node.address()).expect("a row");
                let (register, offset) = row.frame_address.expect("a frame address");
                let at = if register == dwarf::RSP as u16 { 4 } else { 5 };
                assert_eq!(graph.stack().before(index)[at], FrameValue::At(-offset), "{}", place(node));
                assert!(matches!(graph.stack().before(index)[4], FrameValue::At(_)), "{}: the stack pointer", place(node));
            }
        }
    }
}

#[test]
fn jumps_through_tables_lead_to_their_cases() {
    for (compiler, flags) in everywhere() {
        let build = compile(SWITCHES, compiler, &flags);
        let ways = |name: &str| {
            let graph = graph(&build, name);
            let jumps = graph
                .nodes()
                .iter()
                .filter(|node| node.instruction.flow_control() == iced_x86::FlowControl::IndirectBranch && !node.next.is_empty());
            let counts: Vec<usize> = jumps.map(|node| node.next.len()).collect();
            (
                counts,
                (0u32..)
                    .zip(graph.nodes())
                    .filter(|(index, node)| !graph.stack().is_reached(*index) && node.call.is_some())
                    .count(),
            )
        };
        let (jumps, unreached) = ways("pick");
        assert!(jumps.len() == 1 && jumps[0] >= 9, "{compiler} {flags:?}: {jumps:?}");
        assert_eq!(unreached, 0, "{compiler} {flags:?}: all calls are reached");
        let (jumps, _) = ways("dispatch");
        assert!(!jumps.is_empty() && jumps.iter().all(|count| *count == 4), "{compiler} {flags:?}: {jumps:?}");
    }
}

#[test]
fn calls_that_do_not_return_end_their_way() {
    for (compiler, flags) in everywhere() {
        let build = compile(SWITCHES, compiler, &flags);
        let graph = graph(&build, "pick");
        let never = graph.nodes().iter().filter(|node| node.call.is_some() && node.exit == Some(Exit::Never)).count();
        assert_eq!(never, 2, "{compiler} {flags:?}: exit and abort");
        let call = graph.nodes().iter().find(|node| node.is_call() && node.exit.is_none()).expect("a call that returns");
        assert_eq!(graph.call_before(call.behind()), graph.at(call.address()));
        assert_eq!(graph.call_before(call.address()), None);
    }
}

#[test]
fn tail_calls_leave_and_what_a_callback_is_called_through_is_no_table() {
    let build = compile(SWITCHES, "gcc", &["-g", "-O2"]);
    let graph = graph(&build, "through");
    let last = graph.nodes().last().expect("code");
    assert_eq!(last.exit, Some(Exit::TailCall));
    assert_eq!(last.call, Some(crate::program::code::Callee::Indirect));
    assert!(last.next.is_empty());
}

#[test]
fn places_after_setjmp_are_reached_from_later_calls() {
    let source = r#"
        #include <setjmp.h>
        #include <stdio.h>
        static jmp_buf back;
        __attribute__((noinline)) void later(void) { longjmp(back, 1); }
        int main(int argc, char **argv) { int n = argc; if (_setjmp(back)) { return puts("again"); } n++; printf("%d", n); later(); return n; }
    "#;
    for (compiler, flags) in everywhere() {
        let build = compile(source, compiler, &flags);
        let graph = graph(&build, "main");
        let name = |callee| match callee {
            Some(crate::program::code::Callee::Import(import)) => build.elf.dynamic_symbols[import.0 as usize].name.clone(),
            _ => String::new(),
        };
        let after = graph.nodes().iter().find(|node| name(node.call) == "_setjmp").map(|node| node.next.clone()).expect("setjmp");
        let print = graph.nodes().iter().find(|node| name(node.call) == "printf").expect("printf");
        assert!(after.iter().all(|node| print.next.contains(node)), "{compiler} {flags:?}");
    }
}

#[test]
fn handlers_of_exceptions_are_reached_from_the_calls_they_cover() {
    let source = r#"
        #include <stdio.h>
        #include <stdlib.h>
        void clean(int *value) { printf("%d", *value); }
        int compare(const void *a, const void *b) { return *(const char *)a - *(const char *)b; }
        int main(int argc, char **argv) { int n __attribute__((cleanup(clean))) = argc; qsort(argv[0], 3, 1, compare); return n; }
    "#;
    for (compiler, flags) in everywhere() {
        let flags: Vec<&str> = flags.into_iter().chain(["-fexceptions"]).collect();
        let build = compile(source, compiler, &flags);
        let graph = graph(&build, "main");
        let forks = graph.nodes().iter().filter(|node| node.is_call() && node.next.len() > 1).count();
        assert!(forks > 0, "{compiler} {flags:?}");
        assert!((0u32..).zip(graph.nodes()).filter(|(_, node)| node.is_call()).all(|(index, _)| graph.stack().is_reached(index)));
    }
}

#[test]
fn every_function_of_a_program_is_followed_or_says_why_not() {
    for (compiler, flags) in everywhere() {
        functions(&compile(SWITCHES, compiler, &flags), |image, unwind, name, id| match Graph::new(image, unwind, id) {
            Ok(graph) => assert!(!graph.nodes().is_empty()),
            // The start files' code pushes what no call frame information tells.
            Err(unclear) => {
                assert!(name.starts_with('_') || name.contains("clones") || name.contains("dummy"), "{name}: {unclear}")
            }
        });
    }
}
