//! An expression cut into tokens.

use winnow::ascii::{digit1, hex_digit1, multispace0};
use winnow::combinator::{alt, dispatch, fail, opt, peek, preceded};
use winnow::error::EmptyError;
use winnow::prelude::*;
use winnow::stream::LocatingSlice;
use winnow::token::{any, take_while};

use crate::spec::place::Span;

/// Most tokens of one expression: it bounds how deep the parser, the checker and the evaluator go.
pub(super) const MAX_TOKENS: usize = 256;

/// A piece of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// In the spec file.
    pub(super) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    Integer(i128),
    Float(f64),
    Text(String),
    Name(String),
    Symbol(&'static str),
}

impl std::fmt::Display for TokenKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Name(name) => f.write_str(name),
            Self::Symbol(symbol) => f.write_str(symbol),
        }
    }
}

type Input<'i> = LocatingSlice<&'i str>;
type Scanned<T> = Result<T, EmptyError>;

/// Cuts `text` into tokens. `place` gives the span in the file of a range of bytes of `text`.
///
/// # Errors
/// Where it stopped, and why.
pub(super) fn tokens(text: &str, place: impl Fn(std::ops::Range<usize>) -> Span) -> Result<Vec<Token>, (Span, String)> {
    let mut input = LocatingSlice::new(text);
    let mut tokens = Vec::new();
    loop {
        let _: Scanned<&str> = multispace0.parse_next(&mut input);
        if input.is_empty() {
            return Ok(tokens);
        }
        let at = text.len() - input.len();
        match token.with_span().parse_next(&mut input) {
            Ok((kind, range)) if tokens.len() < MAX_TOKENS => tokens.push(Token { kind, span: place(range) }),
            Ok((_, range)) => {
                return Err((place(range), format!("the expression is too long: it has more than {MAX_TOKENS} parts")));
            }
            Err(EmptyError) => {
                let rest = text.get(at..).unwrap_or_default();
                return Err((place(at..at + rest.chars().next().map_or(0, char::len_utf8)), complaint(rest)));
            }
        }
    }
}

fn complaint(rest: &str) -> String {
    match rest.chars().next() {
        Some('0'..='9') => {
            let number: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '.').take(60).collect();
            format!("`{number}` is no number, or too large a one")
        }
        Some('"') => "this text has no end, or an escape that is not known".to_owned(),
        Some('\'') => "expected one character and a closing quote, as in 'a' or '\\n'".to_owned(),
        Some(other) => format!("unexpected `{}`", other.escape_debug()),
        None => "unexpected end".to_owned(),
    }
}

fn token(input: &mut Input<'_>) -> Scanned<TokenKind> {
    dispatch! {peek(any);
        '0'..='9' => number,
        'a'..='z' | 'A'..='Z' | '_' => name,
        '"' => text.map(TokenKind::Text),
        '\'' => character,
        _ => symbol.map(TokenKind::Symbol),
    }
    .parse_next(input)
}

fn name(input: &mut Input<'_>) -> Scanned<TokenKind> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    take_while(1.., word).map(|name: &str| TokenKind::Name(name.to_owned())).parse_next(input)
}

fn number(input: &mut Input<'_>) -> Scanned<TokenKind> {
    let hexadecimal = preceded(alt(("0x", "0X")), hex_digit1).verify_map(|digits| i128::from_str_radix(digits, 16).ok());
    let point = (digit1, '.', digit1).take().verify_map(|digits: &str| digits.parse().ok());
    let decimal = digit1.verify_map(|digits: &str| digits.parse().ok());
    let found = alt((hexadecimal.map(TokenKind::Integer), point.map(TokenKind::Float), decimal.map(TokenKind::Integer)))
        .parse_next(input)?;
    // `12ab` is a slip, not a number and a name.
    match input.chars().next() {
        Some(next) if next.is_alphanumeric() || next == '_' => Err(EmptyError),
        _ => Ok(found),
    }
}

fn character(input: &mut Input<'_>) -> Scanned<TokenKind> {
    ('\'', one_character, '\'').map(|(_, c, _)| TokenKind::Integer(i128::from(c))).parse_next(input)
}

/// One ASCII character or escape.
fn one_character(input: &mut Input<'_>) -> Scanned<u8> {
    let escape = dispatch! {any;
        'n' => empty_value(b'\n'),
        't' => empty_value(b'\t'),
        'r' => empty_value(b'\r'),
        '0' => empty_value(0),
        '\\' => empty_value(b'\\'),
        '\'' => empty_value(b'\''),
        '"' => empty_value(b'"'),
        _ => fail,
    };
    let plain = any.verify_map(|c: char| u8::try_from(c).ok().filter(|byte| byte.is_ascii() && !matches!(byte, b'\'' | b'\\')));
    alt((preceded('\\', escape), plain)).parse_next(input)
}

fn empty_value<'i>(value: u8) -> impl Parser<Input<'i>, u8, EmptyError> {
    winnow::combinator::empty.value(value)
}

fn text(input: &mut Input<'_>) -> Scanned<String> {
    let _ = '"'.parse_next(input)?;
    let mut text = String::new();
    loop {
        if opt('"').parse_next(input)?.is_some() {
            return Ok(text);
        }
        match any.parse_next(input)? {
            '\\' => text.push(escape(input)?),
            other => text.push(other),
        }
    }
}

fn escape(input: &mut Input<'_>) -> Scanned<char> {
    let known = |c| match c {
        'n' => Some('\n'),
        't' => Some('\t'),
        'r' => Some('\r'),
        '\\' | '"' | '\'' => Some(c),
        _ => None,
    };
    any.verify_map(known).parse_next(input)
}

fn symbol(input: &mut Input<'_>) -> Scanned<&'static str> {
    const SYMBOLS: [&str; 32] = [
        "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "->", "::", "+", "-", "*", "/", "%", "&", "|", "^", "~", "!", "<", ">",
        "?", ":", "(", ")", "[", "]", ".", ",", "=", ";",
    ];
    let rest: &str = input;
    let found = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)).ok_or(EmptyError)?;
    winnow::token::literal(*found).parse_next(input)?;
    Ok(found)
}
