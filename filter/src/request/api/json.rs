//! Walks JSON once and lends slices of it. serde_json reads every value; this adds only the way through objects and
//! arrays, so that a reader can pick members without building a tree, and knows where each value stands.

use super::{JsonString, Unparsable};
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// What walking gives: nothing, or the news that the bytes are not what they should be.
pub(super) type Walk = Result<(), Unparsable>;

/// A place in a JSON document. Time is linear in the document's length, and neither skipping nor walking recurses with
/// its depth. Strings are not looked at for UTF-8 before someone needs their text: most of a long conversation is never
/// more than passed over.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the document's only value. A byte order mark before it, which some clients write, is passed over.
    pub(super) fn new(body: &'a [u8]) -> Self {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        Self { body, at: if body.starts_with(MARK) { MARK.len() } else { 0 } }
    }

    /// Checks that nothing follows the value.
    pub(super) fn end(mut self) -> Walk {
        self.peek().map_or(Ok(()), |_| Err(Unparsable))
    }

    /// Where the next byte to be read stands in the document.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What has been read since `start`, white space around it left off.
    pub(super) fn since(&self, start: usize) -> Option<&'a [u8]> {
        self.body.get(start..self.at).map(<[u8]>::trim_ascii)
    }

    /// The first byte of what comes next, white space passed over.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let rest = self.body.get(self.at..)?;
        let blank = rest.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\t' | b'\r'))?;
        self.at += blank;
        rest.get(blank).copied()
    }

    /// Reads any value and gives its JSON.
    #[inline(never)]
    pub(super) fn value(&mut self) -> Result<&'a [u8], Unparsable> {
        self.peek();
        let rest = self.body.get(self.at..).ok_or(Unparsable)?;
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        values.next().and_then(Result::ok).ok_or(Unparsable)?;
        let value = rest.get(..values.byte_offset()).ok_or(Unparsable)?;
        self.at += value.len();
        Ok(value)
    }

    /// Reads a string; `None` for a value of another kind, which is passed over.
    pub(super) fn string(&mut self) -> Result<Option<JsonString<'a>>, Unparsable> {
        self.value().map(JsonString::new)
    }

    /// Reads a name by which something is known again; a blank one names nothing.
    pub(super) fn id(&mut self) -> Result<Option<JsonString<'a>>, Unparsable> {
        Ok(self.string()?.filter(|id| !id.contents().trim_ascii().is_empty()))
    }

    /// Reads a string's text; a value of another kind is refused.
    pub(super) fn word(&mut self) -> Result<Cow<'a, str>, Unparsable> {
        self.string()?.and_then(JsonString::decode).ok_or(Unparsable)
    }

    /// Reads a whole number that is not negative, however it is written: `64000`, `64000.0`, `6.4e4`, `"64000"`. 0 for anything
    /// else.
    pub(super) fn count(&mut self) -> Result<u64, Unparsable> {
        let value = self.value()?;
        let text = JsonString::new(value)
            .map_or_else(|| std::str::from_utf8(value).ok().map(Cow::Borrowed), JsonString::decode);
        if let Some(digits) = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty()) {
            return Ok(digits.parse().unwrap_or(u64::MAX));
        }
        let number = serde_json::from_slice::<f64>(value).ok();
        // A cast keeps within the bounds of its type.
        Ok(number.filter(|number| number.fract() == 0.0).map_or(0, |number| number as u64))
    }

    /// Walks an object. `each` gets a member's name and the cursor at its value; a value that it does not touch is passed
    /// over. A member that is null counts as absent, since the APIs take it so. Anything but an object is refused.
    pub(super) fn members(&mut self, mut each: impl FnMut(&str, &mut Self) -> Walk) -> Walk {
        self.walk_members(false, &mut each)
    }

    /// Walks an object with the members that are null.
    pub(super) fn all_members(&mut self, mut each: impl FnMut(&str, &mut Self) -> Walk) -> Walk {
        self.walk_members(true, &mut each)
    }

    fn walk_members(&mut self, with_nulls: bool, each: &mut dyn FnMut(&str, &mut Self) -> Walk) -> Walk {
        self.items(b'{', b'}', &mut |cursor| {
            let name = cursor.word()?;
            if cursor.next() != Some(b':') {
                return Err(Unparsable);
            }
            let is_skipped = !with_nulls && cursor.peek() == Some(b'n');
            cursor.one_value(&mut |cursor| if is_skipped { Ok(()) } else { each(&name, cursor) })
        })
    }

    /// Walks an array in the same manner.
    pub(super) fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Walk) -> Walk {
        self.items(b'[', b']', &mut |cursor| cursor.one_value(&mut each))
    }

    /// Walks an object; a value of another kind is left to be passed over.
    pub(super) fn if_members(&mut self, each: impl FnMut(&str, &mut Self) -> Walk) -> Walk {
        if self.peek() == Some(b'{') { self.members(each) } else { Ok(()) }
    }

    // From here on nothing is generic: the readers' many closures would each bring a copy into the module.

    fn items(&mut self, open: u8, close: u8, each: &mut dyn FnMut(&mut Self) -> Walk) -> Walk {
        if self.next() != Some(open) {
            return Err(Unparsable);
        }
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(());
        }
        loop {
            each(self)?;
            match self.next() {
                Some(b',') => {}
                Some(byte) if byte == close => return Ok(()),
                _ => return Err(Unparsable),
            }
        }
    }

    /// Lets `each` read the value that comes next, and passes over it where `each` has not.
    fn one_value(&mut self, each: &mut dyn FnMut(&mut Self) -> Walk) -> Walk {
        self.peek();
        let before = self.at;
        each(self)?;
        if self.at == before {
            self.value()?;
        }
        Ok(())
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}

