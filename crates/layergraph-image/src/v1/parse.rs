//! Pulls values out of a JSON text, one by one and in the order they stand.
//!
//! The texts of 2015 were read by a decoder that keeps the last of two equal keys, merges objects
//! given twice, looks at the digits of a number, and takes bytes and surrogates that are no text.
//! A tree of values forgets these things, and serde's derived readers refuse most of them, so the
//! text is read directly. What is accepted is the JSON of RFC 8259, nested [`MAX_DEPTH`] deep and
//! of [`MAX_VALUES`] values.

use std::fmt;

use super::decode::DecodeError;
use crate::text::lossy;

/// The number of objects and lists that may be open at once.
pub const MAX_DEPTH: usize = 128;

/// The number of values that all objects and lists of a document may hold together.
///
/// An entry of a map takes up to twenty times the memory of its text. This many take 20 MB.
pub const MAX_VALUES: usize = 1 << 17;

type Result<T> = std::result::Result<T, DecodeError>;

/// The kinds of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number.
    Number,
    /// Text within quotes.
    String,
    /// Values within brackets.
    List,
    /// Keys and values within braces.
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::List => "a list",
            Kind::Object => "an object",
        })
    }
}

/// A JSON text and the place reached in it.
pub(super) struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a [u8]) -> Parser<'a> {
        Parser {
            text,
            at: 0,
            depth: 0,
            values: 0,
        }
    }

    /// Returns the kind of the next value, which stays the next.
    pub(super) fn kind(&mut self) -> Result<Kind> {
        match self.next_byte()? {
            b'n' => Ok(Kind::Null),
            b't' | b'f' => Ok(Kind::Bool),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            b'"' => Ok(Kind::String),
            b'[' => Ok(Kind::List),
            b'{' => Ok(Kind::Object),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Fails because the next value, of kind `found`, is not what is wanted here.
    pub(super) fn mismatch<T>(&self, expected: &'static str, found: Kind) -> Result<T> {
        Err(DecodeError::Mismatch {
            at: self.at,
            expected,
            found,
        })
    }

    /// Takes a `null` if that is next, and tells whether it was.
    pub(super) fn null(&mut self) -> Result<bool> {
        let null = self.kind()? == Kind::Null;
        if null {
            self.word(b"null")?;
        }
        Ok(null)
    }

    pub(super) fn bool(&mut self) -> Result<bool> {
        self.require(Kind::Bool, "true or false")?;
        if self.text[self.at] == b't' {
            self.word(b"true").map(|()| true)
        } else {
            self.word(b"false").map(|()| false)
        }
    }

    /// Takes a whole number. A fraction or an exponent is an error even where it adds nothing.
    pub(super) fn integer(&mut self) -> Result<i64> {
        const EXPECTED: &str = "a whole number of 64 bits";
        self.require(Kind::Number, EXPECTED)?;
        let start = self.at;
        let digits = self.number()?;
        let number = std::str::from_utf8(digits)
            .ok()
            .and_then(|n| n.parse().ok());
        number.ok_or(DecodeError::Mismatch {
            at: start,
            expected: EXPECTED,
            found: Kind::Number,
        })
    }

    pub(super) fn string(&mut self) -> Result<String> {
        self.require(Kind::String, "a string")?;
        self.quoted().map(unescape)
    }

    /// Takes a string and returns what stands between its quotes, escapes and all.
    pub(super) fn literal(&mut self, expected: &'static str) -> Result<&'a [u8]> {
        self.require(Kind::String, expected)?;
        self.quoted()
    }

    /// Takes a list; `element` is called before each element and must take it.
    pub(super) fn list(
        &mut self,
        expected: &'static str,
        mut element: impl FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.require(Kind::List, expected)?;
        self.nested(b']', "a comma or the end of the list", &mut element)
    }

    /// Takes an object; `member` is called with each key and must take the value.
    pub(super) fn object(
        &mut self,
        expected: &'static str,
        mut member: impl FnMut(&mut Self, String) -> Result<()>,
    ) -> Result<()> {
        self.require(Kind::Object, expected)?;
        self.nested(b'}', "a comma or the end of the object", &mut |parser| {
            if parser.next_byte()? != b'"' {
                return Err(parser.unexpected("a key in quotes"));
            }
            let key = unescape(parser.quoted()?);
            if parser.next_byte()? != b':' {
                return Err(parser.unexpected("a colon after the key"));
            }
            parser.at += 1;
            member(parser, key)
        })
    }

    /// Takes the next value, whatever it is.
    pub(super) fn skip(&mut self) -> Result<()> {
        match self.kind()? {
            Kind::Null => self.word(b"null"),
            Kind::Bool => self.bool().map(drop),
            Kind::Number => self.number().map(drop),
            Kind::String => self.quoted().map(drop),
            Kind::List => self.list("", Parser::skip),
            Kind::Object => self.object("", |parser, _| parser.skip()),
        }
    }

    /// Fails unless nothing but white space is left.
    pub(super) fn end(&mut self) -> Result<()> {
        self.skip_space();
        if self.at == self.text.len() {
            return Ok(());
        }
        Err(self.unexpected("the end of the text"))
    }

    fn require(&mut self, kind: Kind, expected: &'static str) -> Result<()> {
        match self.kind()? {
            found if found == kind => Ok(()),
            found => self.mismatch(expected, found),
        }
    }

    /// Takes the opening bracket that is next, elements between commas, and `close`.
    fn nested(
        &mut self,
        close: u8,
        expected: &'static str,
        element: &mut dyn FnMut(&mut Self) -> Result<()>,
    ) -> Result<()> {
        if self.depth == MAX_DEPTH {
            return Err(DecodeError::TooDeep { at: self.at });
        }
        self.depth += 1;
        self.at += 1;
        if self.next_byte()? != close {
            loop {
                self.values += 1;
                if self.values > MAX_VALUES {
                    return Err(DecodeError::TooMany { at: self.at });
                }
                element(self)?;
                match self.next_byte()? {
                    b',' => self.at += 1,
                    byte if byte == close => break,
                    _ => return Err(self.unexpected(expected)),
                }
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Takes the string that is next, checks its escapes, and returns what its quotes hold.
    fn quoted(&mut self) -> Result<&'a [u8]> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.byte()? {
                b'"' => break,
                b'\\' => self.escape()?,
                0..0x20 => return Err(self.unexpected("an escape of this control character")),
                _ => self.at += 1,
            }
        }
        let literal = &self.text[start..self.at];
        self.at += 1;
        Ok(literal)
    }

    fn escape(&mut self) -> Result<()> {
        self.at += 1;
        match self.byte()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.byte()?.is_ascii_hexdigit() {
                        return Err(self.unexpected("a hex digit"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.unexpected("an escape")),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        if self.byte()? == b'-' {
            self.at += 1;
        }
        // No digit may follow a leading zero; whoever reads on finds it where none belongs.
        if self.byte()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.eat(b".") {
            self.digits()?;
        }
        if self.eat(b"eE") {
            self.eat(b"+-");
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// Takes one digit or more.
    fn digits(&mut self) -> Result<()> {
        if !self.byte()?.is_ascii_digit() {
            return Err(self.unexpected("a digit"));
        }
        while self.eat(b"0123456789") {}
        Ok(())
    }

    /// Takes the next byte if it is one of these.
    fn eat(&mut self, bytes: &[u8]) -> bool {
        let found = self.text.get(self.at).is_some_and(|b| bytes.contains(b));
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &[u8]) -> Result<()> {
        for &letter in word {
            if self.byte()? != letter {
                return Err(self.unexpected("null, true or false"));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Skips white space and returns the byte after it, which stays the next.
    fn next_byte(&mut self) -> Result<u8> {
        self.skip_space();
        self.byte()
    }

    fn skip_space(&mut self) {
        while self.eat(b" \t\r\n") {}
    }

    fn byte(&self) -> Result<u8> {
        let end = || match self.text.trim_ascii() {
            [] => DecodeError::Empty,
            _ => DecodeError::Truncated,
        };
        self.text.get(self.at).copied().ok_or_else(end)
    }

    fn unexpected(&self, expected: &'static str) -> DecodeError {
        DecodeError::Syntax {
            at: self.at,
            expected,
        }
    }
}

/// Makes the text that a string literal stands for; its escapes have been checked.
fn unescape(literal: &[u8]) -> String {
    let literal = lossy(literal);
    let mut text = String::with_capacity(literal.len());
    let mut rest = literal.as_str();
    while let Some((plain, escape)) = rest.split_once('\\') {
        text.push_str(plain);
        let mut chars = escape.chars();
        let escaped = match chars.next() {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => unescape_utf16(&mut chars),
            Some(other) => other,
            None => break,
        };
        text.push(escaped);
        rest = chars.as_str();
    }
    text.push_str(rest);
    text
}

/// Takes the digits after `\u`, and the second escape of a surrogate pair with them. Half a pair
/// gives U+FFFD and leaves what follows alone.
fn unescape_utf16(chars: &mut std::str::Chars<'_>) -> char {
    fn unit(chars: &mut std::str::Chars<'_>) -> Option<u16> {
        let (digits, rest) = chars.as_str().split_at_checked(4)?;
        *chars = rest.chars();
        u16::from_str_radix(digits, 16).ok()
    }

    let first = unit(chars).unwrap_or_default();
    if let Some(Ok(char)) = char::decode_utf16([first]).next() {
        return char;
    }
    let mut ahead = chars.clone();
    let second = match (ahead.next(), ahead.next()) {
        (Some('\\'), Some('u')) => unit(&mut ahead),
        _ => None,
    };
    match second.and_then(|second| char::decode_utf16([first, second]).next()) {
        Some(Ok(char)) => {
            *chars = ahead;
            char
        }
        _ => char::REPLACEMENT_CHARACTER,
    }
}
