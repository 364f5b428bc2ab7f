//! What is live behind calls: exactly the variables that are needed, whatever compiler and level.

use super::*;

/// What the tests call: nothing is known of it but that it is called.
const CALLED: &str = r#"
    #include <stdarg.h>
    #include <stdio.h>
    #include <string.h>
    #include <alloca.h>
    #define CALLED __attribute__((noipa, noinline, weak))
    extern int getppid(void);
    CALLED void use(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); getppid(); }
    CALLED long take(long a) { use(&a); return a; }
    CALLED int number(int a) { use(&a); return a; }
"#;

/// How things live are written: `r32` for the low half of a register, `r&ff00` for odd bits, `s8` for bytes of a slot, `o64` for bytes of a
/// variable whose address is taken, `x16` for bytes of a vector register.
fn summary(all: &[Live]) -> String {
    let mut words = Vec::new();
    let mut objects = 0;
    for live in all.iter().filter(|live| !matches!(live.kind, LiveKind::Saved(_))) {
        match live.place {
            LivePlace::Register(_) if matches!(live.kind, LiveKind::Frame(_)) => words.push("frame".to_owned()),
            LivePlace::Register(_) if live.bits.count_ones() == live.bits.trailing_ones() => {
                words.push(format!("r{}", live.bits.count_ones()));
            }
            LivePlace::Register(_) => words.push(format!("r&{:x}", live.bits)),
            LivePlace::Vector(_) => words.push(format!("x{}", live.bits.count_ones())),
            LivePlace::Slot { length, .. } => words.push(format!("s{length}")),
            LivePlace::Object { length, .. } => objects += length,
            other => words.push(format!("{other:?}").to_lowercase()),
        }
    }
    if objects > 0 {
        words.push(format!("o{objects}"));
    }
    words.sort();
    words.join(" ")
}

/// What is live behind the calls in `function` of what is called `callee`, in the order of the code.
fn behind(build: &Build, function: &str, callee: &str) -> Vec<Vec<Live>> {
    let image = CodeImage::new(&build.elf, &build.debug);
    let graph = graph(build, function);
    let escapes = Escapes::new(&graph, build).expect("its frame");
    let liveness = Liveness::new(&graph, &escapes).expect("its needs");
    let is_named = |node: &&Node| match node.call {
        Some(crate::program::code::Callee::Function(id)) => image.inventory().get(id).is_some_and(|found| found.name == callee),
        Some(crate::program::code::Callee::Import(import)) => image.import(import).is_some_and(|symbol| symbol.name == callee),
        _ => false,
    };
    let calls = graph.nodes().iter().filter(|node| node.is_call()).filter(is_named);
    calls.map(|call| liveness.after_call(call.behind()).expect("a place that is returned to")).collect()
}

/// Asserts what is live behind all calls of `callee` in the function `f` of `source`; what is expected depends on the level (0 to 3) and
/// on whether there is a frame pointer, which is live as an address in the frame.
fn expect(source: &str, callee: &str, expected: impl Fn(&str, u8) -> Vec<&'static str>) {
    for (compiler, flags) in everywhere() {
        let build = compile(&format!("{CALLED}{source}"), compiler, &flags);
        let found: Vec<String> = behind(&build, "f", callee).iter().map(|all| without_frames(&summary(all))).collect();
        let level = flags[1].as_bytes()[2] - b'0';
        assert_eq!(found, expected(compiler, level), "{compiler} {flags:?}: {source}");
    }
}

/// Addresses in the frame follow from the code: how many registers hold one is the compiler's business.
fn without_frames(summary: &str) -> String {
    summary.split(' ').filter(|word| *word != "frame").collect::<Vec<_>>().join(" ")
}

#[test]
fn a_loop_needs_its_variables_and_nothing_else() {
    let source = "int f(int n) { int s = 0; for (int i = 0; i < n; i++) s += number(i); return s; } int main(int c, char **v) { return f(c); }";
    expect(source, "number", |_, level| vec![if level == 0 { "s4 s4 s4" } else { "r32 r32 r32" }]);
}

