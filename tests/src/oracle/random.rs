//! Programs made by chance: a function of random statements around points, and a second version with a few of them changed.
//!
//! What decides whether and how often a point is reached depends on what no change touches, so that the n-th point is the same one in both
//! versions. Everything else may change anywhere: a plan that is not refused must then be right.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::program::{self, Good, Kind, Program};

/// Parameters, which no statement assigns to.
const PARAMETERS: [&str; 3] = ["a", "b", "c"];

/// Types of locals.
const TYPES: [&str; 8] = ["long", "long", "int", "unsigned", "short", "unsigned char", "bool", "double"];

/// Elements of the local array, a power of two.
const ELEMENTS: usize = 4;

/// SplitMix64 (Steele, Lea, Flood 2014): the same sequence for a seed everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % sides.max(1) as u64) as usize
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        let index = self.roll(from.len());
        &from[index]
    }
}

/// An expression; integers wrap (`-fwrapv`).
#[derive(Clone, Debug)]
enum Expression {
    Name(String),
    Number(i64),
    Element(Box<Expression>),
    Binary(&'static str, Box<Expression>, Box<Expression>),
    Narrow(&'static str, Box<Expression>),
    Choice(Box<Expression>, Box<Expression>, Box<Expression>),
}

impl Expression {
    /// As C, of type long.
    fn text(&self) -> String {
        match self {
            Expression::Name(name) => format!("(long){name}"),
            Expression::Number(number) => format!("{number}L"),
            Expression::Element(index) => format!("array[({}) & {}]", index.text(), ELEMENTS - 1),
            Expression::Binary(">>", left, right) => format!("(({}) >> (({}) & 7))", left.text(), right.text()),
            Expression::Binary(operator, left, right) => format!("(({}) {operator} ({}))", left.text(), right.text()),
            Expression::Narrow(kind, inner) => format!("(long)({kind})({})", inner.text()),
            Expression::Choice(asked, left, right) => {
                format!("(({}) > 0 ? ({}) : ({}))", asked.text(), left.text(), right.text())
            }
        }
    }
}

/// A statement.
#[derive(Clone, Debug)]
enum Statement {
    Assign(String, Expression),
    Store(Expression, Expression),
    /// A call whose result is assigned.
    Call(String, Expression),
    Say(Expression),
    /// Gives the array's address away.
    Touch,
    If(Expression, Vec<Statement>, Vec<Statement>),
    /// A loop with its counter and what it counts to.
    Loop(String, String, Vec<Statement>),
    Point,
}

impl Statement {
    fn has_point(&self) -> bool {
        match self {
            Statement::Point => true,
            Statement::If(_, then, otherwise) => then.iter().chain(otherwise).any(Statement::has_point),
            Statement::Loop(_, _, body) => body.iter().any(Statement::has_point),
            _ => false,
        }
    }

    fn print(&self, depth: usize, text: &mut String) {
        let indent = "    ".repeat(depth);
        let block = |body: &[Statement], text: &mut String| body.iter().for_each(|statement| statement.print(depth + 1, text));
        let _ = match self {
            Statement::Assign(name, value) => writeln!(text, "{indent}{name} = {};", value.text()),
            Statement::Store(index, value) => {
                writeln!(text, "{indent}array[({}) & {}] = {};", index.text(), ELEMENTS - 1, value.text())
            }
            Statement::Call(name, value) => writeln!(text, "{indent}{name} = mix({});", value.text()),
            Statement::Say(value) => writeln!(text, "{indent}say(\"said\", {});", value.text()),
            Statement::Touch => writeln!(text, "{indent}touch(array);"),
            Statement::Point => writeln!(text, "{indent}point();"),
            Statement::If(asked, then, otherwise) => {
                let _ = writeln!(text, "{indent}if (({}) > 0) {{", asked.text());
                block(then, text);
                let _ = writeln!(text, "{indent}}} else {{");
                block(otherwise, text);
                writeln!(text, "{indent}}}")
            }
            Statement::Loop(counter, times, body) => {
                let _ = writeln!(text, "{indent}for (long {counter} = 0; {counter} < {times}; {counter}++) {{");
                block(body, text);
                writeln!(text, "{indent}}}")
            }
        };
    }
}

/// Makes statements of what is in scope.
struct Maker {
    dice: Dice,
    locals: Vec<String>,
    counters: Vec<String>,
    /// How many counters were made.
    loops: usize,
}

impl Maker {
    /// A name that no change touches: a parameter or a counter.
    fn fixed(&mut self) -> String {
        let counters = self.counters.iter().cloned();
        let names: Vec<String> = PARAMETERS.iter().map(|name| (*name).to_owned()).chain(counters).collect();
        self.dice.pick(&names).clone()
    }

    fn local(&mut self) -> String {
        let locals = self.locals.clone();
        self.dice.pick(&locals).clone()
    }

    fn expression(&mut self, depth: usize) -> Expression {
        let choice = self.dice.roll(if depth == 0 { 4 } else { 10 });
        let inner = |maker: &mut Self| Box::new(maker.expression(depth - 1));
        match choice {
            0 => Expression::Number(self.dice.roll(40) as i64 - 8),
            1 => Expression::Name(self.fixed()),
            2 | 3 => Expression::Name(self.local()),
            4 => Expression::Element(inner(self)),
            5 => {
                let kind = *self.dice.pick(&["int", "unsigned", "short", "signed char", "unsigned short"]);
                Expression::Narrow(kind, inner(self))
            }
            6 => Expression::Choice(inner(self), inner(self), inner(self)),
            _ => {
                let operator = *self.dice.pick(&["+", "-", "*", "&", "|", "^", "<", "==", ">>", "+"]);
                Expression::Binary(operator, inner(self), inner(self))
            }
        }
    }

    /// A condition on what no change touches.
    fn fixed_condition(&mut self) -> Expression {
        let (left, right) = (Expression::Name(self.fixed()), Expression::Number(self.dice.roll(7) as i64 - 1));
        let operator = *self.dice.pick(&["<", ">", "!=", "&"]);
        Expression::Binary(operator, Box::new(left), Box::new(right))
    }

    fn statements(&mut self, count: usize, depth: usize, may_wait: bool) -> Vec<Statement> {
        (0..count).map(|_| self.statement(depth, may_wait)).collect()
    }

    fn statement(&mut self, depth: usize, may_wait: bool) -> Statement {
        match self.dice.roll(if depth == 0 { 7 } else { 11 }) {
            0..=2 => Statement::Assign(self.local(), self.expression(2)),
            3 => Statement::Store(self.expression(1), self.expression(2)),
            4 => Statement::Call(self.local(), self.expression(1)),
            5 => Statement::Say(self.expression(1)),
            6 if self.dice.roll(3) == 0 => Statement::Touch,
            6 if may_wait => Statement::Point,
            6 => Statement::Say(self.expression(2)),
            7 | 8 => {
                let asked = if may_wait { self.fixed_condition() } else { self.expression(2) };
                let counts = (1 + self.dice.roll(3), self.dice.roll(3));
                let then = self.statements(counts.0, depth - 1, may_wait);
                Statement::If(asked, then, self.statements(counts.1, depth - 1, may_wait))
            }
            _ => {
                let times = 1 + self.dice.roll(4);
                self.a_loop(times, depth, may_wait, &[])
            }
        }
    }

    fn a_loop(&mut self, times: usize, depth: usize, may_wait: bool, more: &[Statement]) -> Statement {
        let counter = format!("i{}", self.loops);
        self.loops += 1;
        self.counters.push(counter.clone());
        let (before, after) = (1 + self.dice.roll(3), 1 + self.dice.roll(3));
        let mut body = self.statements(before, depth - 1, may_wait);
        body.extend_from_slice(more);
        body.extend(self.statements(after, depth - 1, may_wait));
        self.counters.pop();
        // What the loop counts to is a constant to the compiler, or not.
        let times = if self.dice.roll(2) == 0 { times.to_string() } else { format!("(c & 1) + {times}") };
        Statement::Loop(counter, times, body)
    }

    /// Changes one statement somewhere in `body`.
    fn change(&mut self, body: &mut Vec<Statement>) {
        if body.is_empty() {
            return body.push(Statement::Say(Expression::Number(1)));
        }
        let index = self.dice.roll(body.len());
        if body[index].has_point() {
            let scope = self.counters.len();
            match &mut body[index] {
                Statement::If(_, then, otherwise) => {
                    if self.dice.roll(2) == 0 {
                        self.change(then)
                    } else {
                        self.change(otherwise)
                    }
                }
                Statement::Loop(counter, _, inner) => {
                    self.counters.push(counter.clone());
                    self.change(inner);
                }
                _ => self.insert(body, index),
            }
            return self.counters.truncate(scope);
        }
        match self.dice.roll(6) {
            0 => drop(body.remove(index)),
            1 => body[index] = self.statement(0, false),
            2 => {
                let other = self.dice.roll(body.len());
                if !body[other].has_point() {
                    body.swap(index, other);
                }
            }
            _ => self.insert(body, index),
        }
    }

    fn insert(&mut self, body: &mut Vec<Statement>, index: usize) {
        let statement = if self.dice.roll(2) == 0 { Statement::Say(self.expression(1)) } else { self.statement(1, false) };
        body.insert(index + self.dice.roll(2), statement);
    }
}

/// Makes program `seed` and writes its source to `directory`.
pub fn make(seed: u64, directory: &Path) -> Program {
    let dice = Dice(seed);
    let mut maker = Maker { dice, locals: Vec::new(), counters: Vec::new(), loops: 0 };
    let mut kinds: Vec<&str> = (0..2 + maker.dice.roll(5)).map(|_| *maker.dice.pick(&TYPES)).collect();
    maker.locals = (0..kinds.len()).map(|number| format!("v{number}")).collect();
    let old_locals = kinds.len();
    let before = maker.dice.roll(3);
    let mut old = maker.statements(before, 1, false);
    let times = 3 + maker.dice.roll(2);
    old.push(maker.a_loop(times, 2, true, &[Statement::Point]));
    let after = maker.dice.roll(3);
    old.extend(maker.statements(after, 1, false));
    let mut new = old.clone();
    if maker.dice.roll(3) == 0 {
        maker.locals.push(format!("v{old_locals}"));
        kinds.push(*maker.dice.pick(&TYPES));
    }
    for _ in 0..1 + maker.dice.roll(3) {
        maker.change(&mut new);
    }
    let name = format!("random_{seed}");
    let point = 1 + maker.dice.roll(3);
    let inputs: Vec<String> = (0..3).map(|_| (maker.dice.roll(90) as i64 - 20).to_string()).collect();
    let path = directory.join(format!("{name}.c"));
    let input = inputs.join(" ");
    let flags = "-fwrapv -w";
    let head =
        format!("// Made by chance.\n// rule: 3\n// good: either\n// point: {point}\n// input: {input}\n// flags: {flags}\n");
    let source = head + &source(&kinds, old_locals, &old, &new);
    fs::write(&path, source).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
    Program {
        name,
        rule: "3".to_owned(),
        kind: Kind::Case,
        good: Good::Either,
        point,
        input,
        flags: flags.split(' ').map(str::to_owned).chain([format!("-I{}", program::sources().display())]).collect(),
        directory: directory.to_owned(),
    }
}

fn source(kinds: &[&str], old_locals: usize, old: &[Statement], new: &[Statement]) -> String {
    let mut text = String::from(
        "#include \"frames.h\"\n\n\
         static NOINLINE long mix(long n) { return (n * 7) ^ (n >> 3); }\n\
         static NOINLINE void touch(long *array) { array[1] += array[2] + 3; }\n\n\
         static NOINLINE long work(long a, long b, int c) {\n    long array[4] = {a, b, c, 7};\n",
    );
    for (number, kind) in kinds.iter().enumerate() {
        let value = ["a + 1", "b", "5", "a * b", "c - 2", "0"][number % 6];
        let guarded = number >= old_locals;
        let _ = write!(
            text,
            "{}    {kind} v{number} = ({kind})({value});\n{}",
            if guarded { "#if NEW\n" } else { "" },
            if guarded { "#endif\n" } else { "" }
        );
    }
    for (line, body) in [("#if NEW\n", new), ("#else\n", old)] {
        text.push_str(line);
        body.iter().for_each(|statement| statement.print(1, &mut text));
    }
    text.push_str("#endif\n    long result = array[0] + 3 * array[1] + 5 * array[2] + 7 * array[3];\n");
    for number in 0..old_locals {
        let _ = writeln!(text, "    result = result * 3 + (long)v{number};");
    }
    text.push_str(
        "    return result;\n}\n\n\
         static NOINLINE long outer(long a, long b, long c) {\n    long kept = a * b + c;\n    \
         long result = work(a, b, (int)c);\n    return result ^ kept;\n}\n\n\
         int main(void) {\n    long a = next(), b = next(), c = next();\n    say(\"result\", outer(a, b, c));\n    return 0;\n}\n",
    );
    text
}
