//! From tokens to an expression: C's operators with C's precedence.

use std::ops::Range;

use winnow::combinator::{Infix, Postfix, cut_err, expression, fail};
use winnow::error::{ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{Stream, TokenSlice};
use winnow::token::any;

use super::tokens::{Token, TokenKind, tokens};
use super::{Binary, CType, Measure, Node, NodeKind, Side, Unary};
use crate::spec::place::Span;

type Tokens<'t> = TokenSlice<'t, Token>;
type Parsed<T> = Result<T, ErrMode<Fault>>;

/// How strongly a sign before its operand binds; members and indices bind more strongly.
const UNARY: i64 = 40;
const POSTFIX: i64 = 50;
const CHOICE: i64 = 3;

/// Why parsing stopped: what was expected before the last `rest` tokens.
#[derive(Debug)]
struct Fault {
    rest: usize,
    expected: String,
}

impl<'t> ParserError<Tokens<'t>> for Fault {
    type Inner = Self;

    fn from_input(input: &Tokens<'t>) -> Self {
        Self { rest: input.eof_offset(), expected: "a value".to_owned() }
    }

    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

/// Parses the expression `text`. `place` gives the span in the spec file of a range of bytes of `text`.
///
/// # Errors
/// Where it is not understood, and what was expected there.
pub fn parse(text: &str, place: impl Fn(Range<usize>) -> Span) -> Result<Node, (Span, String)> {
    let tokens = tokens(text, &place)?;
    let fault = |fault: ErrMode<Fault>| match fault {
        ErrMode::Backtrack(fault) | ErrMode::Cut(fault) => explained(&tokens, &fault, place(text.len()..text.len())),
        ErrMode::Incomplete(_) => (place(0..text.len()), "the expression is not complete".to_owned()),
    };
    let mut input = TokenSlice::new(&tokens);
    let node = any_expression(&mut input).map_err(fault)?;
    if input.is_empty() {
        return Ok(node);
    }
    let expected = "an operator, or the end".to_owned();
    Err(explained(&tokens, &Fault { rest: input.eof_offset(), expected }, node.span))
}

fn explained(tokens: &[Token], fault: &Fault, end: Span) -> (Span, String) {
    let next = tokens.len().checked_sub(fault.rest).and_then(|at| tokens.get(at));
    match next {
        Some(token) => (token.span, format!("expected {}, found `{}`", fault.expected, token.kind)),
        None => (end, format!("expected {}, found the end of the expression", fault.expected)),
    }
}

fn any_expression(input: &mut Tokens<'_>) -> Parsed<Node> {
    level(0).parse_next(input)
}

/// An expression whose operators bind at least as strongly as `power`.
fn level<'t>(power: i64) -> impl Parser<Tokens<'t>, Node, ErrMode<Fault>> {
    move |input: &mut Tokens<'t>| {
        expression(operand).current_precedence_level(power).postfix(postfix).infix(infix).parse_next(input)
    }
}

fn operand(input: &mut Tokens<'_>) -> Parsed<Node> {
    let token = any.parse_next(input)?;
    let kind = match &token.kind {
        TokenKind::Integer(value) => NodeKind::Integer(*value),
        TokenKind::Float(value) => NodeKind::Float(*value),
        TokenKind::Text(text) => NodeKind::Text(text.clone()),
        TokenKind::Name(name) => return named(input, name, token.span),
        TokenKind::Symbol("(") => return in_parentheses(input, token.span),
        TokenKind::Symbol(sign) => {
            let Some(sign) = unary(sign) else { return fail_before(input) };
            let operand = cut_err(level(UNARY)).parse_next(input)?;
            let span = token.span.to(operand.span);
            return Ok(Node { kind: NodeKind::Unary(sign, Box::new(operand)), span });
        }
    };
    Ok(Node { kind, span: token.span })
}

/// No operand begins with the token that was just taken.
fn fail_before<T>(input: &Tokens<'_>) -> Parsed<T> {
    Err(ErrMode::Backtrack(Fault { rest: input.eof_offset() + 1, expected: "a value".to_owned() }))
}

fn unary(symbol: &str) -> Option<Unary> {
    match symbol {
        "-" => Some(Unary::Minus),
        "~" => Some(Unary::Complement),
        "!" => Some(Unary::Not),
        _ => None,
    }
}

fn named(input: &mut Tokens<'_>, name: &str, span: Span) -> Parsed<Node> {
    let side = match name {
        "true" => return Ok(Node { kind: NodeKind::Boolean(true), span }),
        "false" => return Ok(Node { kind: NodeKind::Boolean(false), span }),
        "old" => Side::Old,
        "new" => Side::New,
        _ => {
            let measure = match name {
                "length" => Measure::Length,
                "count" => Measure::Count,
                _ => return Ok(Node { kind: NodeKind::Name { side: None, name: name.to_owned() }, span }),
            };
            if !is_next(input, "(") {
                return Ok(Node { kind: NodeKind::Name { side: None, name: name.to_owned() }, span });
            }
            require(input, "(")?;
            let inner = cut_err(any_expression).parse_next(input)?;
            let end = require(input, ")")?;
            return Ok(Node { kind: NodeKind::Measure(measure, Box::new(inner)), span: span.to(end) });
        }
    };
    if !is_next(input, "::") {
        return Ok(Node { kind: NodeKind::Object(side), span });
    }
    require(input, "::")?;
    let (name, end) = require_name(input)?;
    Ok(Node { kind: NodeKind::Name { side: Some(side), name }, span: span.to(end) })
}

/// `(A)`, or `(int)A`.
fn in_parentheses(input: &mut Tokens<'_>, start: Span) -> Parsed<Node> {
    let ahead = input.clone();
    let words: Vec<&str> = ahead.iter().map_while(|token| type_word(token)).collect();
    if !words.is_empty() {
        return cast(input, start, &words);
    }
    let inner = cut_err(any_expression).parse_next(input)?;
    let end = require(input, ")")?;
    Ok(Node { kind: inner.kind, span: start.to(end) })
}

fn type_word(token: &Token) -> Option<&str> {
    match &token.kind {
        TokenKind::Name(name) if CType::is_word(name) => Some(name),
        _ => None,
    }
}

fn cast(input: &mut Tokens<'_>, start: Span, words: &[&str]) -> Parsed<Node> {
    let Some(kind) = CType::from_words(words) else {
        return Err(ErrMode::Cut(Fault {
            rest: input.eof_offset(),
            expected: "the name of an integer or floating type".to_owned(),
        }));
    };
    for _ in words {
        input.next_token();
    }
    require(input, ")")?;
    let operand = cut_err(level(UNARY)).parse_next(input)?;
    let span = start.to(operand.span);
    Ok(Node { kind: NodeKind::Cast(kind, Box::new(operand)), span })
}

fn is_next(input: &Tokens<'_>, symbol: &str) -> bool {
    matches!(input.first(), Some(Token { kind: TokenKind::Symbol(found), .. }) if *found == symbol)
}

fn require(input: &mut Tokens<'_>, symbol: &str) -> Parsed<Span> {
    match input.first() {
        Some(token) if is_next(input, symbol) => {
            let span = token.span;
            input.next_token();
            Ok(span)
        }
        _ => Err(ErrMode::Cut(Fault { rest: input.eof_offset(), expected: format!("`{symbol}`") })),
    }
}

fn require_name(input: &mut Tokens<'_>) -> Parsed<(String, Span)> {
    match input.first() {
        Some(Token { kind: TokenKind::Name(name), span }) => {
            let found = (name.clone(), *span);
            input.next_token();
            Ok(found)
        }
        _ => Err(ErrMode::Cut(Fault { rest: input.eof_offset(), expected: "a name".to_owned() })),
    }
}

fn postfix<'t>(input: &mut Tokens<'t>) -> Parsed<Postfix<Tokens<'t>, Node, ErrMode<Fault>>> {
    let token = any.parse_next(input)?;
    match &token.kind {
        TokenKind::Symbol("." | "->") => Ok(Postfix(POSTFIX, |input, object| {
            let (name, end) = require_name(input)?;
            let span = object.span.to(end);
            Ok(Node { kind: NodeKind::Member(Box::new(object), name), span })
        })),
        TokenKind::Symbol("[") => Ok(Postfix(POSTFIX, |input, array| {
            let index = cut_err(any_expression).parse_next(input)?;
            let span = array.span.to(require(input, "]")?);
            Ok(Node { kind: NodeKind::Index(Box::new(array), Box::new(index)), span })
        })),
        TokenKind::Symbol("?") => Ok(Postfix(CHOICE, |input, condition| {
            let then = cut_err(any_expression).parse_next(input)?;
            require(input, ":")?;
            let otherwise = cut_err(level(CHOICE)).parse_next(input)?;
            let span = condition.span.to(otherwise.span);
            Ok(Node { kind: NodeKind::Choice(Box::new(condition), Box::new(then), Box::new(otherwise)), span })
        })),
        _ => fail.parse_next(input),
    }
}