#[test]
fn an_array_that_is_passed_is_live_as_an_object() {
    let source =
        "long f(int n) { char buf[64]; memset(buf, 1, 64); for (int i = 0; i < n; i++) { use(buf); buf[i]++; } return buf[n]; }
        int main(int c, char **v) { return f(c); }";
    expect(source, "use", |compiler, level| {
        vec![match (compiler, level) {
            // A pointer to the array is one to the end of the variable before it, too.
            (_, 0) => "o68 s4",
            ("gcc", 2..) => "o64 r64 r64 r64",
            _ => "o64 r32 r64 r64",
        }]
    });
}

#[test]
fn a_structure_is_live_as_far_as_it_is_read() {
    let source = "struct point { long x, y; int z; };
        long f(int n) { struct point p = {n, 2, 3}; use(&p); take(p.x); return p.z; } int main(int c, char **v) { return f(c); }";
    expect(source, "take", |_, _| vec!["o4"]);
}

#[test]
fn only_the_bits_that_count_are_live() {
    let bytes = "int f(unsigned x) { unsigned k = take(x); number(1); return (k >> 8) & 0xff; } int main(int c, char **v) { return f(c); }";
    expect(bytes, "number", |_, level| vec![if level == 0 { "s4" } else { "r&ff00" }]);
    let extended = "long f(long n) { int k = n + 3; take(2); return k; } int main(int c, char **v) { return f(c); }";
    expect(extended, "take", |_, level| vec![if level == 0 { "s4" } else { "r32" }]);
    let low = "long f(long n) { int k = n + 3; take(2); return (unsigned char)k; } int main(int c, char **v) { return f(c); }";
    expect(low, "take", |_, level| vec![if level == 0 { "s4" } else { "r8" }]);
}

#[test]
fn numbers_in_vector_registers_are_spilled_and_live_in_their_slots() {
    let source = "double f(double a, double b) { take(1); return a * b; } int main(int c, char **v) { return f(c, c); }";
    expect(source, "take", |compiler, level| vec![if compiler == "gcc" && level == 1 { "r64 r64" } else { "s8 s8" }]);
    let wide = "typedef float v4 __attribute__((vector_size(16))); v4 f(v4 a) { take(1); return a + a; }
        int main(int c, char **v) { v4 a = {c}; return f(a)[0]; }";
    expect(wide, "take", |_, _| vec!["s8 s8"]);
}

#[test]
fn what_a_call_is_given_on_the_stack_is_the_callees() {
    let source = "CALLED long many(long a, long b, long c, long d, long e, long f, long g, long h) { return take(a + b + c + d + e + f + g + h); }
        long f(long a, long b) { take(a); long r = many(1, 2, 3, 4, 5, 6, a, b); return r + take(r); } int main(int c, char **v) { return f(c, c); }";
    expect(source, "many", |_, _| vec![""]);
    expect(source, "take", |_, level| if level == 0 { vec!["s8 s8", "s8"] } else { vec!["r64 r64", "r64"] });
}

#[test]
fn operands_of_inline_assembly_are_live() {
    let source = "long f(long a, long b) { long r; take(a); __asm__ volatile(\"lea (%1,%2), %0\" : \"=&r\"(r) : \"r\"(a), \"r\"(b)); return r; }
        int main(int c, char **v) { return f(c, c); }";
    expect(source, "take", |_, level| vec![if level == 0 { "s8 s8" } else { "r64 r64" }]);
}

#[test]
fn a_value_that_one_way_overwrites_is_live_for_the_other() {
    let source =
        "long f(long a) { long b = take(a); if (b < 0) { a = 7; } return a; } int main(int c, char **v) { return f(c); }";
    expect(source, "take", |_, level| vec![if level == 0 { "s8" } else { "r64" }]);
}