/// The value of a member that may stand only once: servers differ in which of two they take, and so the one that is
/// rewritten or scored might not be the one that is read.
pub(super) fn once(seen: &mut bool) -> Walk {
    if std::mem::replace(seen, true) { Err(Unparsable) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Walks the outermost object or array, and what lies in it directly.
    fn walk(json: &mut Cursor<'_>) -> Walk {
        match json.peek() {
            Some(b'{') => json.members(|_, json| json.if_members(|_, json| json.string().map(drop))),
            Some(b'[') => json.elements(|json| json.if_members(|_, _| Ok(()))),
            _ => json.value().map(drop),
        }
    }

    fn is_json(body: &[u8]) -> bool {
        let mut json = Cursor::new(body);
        walk(&mut json).and_then(|()| json.end()).is_ok()
    }

    #[test]
    fn members_are_picked_and_the_rest_passed_over() {
        let mut json = Cursor::new(br#" {"a": [1, {"b": "c"}] , "d\u0065" :"x\n", "n": 12, "z":null} "#);
        let mut seen = Vec::new();
        json.members(|name, json| {
            match name {
                "de" => seen.push(format!("{} at {}", json.word()?.trim_end(), json.at())),
                "n" => seen.push(json.count()?.to_string()),
                other => seen.push(other.to_owned()),
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, ["a", "x at 41", "12"]);
        json.end().unwrap();
    }

    #[test]
    fn a_member_that_is_null_counts_as_absent() {
        let names = |body: &[u8]| {
            let (mut some, mut all) = (Vec::new(), Vec::new());
            let note = |names: &mut Vec<String>, name: &str| names.push(name.to_owned());
            Cursor::new(body)
                .members(|name, _| {
                    note(&mut some, name);
                    Ok(())
                })
                .and_then(|()| {
                    Cursor::new(body).all_members(|name, _| {
                        note(&mut all, name);
                        Ok(())
                    })
                })
                .map(|()| (some.concat(), all.concat()))
        };
        let table = [
            (r#"{"a": null,"b":1,"c":[null]}"#, Ok(("bc".to_owned(), "abc".to_owned()))),
            (r#"{"a":"null","b":{"c":null}}"#, Ok(("ab".to_owned(), "ab".to_owned()))),
            (r#"{"a":nil}"#, Err(Unparsable)),
            (r#"{"a":nullx}"#, Err(Unparsable)),
        ];
        for (body, want) in table {
            assert_eq!(names(body.as_bytes()), want, "{body}");
        }
    }

    #[test]
    fn whole_numbers_are_written_in_many_ways() {
        let table = [
            ("64000", 64_000),
            ("64000.0", 64_000),
            ("6.4e4", 64_000),
            ("640000E-1", 64_000),
            (r#""64000""#, 64_000),
            (r#""\u0036\u0034""#, 64),
            ("0", 0),
            ("99999999999999999999", u64::MAX),
            ("1e30", u64::MAX),
            ("1e999", 0),
            ("0.5", 0),
            ("-1", 0),
            ("-1.0", 0),
            (r#""""#, 0),
            (r#""many""#, 0),
            (r#""6.4e4""#, 0),
            ("true", 0),
            ("[5]", 0),
        ];
        for (json, want) in table {
            assert_eq!(Cursor::new(json.as_bytes()).count(), Ok(want), "{json}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let mut json = Cursor::new(b"\xef\xbb\xbf{\"a\":\"b\"}");
        json.members(|_, json| {
            assert_eq!((json.word()?.as_ref(), json.at()), ("b", 11));
            Ok(())
        })
        .unwrap();
        json.end().unwrap();
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let table: [&[u8]; 22] = [
            b"",
            b" ",
            b"{",
            b"}",
            b"[",
            b"{]",
            b"[}",
            b"{,}",
            b"[,]",
            b"{\"a\"}",
            b"{\"a\":}",
            b"{\"a\":1,}",
            b"[1,]",
            b"{a:1}",
            b"[1 2]",
            b"{\"a\":1 \"b\":2}",
            b"[\"line\nfeed\"]",
            b"[1]]",
            b"[01]",
            b"\xef\xbb\xbf",
            b"\xef\xbb\xbf\xef\xbb\xbf{}",
            b"{\xef\xbb\xbf}",
        ];
        for body in table {
            assert!(!is_json(body), "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = "[".repeat(500_000);
        assert!(!is_json(deep.as_bytes()));
        assert!(is_json(format!("{deep}{}", "]".repeat(500_000)).as_bytes()));
        let objects = r#"{"a":"#.repeat(200_000);
        assert!(!is_json(objects.as_bytes()));
        assert!(is_json(format!("{objects}1{}", "}".repeat(200_000)).as_bytes()));
    }

    proptest! {
        /// The cursor takes exactly what serde_json takes.
        #[test]
        fn it_agrees_with_serde_json(body in "[\\[\\]{}\",:0-9a\\\\u \n.eE+-]{0,40}") {
            prop_assert_eq!(is_json(body.as_bytes()), serde_json::from_str::<serde::de::IgnoredAny>(&body).is_ok());
        }

        #[test]
        fn any_bytes_cause_no_panic(body in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = is_json(&body);
        }
    }
}
