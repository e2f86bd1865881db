//! OpenAI chat completions, and every server that speaks it: `{"model", "messages": [{"role", "content"}], …}`.

use super::{ModelName, Prompt, Unparsable, text};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Reads a chat completion request. The query is the text of the last message whose role is `user`.
pub(super) fn parse(body: &[u8]) -> Result<Prompt<'_>, Unparsable> {
    let request: Request<'_> = serde_json::from_slice(body).map_err(|_| Unparsable)?;
    let messages = request.messages.ok_or(Unparsable)?;
    let model = match request.model {
        Some(value) if value.get() != "null" => Some(ModelName::locate(body, value).ok_or(Unparsable)?),
        _ => None,
    };
    let mut query = messages.last_user.map(text::text_pieces).unwrap_or_default();
    query.retain(|piece| !text::is_blank(piece));
    Ok(Prompt { model, query, contents: messages.contents, max_output_tokens: request.max_output_tokens })
}

/// The members of the request that matter, as slices of the body.
#[derive(Default)]
struct Request<'a> {
    model: Option<&'a RawValue>,
    messages: Option<Messages<'a>>,
    max_output_tokens: u64,
}

#[derive(Default)]
struct Messages<'a> {
    contents: Vec<&'a str>,
    last_user: Option<&'a str>,
}

struct Message<'a> {
    from_user: bool,
    content: &'a str,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum RequestKey {
    Model,
    Messages,
    MaxTokens,
    MaxCompletionTokens,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum MessageKey {
    Role,
    Content,
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    User,
    #[serde(other)]
    Other,
}

// The visitors are written out because a derived struct would also accept an array, and because a member that appears
// twice must be refused: servers differ in which of the two they take, and so the one rewritten might not be the one read.

impl<'de> Deserialize<'de> for Request<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Request<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a chat completion request")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut request = Request::default();
                while let Some(key) = map.next_key()? {
                    match key {
                        RequestKey::Model if request.model.is_some() => return Err(A::Error::duplicate_field("model")),
                        RequestKey::Model => request.model = Some(map.next_value()?),
                        RequestKey::Messages if request.messages.is_some() => {
                            return Err(A::Error::duplicate_field("messages"));
                        }
                        RequestKey::Messages => request.messages = Some(map.next_value()?),
                        RequestKey::MaxTokens | RequestKey::MaxCompletionTokens => {
                            let limit: &RawValue = map.next_value()?;
                            let limit = limit.get().parse().unwrap_or(0);
                            request.max_output_tokens = request.max_output_tokens.max(limit);
                        }
                        RequestKey::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(request)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'de> Deserialize<'de> for Messages<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Messages<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of messages")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut messages = Messages::default();
                while let Some(message) = seq.next_element::<Message<'de>>()? {
                    messages.contents.push(message.content);
                    if message.from_user {
                        messages.last_user = Some(message.content);
                    }
                }
                Ok(messages)
            }
        }
        deserializer.deserialize_seq(Array)
    }
}