#[test]
fn switch_tables_lead_liveness_to_every_case() {
    let source = r#"int f(int n, const char *text) { for (;;) { switch (n) {
        case 0: printf("%s", text); n = 3; break; case 1: n = number(n); break; case 2: return puts(text);
        case 3: n = 5; take(9); break; case 4: return text[1]; case 5: n = 2; break; default: return n; } } }
        int main(int c, char **v) { return f(c, v[0]); }"#;
    // Beside the text compilers keep the table's address, and the format's.
    expect(source, "printf", |compiler, level| {
        vec![match (compiler, level) {
            (_, 0) => "s8",
            ("gcc", 1) => "r64 r64",
            ("gcc", _) => "r64",
            _ => "r64 r64 r64",
        }]
    });
}

#[test]
fn parts_of_the_frame_without_a_known_extent_are_told() {
    let alloca = "long f(int n) { char *p = alloca(n + 16); long r = take(n); use(p); return r + p[0]; } int main(int c, char **v) { return f(c); }";
    let array = "long f(int n) { long a[n + 1]; use(a); long r = take(a[0]); return r + a[n]; } int main(int c, char **v) { return f(c); }";
    for (source, (compiler, flags)) in
        [alloca, array].iter().flat_map(|source| everywhere().into_iter().map(move |c| (source, c)))
    {
        let build = compile(&format!("{CALLED}{source}"), compiler, &flags);
        for all in behind(&build, "f", "take") {
            assert!(all.iter().any(|live| live.place == LivePlace::Dynamic), "{compiler} {flags:?} {source}");
            let frame = all.iter().find(|live| live.place == LivePlace::Register(5)).map(|live| live.kind);
            assert_eq!(frame, Some(LiveKind::Frame(-16)), "the frame register keeps the frame");
        }
    }
    let any = "int f(int n, ...) { va_list ap; va_start(ap, n); int s = 0; for (int i = 0; i < n; i++) { s += va_arg(ap, int); take(i); } va_end(ap);
        return s; } int main(int c, char **v) { return f(2, c, c); }";
    for (compiler, flags) in everywhere() {
        let build = compile(&format!("{CALLED}{any}"), compiler, &flags);
        for all in behind(&build, "f", "take") {
            assert!(all.iter().any(|live| live.place == LivePlace::Incoming), "{compiler} {flags:?}: arguments on the stack");
            assert!(
                all.iter().any(|live| matches!(live.place, LivePlace::Object { .. })),
                "{compiler} {flags:?}: the saved registers"
            );
        }
    }
}

