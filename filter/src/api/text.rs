//! Text inside JSON that is left encoded: the contents of strings, and the text pieces of a message's `content`.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What stands between the quotes of a JSON string, escapes and all; `None` when `raw` is another kind of value.
pub(super) fn string_contents(raw: &str) -> Option<&str> {
    raw.strip_prefix('"')?.strip_suffix('"')
}

/// One element of a `content` array.
#[derive(Deserialize)]
struct Part<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

/// The text pieces of a message's `content`: the string itself, or the `text` of each part of type `text`. Images,
/// audio, files and whatever else is no text give nothing.
#[must_use]
pub fn text_pieces(content: &str) -> Vec<&str> {
    if let Some(text) = string_contents(content) {
        return vec![text];
    }
    let parts: Vec<Part<'_>> = serde_json::from_str(content).unwrap_or_default();
    parts
        .into_iter()
        .filter(|part| part.kind.is_some_and(|kind| kind.get() == "\"text\""))
        .filter_map(|part| string_contents(part.text?.get()))
        .collect()
}

/// Whether the contents of a JSON string are white space only.
pub(super) fn is_blank(contents: &str) -> bool {
    let mut rest = contents;
    loop {
        rest = rest.trim_start();
        match ["\\n", "\\r", "\\t", "\\f", "\\u0020"].iter().find_map(|escape| rest.strip_prefix(escape)) {
            Some(after) => rest = after,
            None => return rest.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_strings_and_parts() {
        let table: [(&str, &[&str]); 9] = [
            (r#""hi \"you\"""#, &[r#"hi \"you\""#]),
            (r#""""#, &[""]),
            (r#"[{"type":"text","text":"a"},{"type":"text","text":"b"}]"#, &["a", "b"]),
            (r#"[{"text":"a","type":"text","cache":{"x":[1]}}]"#, &["a"]),
            (r#"[{"type":"image_url","image_url":{"url":"data:…"}},{"type":"text","text":"what?"}]"#, &["what?"]),
            (r#"[{"type":"text","text":null},{"type":"text"},{"type":"text","text":5}]"#, &[]),
            ("[]", &[]),
            ("null", &[]),
            (r#"[1,"x"]"#, &[]),
        ];
        for (content, want) in table {
            assert_eq!(text_pieces(content), want, "{content}");
        }
    }

    #[test]
    fn blank_text() {
        for blank in ["", "  ", r"\n", r" \t\r\n ", "\u{a0}\u{3000}", r"\u0020\f"] {
            assert!(is_blank(blank), "{blank:?}");
        }
        for text in [".", r"\n.", r"\\n", r"\u4e2d", "n"] {
            assert!(!is_blank(text), "{text:?}");
        }
    }
}
