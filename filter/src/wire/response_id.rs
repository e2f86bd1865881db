//! Finds the id under which an upstream stores a response: the next request of the conversation names it, and must go there.

use crate::request::api::JsonString;
use serde::de::IgnoredAny;
use std::borrow::Cow;

/// What has been seen of an answer so far. The id stands at its very beginning, in a whole answer
/// (`{"id":"resp_…"`) and in the first event of a streamed one (`data: {"type":"response.created","response":{"id":"resp_…"`).
#[derive(Debug, Default)]
pub struct ResponseId {
    seen: Vec<u8>,
}

impl ResponseId {
    /// How far into the answer the id is looked for, in bytes.
    pub const WINDOW: usize = 4096;

    /// Looks at the next piece. `None`: not there yet; `Some(None)`: it is not where it should be, and no more pieces need be
    /// shown.
    pub fn look_at(&mut self, piece: &[u8]) -> Option<Option<String>> {
        let room = Self::WINDOW.saturating_sub(self.seen.len());
        self.seen.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
        match find(&self.seen) {
            Some(id) => Some(Some(id)),
            None if self.seen.len() >= Self::WINDOW => Some(None),
            None => None,
        }
    }
}

/// The id: a member of the whole answer or, in a stream, of the object that its first event holds. What stands deeper has ids
/// of its own, and servers differ in what theirs look like.
fn find(seen: &[u8]) -> Option<String> {
    let start = seen.iter().position(|&byte| byte == b'{')?;
    let wanted = if seen.get(..start)?.trim_ascii().is_empty() { 1 } else { 2 };
    let (mut depth, mut at) = (0_usize, start);
    loop {
        match seen.get(at)? {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let name = string(seen.get(at..)?)?;
                at += name.contents().len() + 2;
                let value = seen.get(at..)?.trim_ascii_start().strip_prefix(b":");
                if let (true, Some(value)) = (depth == wanted && name.is("id"), value) {
                    return string(value.trim_ascii_start())?.decode().map(Cow::into_owned);
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
}

/// The string that stands first; `None` where that is something else, or cut short.
fn string(json: &[u8]) -> Option<JsonString<'_>> {
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    JsonString::new(json.get(..values.byte_offset())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_and_streamed_answers() {
        let answers = [
            r#"{"id":"resp_1","object":"response","output":[{"id":"msg_1"}]}"#,
            "{\n  \"id\" : \"resp_1\",\n",
            "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"object\"",
            r#"{"object":"response","usage":{"id":5},"id":"resp_1"}"#,
            // Ids of other things before it, and a text that looks like one.
            r#"{"output":[{"id":"rs_1","summary":["id"]}],"text":"\"id\":\"x\"","id":"resp_1"}"#,
            ": hello\n\ndata: {\"response\":{\"output\":[{\"id\":\"x\"}],\"tools\":{\"id\":\"y\"},\"id\":\"resp_1\"}}",
        ];
        for answer in answers {
            assert_eq!(ResponseId::default().look_at(answer.as_bytes()), Some(Some("resp_1".to_owned())), "{answer}");
            // In pieces of any size it is found all the same.
            let mut id = ResponseId::default();
            let found = answer.as_bytes().chunks(1).find_map(|piece| id.look_at(piece));
            assert_eq!(found, Some(Some("resp_1".to_owned())), "{answer}");
        }
    }

    /// Only OpenAI's own begin with `resp`.
    #[test]
    fn any_id_is_taken() {
        for id in ["resp_1", "f0b1ad56-63e6-86c6", "gen-1", "é\"\n"] {
            let answer = serde_json::json!({"id": id, "object": "response"}).to_string();
            assert_eq!(ResponseId::default().look_at(answer.as_bytes()), Some(Some(id.to_owned())));
        }
    }

    #[test]
    fn an_answer_without_an_id_is_let_go() {
        let mut id = ResponseId::default();
        assert_eq!(id.look_at(br#"{"error":{"id":"x"},"id":null,"output":[{"id":"msg_1"}]}"#), None);
        assert_eq!(id.look_at(&[b'x'; 10_000]), Some(None));
        assert_eq!(ResponseId::default().look_at(b"\x1f\x8b\xff\xff"), None);
        assert_eq!(ResponseId::default().look_at(&[0xff; 5000]), Some(None));
    }
}