#[test]
fn the_count_of_a_string_instruction_is_no_address() {
    let source = "CALLED long give(long a, long b, long c, int *d) { use(d); return a; }
        long f(const char *from, long count) { char room[200]; int flag = 0; char *to = room;
          __asm__ volatile(\"rep movsb\" : \"+D\"(to), \"+S\"(from), \"+c\"(count) : : \"memory\");
          take(1); use(room); give(1, 2, 3, &flag); return flag + room[7]; }
        int main(int c, char **v) { return f(v[0], c); }";
    for (compiler, flags) in everywhere() {
        let build = compile(&format!("{CALLED}{source}"), compiler, &flags);
        let variables: Vec<_> = Escapes::new(&graph(&build, "f"), &build).expect("its frame").variables().collect();
        let found = behind(&build, "f", "take");
        assert_eq!(found.len(), 1, "{compiler} {flags:?}");
        for live in &found[0] {
            if let LivePlace::Object { offset, length } = live.place {
                let is_named = variables.iter().any(|(start, end)| *start <= offset && offset + length as i64 <= *end);
                assert!(is_named, "{compiler} {flags:?}: {offset} {length}");
            }
        }
    }
}

#[test]
fn saved_registers_are_told_apart_and_those_that_are_left_alone_left_out() {
    let source = "long f(long a, long b, long c) { long x = take(a), y = take(b); take(c); return x * y + c; } int main(int c, char **v) { return f(c, c, c); }";
    for (compiler, flags) in everywhere() {
        let build = compile(&format!("{CALLED}{source}"), compiler, &flags);
        let graph = graph(&build, "f");
        for (all, node) in behind(&build, "f", "take").iter().zip(graph.nodes().iter().filter(|node| node.is_call())) {
            let row = graph.stack().row(node.behind()).expect("a row");
            for live in all {
                match (live.place, live.kind) {
                    (LivePlace::Slot { offset, length: 8 }, LiveKind::Saved(register)) => {
                        let expected = crate::program::unwind::SavedAt::Slot(offset);
                        assert_eq!(row.saved[usize::from(register)], expected, "{compiler} {flags:?}");
                    }
                    (place, LiveKind::Saved(_)) => panic!("{compiler} {flags:?}: {place:?}"),
                    _ => {}
                }
            }
            let saved = row.saved.iter().filter(|place| matches!(place, crate::program::unwind::SavedAt::Slot(_))).count();
            let told = all.iter().filter(|live| matches!(live.kind, LiveKind::Saved(_))).count();
            assert_eq!(told, saved, "{compiler} {flags:?}: each saved register is given back");
        }
    }
}

#[test]
fn registers_that_a_known_callee_leaves_alone_are_told() {
    let source = "static __attribute__((noinline)) int leaf(int a) { return a * 3 + 1; }
        int f(int a, int b, int c) { int x = leaf(a); return x + b * c + leaf(x) + b; } int main(int c, char **v) { return f(c, 2, 3); }";
    let build = compile(&format!("{CALLED}{source}"), "gcc", &["-g", "-O2"]);
    let found = behind(&build, "f", "leaf");
    assert_eq!(found.iter().map(|all| summary(all)).collect::<Vec<_>>(), ["r32 r32", "r32 r32"]);
    let registers = |live: &Live| matches!(live.place, LivePlace::Register(2 | 6));
    assert!(found.iter().flatten().all(registers), "rdx and rsi, which calls destroy as a rule: {found:?}");
    let build = compile(&format!("{CALLED}{source}"), "gcc", &["-g", "-O2", "-fno-ipa-ra"]);
    let found = behind(&build, "f", "leaf");
    assert!(found.iter().flatten().all(|live| !registers(live)), "{found:?}");
}

#[test]
fn a_result_is_none_although_the_callee_does_not_touch_it() {
    let source = "CALLED double same(double a) { return a; } double f(double a) { return same(a) + 1; } int main(int c, char **v) { return f(c); }";
    for (compiler, flags) in everywhere() {
        let build = compile(&format!("{CALLED}{source}"), compiler, &flags);
        let found = behind(&build, "f", "same");
        assert!(
            found.iter().flatten().all(|live| !matches!(live.place, LivePlace::Vector(_))),
            "{compiler} {flags:?}: {found:?}"
        );
    }
}

#[test]
fn readers_read_what_they_are_named_for() {
    let source =
        "long f(long a, long b) { long c = take(a); use(&c); return take(b) + c; } int main(int c, char **v) { return f(c, c); }";
    for (compiler, flags) in everywhere() {
        let build = compile(&format!("{CALLED}{source}"), compiler, &flags);
        let graph = graph(&build, "f");
        for live in behind(&build, "f", "take").iter().flatten() {
            let reader = graph.at(live.reader).expect("an instruction of the function");
            assert!(graph.stack().is_reached(reader));
        }
    }
}

#[test]
fn a_place_behind_no_call_is_refused() {
    let build = compile(
        &format!("{CALLED}long f(long a) {{ return take(a) + a; }} int main(int c, char **v) {{ return f(c); }}"),
        "gcc",
        &["-g", "-O2"],
    );
    let graph = graph(&build, "f");
    let escapes = Escapes::new(&graph, &build).expect("its frame");
    let liveness = Liveness::new(&graph, &escapes).expect("its needs");
    let entry = graph.nodes()[0].address();
    assert!(liveness.after_call(entry).is_err() && liveness.after_call(LinkAddress(1)).is_err());
    let call = graph.nodes().iter().position(|node| node.is_call()).expect("a call");
    assert!(!liveness.at(call as u32).is_empty(), "the argument is live before the call");
}
