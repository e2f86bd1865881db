//! Finds the id under which an upstream stores a response: the next request of the conversation names it, and must go there.

use serde_json::StreamDeserializer;
use serde_json::de::StrRead;

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

/// The first string under the name `id` that looks like a response's.
fn find(seen: &[u8]) -> Option<String> {
    // The window may end within a character.
    let text = match std::str::from_utf8(seen) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(seen.get(..error.valid_up_to())?).ok()?,
    };
    text.match_indices("\"id\"").find_map(|(at, name)| {
        let value = text.get(at + name.len()..)?.trim_start().strip_prefix(':')?;
        let mut values: StreamDeserializer<'_, StrRead<'_>, String> =
            serde_json::Deserializer::from_str(value).into_iter();
        values.next()?.ok().filter(|id| id.starts_with("resp"))
    })
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
        ];
        for answer in answers {
            assert_eq!(ResponseId::default().look_at(answer.as_bytes()), Some(Some("resp_1".to_owned())), "{answer}");
            // In pieces of any size it is found all the same.
            let mut id = ResponseId::default();
            let found = answer.as_bytes().chunks(1).find_map(|piece| id.look_at(piece));
            assert_eq!(found, Some(Some("resp_1".to_owned())), "{answer}");
        }
    }

    #[test]
    fn an_answer_without_an_id_is_let_go() {
        let mut id = ResponseId::default();
        assert_eq!(id.look_at(br#"{"id":"msg_1","error":{"#), None);
        assert_eq!(id.look_at(&[b'x'; 10_000]), Some(None));
        assert_eq!(ResponseId::default().look_at(b"\x1f\x8b\xff\xff"), None);
        assert_eq!(ResponseId::default().look_at(&[0xff; 5000]), Some(None));
    }
}