fn infix<'t>(input: &mut Tokens<'t>) -> Parsed<Infix<Tokens<'t>, Node, ErrMode<Fault>>> {
    use Infix::Left;
    let token = any.parse_next(input)?;
    let TokenKind::Symbol(symbol) = &token.kind else { return fail.parse_next(input) };
    Ok(match *symbol {
        "||" => Left(5, |_, a, b| Ok(binary(Binary::Either, a, b))),
        "&&" => Left(7, |_, a, b| Ok(binary(Binary::Both, a, b))),
        "|" => Left(9, |_, a, b| Ok(binary(Binary::Or, a, b))),
        "^" => Left(11, |_, a, b| Ok(binary(Binary::Xor, a, b))),
        "&" => Left(13, |_, a, b| Ok(binary(Binary::And, a, b))),
        "==" => Left(15, |_, a, b| Ok(binary(Binary::Equal, a, b))),
        "!=" => Left(15, |_, a, b| Ok(binary(Binary::Unequal, a, b))),
        "<" => Left(17, |_, a, b| Ok(binary(Binary::Less, a, b))),
        "<=" => Left(17, |_, a, b| Ok(binary(Binary::LessOrEqual, a, b))),
        ">" => Left(17, |_, a, b| Ok(binary(Binary::Greater, a, b))),
        ">=" => Left(17, |_, a, b| Ok(binary(Binary::GreaterOrEqual, a, b))),
        "<<" => Left(19, |_, a, b| Ok(binary(Binary::ShiftLeft, a, b))),
        ">>" => Left(19, |_, a, b| Ok(binary(Binary::ShiftRight, a, b))),
        "+" => Left(21, |_, a, b| Ok(binary(Binary::Add, a, b))),
        "-" => Left(21, |_, a, b| Ok(binary(Binary::Subtract, a, b))),
        "*" => Left(23, |_, a, b| Ok(binary(Binary::Multiply, a, b))),
        "/" => Left(23, |_, a, b| Ok(binary(Binary::Divide, a, b))),
        "%" => Left(23, |_, a, b| Ok(binary(Binary::Remainder, a, b))),
        _ => return fail.parse_next(input),
    })
}

