//! Looks for members of a request's body by their path, whatever API it speaks.

use super::json::{Cursor, Walk};
use super::text::JsonString;

/// The path of a member, such as `thinking`, `output_config.effort` or `thinking.type=disabled`.
///
/// Dots lead into objects. A list on the way is searched element by element, so that `messages.name` is found in any message.
/// After `=` stands the value that the member must have: the text of a string, a number, or the JSON of anything else. Where the
/// member is a list, one element with this value is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    /// Never empty, and no name is.
    names: Vec<String>,
    value: Option<String>,
}

impl FieldPath {
    /// Reads a path; `None` where a name in it is empty.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (names, value) = match path.split_once('=') {
            Some((names, value)) => (names, Some(value.to_owned())),
            None => (path, None),
        };
        let names: Vec<_> = names.split('.').map(str::to_owned).collect();
        names.iter().all(|name| !name.is_empty()).then_some(Self { names, value })
    }

    /// Whether a member's JSON is what the path asks for: its value or, where it asks for none, anything but null.
    fn accepts(&self, json: &[u8]) -> bool {
        match &self.value {
            None => json != b"null",
            Some(value) => is_value(json, value) || has_element(json, value),
        }
    }
}

/// Whether a value's JSON is the one that is asked for. Numbers are compared as numbers: 1.0 is 1.
fn is_value(json: &[u8], value: &str) -> bool {
    if let Some(text) = JsonString::new(json) {
        return text.is(value);
    }
    let number = |json| serde_json::from_slice::<f64>(json).ok();
    json == value.as_bytes() || number(json).is_some_and(|own| number(value.as_bytes()) == Some(own))
}

/// Whether a value is a list with such an element.
fn has_element(json: &[u8], value: &str) -> bool {
    let (mut list, mut found) = (Cursor::new(json), false);
    list.peek() == Some(b'[')
        && list
            .elements(|element| {
                found |= is_value(element.value()?, value);
                Ok(())
            })
            .is_ok()
        && found
}

/// Whether a body has a member at one of these paths. It is read once, and not at all where there is no path. A member that is
/// null counts as absent, since the APIs take it so.
#[must_use]
pub fn any_present(paths: &[FieldPath], body: &[u8]) -> bool {
    let wanted: Vec<_> = paths.iter().map(|path| (path, path.names.as_slice())).collect();
    if wanted.is_empty() {
        return false;
    }
    let mut found = false;
    // What can't be read to its end has no more members.
    let _ = search(&wanted, &mut Cursor::new(body), &mut found);
    found
}

/// What is left of a path at some depth.
type Rest<'p> = (&'p FieldPath, &'p [String]);

fn search(wanted: &[Rest<'_>], json: &mut Cursor<'_>, found: &mut bool) -> Walk {
    match json.peek() {
        // A path has few names, and so this recurses no deeper.
        Some(b'{') => json.all_members(|name, json| {
            let (mut ends, mut deeper) = (Vec::new(), Vec::new());
            for (path, names) in wanted {
                match names.split_first() {
                    Some((first, [])) if first == name => ends.push(*path),
                    Some((first, rest)) if first == name => deeper.push((*path, rest)),
                    _ => {}
                }
            }
            json.peek();
            let start = json.at();
            if !deeper.is_empty() {
                search(&deeper, json, found)?;
            }
            if !ends.is_empty() {
                let value = if json.at() == start { Some(json.value()?) } else { json.since(start) };
                *found |= ends.iter().any(|path| value.is_some_and(|value| path.accepts(value)));
            }
            Ok(())
        }),
        Some(b'[') => json.elements(|json| match json.peek() {
            // Lists in lists have no names between them.
            Some(b'{') => search(wanted, json, found),
            _ => Ok(()),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn present(path: &str, body: &str) -> bool {
        any_present(&[FieldPath::parse(path).unwrap()], body.as_bytes())
    }

    #[test]
    fn members_are_found_by_path() {
        let body = r#"{"model":"auto","thinking":{"type":"adaptive"},"output_config":{"effort":"high"},"top_k":null,"n":1,
            "stream":true,"temperature":1.0,"anthropic_beta":["a-1","b-2"],"include":[1, null],"tools":[{"type":"function"},[{"type":"hidden"}],{"cache_control":{"ttl":"1h"}}],"a\u0062":0}"#;
        let table = [
            ("thinking", true),
            ("thinking.type", true),
            ("thinking.type=adaptive", true),
            ("thinking.type=enabled", false),
            ("thinking.budget_tokens", false),
            ("output_config.effort", true),
            ("effort", false),
            ("top_k", false),
            ("top_k=null", true),
            ("n=1", true),
            ("n=2", false),
            ("stream=true", true),
            ("tools.type", true),
            ("tools.type=hidden", false),
            ("tools.cache_control.ttl=1h", true),
            ("tools.cache_control", true),
            ("model.x", false),
            ("ab", true),
            ("prediction", false),
            ("temperature=1", true),
            ("temperature=1.00", true),
            ("n=1.0", true),
            ("temperature=2", false),
            ("temperature=", false),
            ("stream=1", false),
            ("anthropic_beta=b-2", true),
            ("anthropic_beta=b", false),
            ("anthropic_beta=[\"a-1\",\"b-2\"]", true),
            ("include=1", true),
            ("include=null", true),
            ("include=2", false),
        ];
        for (path, want) in table {
            assert_eq!(present(path, body), want, "{path}");
        }
    }

    #[test]
    fn one_reading_serves_all_paths() {
        let paths: Vec<_> = ["a", "a.b", "c"].map(|path| FieldPath::parse(path).unwrap()).into();
        for (body, want) in [(r#"{"a":{"b":1}}"#, true), (r#"{"c":[]}"#, true), (r#"{"d":{"a":1}}"#, false)] {
            assert_eq!(any_present(&paths, body.as_bytes()), want, "{body}");
        }
        // The end of one path may lie on the way of another.
        let nested: Vec<_> = ["a=1", "a.b=2"].map(|path| FieldPath::parse(path).unwrap()).into();
        assert!(any_present(&nested, br#"{"a":{"b":2}}"#) && any_present(&nested, br#"{"a":1}"#));
        assert!(!any_present(&[], br#"{"a":1}"#));
    }

    #[test]
    fn paths_with_an_empty_name_are_refused() {
        for bad in ["", ".", "a.", ".a", "a..b", "=x"] {
            assert_eq!(FieldPath::parse(bad), None, "{bad}");
        }
        assert!(FieldPath::parse("a=").is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..64), path in "[a-z.=]{1,8}") {
            if let Some(path) = FieldPath::parse(&path) {
                let _ = any_present(&[path], &body);
            }
        }
    }
}
