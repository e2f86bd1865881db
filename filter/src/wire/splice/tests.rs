//! Splicing by itself; `api::tests` splices every API's requests.

use super::*;

#[test]
fn only_the_name_changes() {
    let body = br#"{ "temperature":1.0e0,"model" : "auto" , "x":{"model":"auto"}}"#;
    let got = replace_in_body(&body[..38], &(32..38), "llama \"3\"").unwrap();
    assert_eq!(String::from_utf8(got).unwrap(), r#"{ "temperature":1.0e0,"model" : "llama \"3\"""#);
    let got = replace_in_path("/v1/models/auto:generateContent?alt=sse", &(11..15), "a/b:c d").unwrap();
    assert_eq!(got, "/v1/models/a%2Fb%3Ac%20d:generateContent?alt=sse");
}

#[test]
fn nothing_to_do_and_bad_spans_give_none() {
    assert_eq!(replace_in_body(br#"{"model":"a"}"#, &(9..12), "a"), None);
    assert_eq!(replace_in_body(b"{}", &(1..9), "a"), None);
    assert_eq!(replace_in_path("/m/a", &(3..4), "a"), None);
    assert_eq!(replace_in_path("/m/ä", &(4..5), "a"), None);
    #[expect(clippy::reversed_empty_ranges, reason = "a wrong span must be harmless")]
    let reversed = 2..1;
    assert_eq!(replace_in_body(b"{}", &reversed, "a"), None);
    assert_eq!(replace_in_path("/m", &reversed, "a"), None);
}