fn binary(operator: Binary, left: Node, right: Node) -> Node {
    let span = left.span.to(right.span);
    Node { kind: NodeKind::Binary(operator, Box::new(left), Box::new(right)), span }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expression with all its parentheses.
    fn shown(node: &Node) -> String {
        match &node.kind {
            NodeKind::Integer(value) => value.to_string(),
            NodeKind::Float(value) => value.to_string(),
            NodeKind::Boolean(value) => value.to_string(),
            NodeKind::Text(text) => format!("{text:?}"),
            NodeKind::Object(side) => side.to_string(),
            NodeKind::Name { side: None, name } => name.clone(),
            NodeKind::Name { side: Some(side), name } => format!("{side}::{name}"),
            NodeKind::Member(object, name) => format!("{}.{name}", shown(object)),
            NodeKind::Index(array, index) => format!("{}[{}]", shown(array), shown(index)),
            NodeKind::Measure(measure, of) => format!("{measure:?}({})", shown(of)),
            NodeKind::Cast(kind, of) => format!("<{kind:?}>{}", shown(of)),
            NodeKind::Unary(sign, of) => format!("{sign:?}({})", shown(of)),
            NodeKind::Binary(operator, a, b) => format!("({} {operator:?} {})", shown(a), shown(b)),
            NodeKind::Choice(a, b, c) => format!("({} ? {} : {})", shown(a), shown(b), shown(c)),
        }
    }

    fn parsed(text: &str) -> String {
        match parse(text, Span::new) {
            Ok(node) => shown(&node),
            Err((span, message)) => format!("{}: {message}", span.start),
        }
    }

    #[test]
    fn operators_bind_as_in_c() {
        assert_eq!(parsed("1 + 2 * 3 - 4"), "((1 Add (2 Multiply 3)) Subtract 4)");
        assert_eq!(parsed("old.a & 1 == 0"), "(old.a And (1 Equal 0))");
        assert_eq!(parsed("-old.a.b[2] + 1"), "(Minus(old.a.b[2]) Add 1)");
        assert_eq!(parsed("a || b && c"), "(a Either (b Both c))");
        assert_eq!(parsed("a ? b : c ? d : e"), "(a ? b : (c ? d : e))");
        assert_eq!(parsed("a < b ? 1 : 2 + 3"), "((a Less b) ? 1 : (2 Add 3))");
        assert_eq!(parsed("(1 + 2) * 3"), "((1 Add 2) Multiply 3)");
        assert_eq!(parsed("!old.p->q"), "Not(old.p.q)");
    }

    #[test]
    fn casts_names_and_measures() {
        assert_eq!(parsed("(unsigned char)old.a + 1"), "(<Integer { bits: 8, signed: false }>old.a Add 1)");
        assert_eq!(parsed("new::BUSY + IDLE"), "(new::BUSY Add IDLE)");
        assert_eq!(parsed("length(old.name) * count(old.list)"), "(Length(old.name) Multiply Count(old.list))");
        assert_eq!(parsed("length"), "length");
        assert_eq!(parsed(r#"old.name == "a\"b""#), r#"(old.name Equal "a\"b")"#);
        assert_eq!(parsed("0x1F + 'a' + '\\n' + 1.5"), "(((31 Add 97) Add 10) Add 1.5)");
    }

    #[test]
    fn errors_say_where_and_what() {
        assert_eq!(parsed("old. "), "5: expected a name, found the end of the expression");
        assert_eq!(parsed("1 +"), "3: expected a value, found the end of the expression");
        assert_eq!(parsed("1 + * 2"), "4: expected a value, found `*`");
        assert_eq!(parsed("(1 + 2"), "6: expected `)`, found the end of the expression");
        assert_eq!(parsed("1 2"), "2: expected an operator, or the end, found `2`");
        assert_eq!(parsed("old.a = 2"), "6: expected an operator, or the end, found `=`");
        assert_eq!(parsed("a ? b"), "5: expected `:`, found the end of the expression");
        assert_eq!(parsed("12ab"), "0: `12ab` is no number, or too large a one");
        assert_eq!(parsed("\"x"), "0: this text has no end, or an escape that is not known");
        assert_eq!(parsed("1 @ 2"), "2: unexpected `@`");
        assert_eq!(parsed("(long char)1"), "1: expected the name of an integer or floating type, found `long`");
        assert_eq!(parsed(""), "0: expected a value, found the end of the expression");
    }

    #[test]
    fn length_bounds_depth() {
        let deep = |unit: &str, times: usize| format!("{}1", unit.repeat(times));
        assert!(parse(&deep("-", 250), Span::new).is_ok());
        assert!(parsed(&deep("-", 5000)).contains("too long"));
        assert!(parsed(&deep("(", 5000)).contains("too long"));
        assert!(parsed(&deep("(", 255)).contains("expected `)`"));
        assert!(parsed(&deep("a?", 120)).contains("expected `:`"));
    }
}