impl<'de> Deserialize<'de> for Message<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Message<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut message = Message { from_user: false, content: "null" };
                while let Some(key) = map.next_key()? {
                    match key {
                        MessageKey::Role => message.from_user = matches!(map.next_value()?, Role::User),
                        MessageKey::Content => message.content = map.next_value::<&RawValue>()?.get(),
                        MessageKey::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(message)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(body: &str) -> Option<String> {
        let prompt = parse(body.as_bytes()).ok()?;
        Some(prompt.query.join("|"))
    }

    #[test]
    fn the_query_is_the_last_user_message() {
        let table = [
            (r#"{"messages":[{"role":"user","content":"hi"}]}"#, "hi"),
            (r#"{"messages":[{"content":"hi","role":"user"}],"model":"m"}"#, "hi"),
            (
                r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}"#,
                "c",
            ),
            (r#"{"messages":[{"role":"user","content":"a"},{"role":"tool","content":"b"}]}"#, "a"),
            (r#"{"messages":[{"role":"system","content":"s"},{"role":"developer","content":"d"}]}"#, ""),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{}},{"type":"text","text":"b"}]}]}"#,
                "a|b",
            ),
            (r#"{"messages":[{"role":"user","content":" \n\t"}]}"#, ""),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"text","text":" "},{"type":"text","text":"b"}]}]}"#,
                "b",
            ),
            (r#"{"messages":[{"role":"user","content":null}]}"#, ""),
            (r#"{"messages":[{"role":"user"}]}"#, ""),
            (r#"{"messages":[{"role":"us\u0065r","content":"\ud83d\ude00"}]}"#, r"\ud83d\ude00"),
            (r#"{"messages":[]}"#, ""),
            (
                "\n{\"stream\" : true , \"messages\" : [ {\"role\" : \"user\" , \"content\" : \"中文 😀\"} ] }\r\n",
                "中文 😀",
            ),
        ];
        for (body, want) in table {
            assert_eq!(query(body).as_deref(), Some(want), "{body}");
        }
    }

    #[test]
    fn what_is_no_request_is_unparsable() {
        let table = [
            "",
            " ",
            "null",
            "[]",
            "5",
            "\"x\"",
            "{",
            "{}",
            r#"{"model":"m"}"#,
            r#"{"messages":"hi"}"#,
            r#"{"messages":["hi"]}"#,
            r#"{"messages":[{"role":"user","content":"hi"}]"#,
            r#"{"messages":[{"role":"user","content":"hi"}]} x"#,
            r#"{"messages":[],"model":5}"#,
            r#"{"messages":[],"model":["m"]}"#,
            r#"{"messages":[],"messages":[]}"#,
            r#"{"messages":[],"model":"a","model":"b"}"#,
            r#"{"messages":[{"role":5}]}"#,
            "{\"messages\":[],}",
            "{\"messages\":[{\"role\":\"user\",\"content\":\"line\nfeed\"}]}",
            r#"["m",[{"role":"user","content":"hi"}]]"#,
        ];
        for body in table {
            assert_eq!(parse(body.as_bytes()), Err(Unparsable), "{body}");
        }
        assert_eq!(parse(b"{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}"), Err(Unparsable));
        assert_eq!(parse(b"\x1f\x8b\x08\x00"), Err(Unparsable));
    }

    #[test]
    fn the_model_and_its_place() {
        let body = r#"{"metadata":{"model":"no"},"model" : "a\u0075to","messages":[]}"#;
        let model = parse(body.as_bytes()).unwrap().model.unwrap();
        assert_eq!(model.name, "auto");
        assert_eq!(&body[model.span], r#""a\u0075to""#);
        assert_eq!(parse(br#"{"messages":[],"model":null}"#).unwrap().model, None);
        assert_eq!(parse(br#"{"messages":[]}"#).unwrap().model, None);
    }

    #[test]
    fn output_limits_are_read_from_either_name() {
        let limit = |body: &str| parse(body.as_bytes()).unwrap().max_output_tokens;
        assert_eq!(limit(r#"{"messages":[]}"#), 0);
        assert_eq!(limit(r#"{"messages":[],"max_tokens":100}"#), 100);
        assert_eq!(limit(r#"{"messages":[],"max_completion_tokens":7,"max_tokens":null}"#), 7);
        assert_eq!(limit(r#"{"messages":[],"max_tokens":-1}"#), 0);
    }

    #[test]
    fn nesting_bombs_are_refused_without_recursion() {
        let deep = "[".repeat(200_000);
        assert_eq!(parse(format!(r#"{{"messages":{deep}"#).as_bytes()), Err(Unparsable));
        assert_eq!(parse(format!(r#"{{"x":{deep}"#).as_bytes()), Err(Unparsable));
        let closed = format!(r#"{{"messages":[{{"role":"user","content":{deep}{}}}]}}"#, "]".repeat(200_000));
        let _ = parse(closed.as_bytes());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_calmly(body in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse(&body);
        }

        /// Whatever text a client writes, the pieces that go to the scorer spell the same text once decoded.
        #[test]
        fn the_query_spells_the_text(text in "\\PC{0,64}[a-z]", ascii in any::<bool>()) {
            let mut literal = serde_json::to_string(&text).unwrap();
            if ascii {
                literal = literal.chars().map(|c| if c.is_ascii() { c.to_string() } else {
                    c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect()
                }).collect();
            }
            let body = format!(r#"{{"messages":[{{"role":"user","content":{literal}}}]}}"#);
            let prompt = parse(body.as_bytes()).unwrap();
            let sent: serde_json::Value = serde_json::from_slice(&crate::score::request_body("r", &prompt.query)).unwrap();
            prop_assert_eq!(sent["query"].as_str().unwrap(), text);
        }
    }
}
