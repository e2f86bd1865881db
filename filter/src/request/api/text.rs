//! Strings as they stand in JSON, left encoded until someone needs their text.

use serde::de::{Deserializer as _, Error, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::string::FromUtf8Error;

/// A JSON string, quotes and escapes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonString<'a>(&'a [u8]);

impl<'a> JsonString<'a> {
    /// Takes a JSON value; `None` when it is not a string.
    #[must_use]
    pub fn new(json: &'a [u8]) -> Option<Self> {
        (json.len() >= 2 && json.starts_with(b"\"") && json.ends_with(b"\"")).then_some(Self(json))
    }

    /// What stands between the quotes, escapes and all.
    #[must_use]
    pub fn contents(self) -> &'a [u8] {
        self.0.get(1..self.0.len() - 1).unwrap_or_default()
    }

    /// The text; `None` when it is not UTF-8. Half a surrogate pair, which JSON can spell and text can't hold, becomes
    /// U+FFFD.
    #[must_use]
    pub fn decode(self) -> Option<Cow<'a, str>> {
        let text = std::str::from_utf8(self.contents()).ok()?;
        if !text.contains('\\') {
            return Some(Cow::Borrowed(text));
        }
        let bytes = serde_json::Deserializer::from_slice(self.0).deserialize_bytes(Bytes).ok()?;
        let lossy = |error: FromUtf8Error| String::from_utf8_lossy(error.as_bytes()).into_owned();
        Some(Cow::Owned(String::from_utf8(bytes).unwrap_or_else(lossy)))
    }

    /// Whether the text is nothing but white space.
    #[must_use]
    pub fn is_blank(self) -> bool {
        match self.contents().trim_ascii_start().first() {
            None => true,
            // Only an escape, or a character that is not ASCII, has to be looked at more closely.
            Some(byte) if *byte != b'\\' && byte.is_ascii() => false,
            Some(_) => self.decode().is_some_and(|text| text.trim().is_empty()),
        }
    }

    /// Whether the text is this one.
    #[must_use]
    pub fn is(self, text: &str) -> bool {
        self.decode().is_some_and(|own| own == text)
    }
}

/// serde_json checks surrogate pairs for strings, and not for bytes.
struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strings_are_decoded() {
        let table = [
            (r#""""#, ""),
            (r#""hi \"you\"""#, "hi \"you\""),
            (r#""\u003csystem-reminder\u003e""#, "<system-reminder>"),
            (r#""\ud83d\ude00 \u4e2d\n""#, "\u{1f600} 中\n"),
            (r#""half \ud83d pair""#, "half \u{fffd}\u{fffd}\u{fffd} pair"),
        ];
        for (json, text) in table {
            assert_eq!(JsonString::new(json.as_bytes()).unwrap().decode().unwrap(), text, "{json}");
        }
        assert_eq!(JsonString::new(b"\"\xff\"").unwrap().decode(), None);
        for json in ["null", "5", "\"", "[]", "x"] {
            assert_eq!(JsonString::new(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn blank_texts() {
        for (json, blank) in [
            (r#""""#, true),
            (r#"" ""#, true),
            (r#""\n\t ""#, true),
            ("\"\u{3000}\"", true),
            (r#""\n{""#, false),
            (r#""\u00e9""#, false),
            (r#""{""#, false),
            ("\"\u{4e2d}\"", false),
        ] {
            assert_eq!(JsonString::new(json.as_bytes()).unwrap().is_blank(), blank, "{json}");
        }
    }

    proptest! {
        /// Whatever text a client writes, with escapes or without, is the text that is read.
        #[test]
        fn the_text_is_the_clients(text in "\\PC{0,64}", ascii in any::<bool>()) {
            let mut literal = serde_json::to_string(&text).unwrap();
            if ascii {
                literal = literal.chars().map(|c| if c.is_ascii() { c.to_string() } else {
                    c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect()
                }).collect();
            }
            prop_assert_eq!(JsonString::new(literal.as_bytes()).unwrap().decode().unwrap(), text);
        }
    }
}
