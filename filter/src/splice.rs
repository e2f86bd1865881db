//! Replaces the model's name in a request body and leaves every other byte as the client sent it.

use std::ops::Range;

/// Puts `model`, as a JSON string, in place of `span` of `body`. `None` when nothing needs to change (the same bytes
/// stand there already) or the span does not lie within the body.
#[must_use]
pub fn replace_model(body: &[u8], span: &Range<usize>, model: &str) -> Option<Vec<u8>> {
    let literal = serde_json::to_vec(model).ok()?;
    let (before, old, after) = (body.get(..span.start)?, body.get(span.clone())?, body.get(span.end..)?);
    if old == literal {
        return None;
    }
    let mut spliced = Vec::with_capacity(before.len() + literal.len() + after.len());
    spliced.extend_from_slice(before);
    spliced.extend_from_slice(&literal);
    spliced.extend_from_slice(after);
    Some(spliced)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Api;
    use proptest::prelude::*;

    #[test]
    fn only_the_name_changes() {
        let body = br#"{ "temperature":1.0e0,"model" : "auto" , "x":{"model":"auto"}}"#;
        let got = replace_model(body, &(32..38), "llama \"3\"").unwrap();
        let want = br#"{ "temperature":1.0e0,"model" : "llama \"3\"" , "x":{"model":"auto"}}"#;
        assert_eq!(String::from_utf8(got).unwrap(), String::from_utf8(want.to_vec()).unwrap());
    }

    #[test]
    fn nothing_to_do_and_bad_spans_give_none() {
        assert_eq!(replace_model(br#"{"model":"a"}"#, &(9..12), "a"), None);
        assert_eq!(replace_model(b"{}", &(1..9), "a"), None);
        #[expect(clippy::reversed_empty_ranges, reason = "a wrong span must be harmless")]
        let reversed = 2..1;
        assert_eq!(replace_model(b"{}", &reversed, "a"), None);
    }

    /// JSON text of a value in an unusual but legal spelling: spaces, escapes, number forms.
    fn json_value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("-0.10e+5".to_owned()),
            Just("123456789012345678901234567890".to_owned()),
            "[a-z \u{e9}\u{4e2d}\u{1f600}]{0,8}".prop_map(|s| format!("\"{s}\"")),
            Just(r#""\u006d\"odel\\""#.to_owned()),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|v| format!("[ {} ]", v.join(" ,"))),
                prop::collection::vec(("[a-z]{1,6}", inner), 0..4).prop_map(|v| {
                    let members: Vec<_> = v.iter().map(|(k, v)| format!("\"{k}\"\t:{v}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        /// Whatever surrounds the model's name, the bytes before and after it come out as they went in, and a JSON
        /// reader finds the new name and everything else unchanged.
        #[test]
        fn all_other_bytes_are_equal(
            before in prop::collection::vec(("x_[a-z]{1,6}", json_value()), 0..4),
            after in prop::collection::vec(("y_[a-z]{1,6}", json_value()), 0..4),
            old in "[ -~]{0,12}",
            new in "\\PC{1,16}",
            space in "[ \n\t\r]{0,3}",
        ) {
            let members = |v: &[(String, String)]| v.iter().map(|(k, v)| format!("{space}\"{k}\":{v},")).collect::<String>();
            let head = format!("{space}{{{}\"model\"{space}:{space}", members(&before));
            let tail = format!("{space},{}\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}{space}", members(&after));
            let old = serde_json::to_string(&old).unwrap();
            let body = format!("{head}{old}{tail}");

            let prompt = Api::OpenAiChat.parse(body.as_bytes()).unwrap();
            let span = prompt.model.unwrap().span;
            prop_assert_eq!(&body[span.clone()], old.as_str());
            let new_literal = serde_json::to_string(&new).unwrap();
            let want = format!("{head}{new_literal}{tail}");
            match replace_model(body.as_bytes(), &span, &new) {
                Some(got) => prop_assert_eq!(String::from_utf8(got).unwrap(), want),
                None => prop_assert_eq!(old, new_literal),
            }
        }
    }
}
