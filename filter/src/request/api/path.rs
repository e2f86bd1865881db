//! Models that are named in the path: where the name stands, and how it is spelled there.

use super::Api;
use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

/// The path without its query string, and without the slash at its end that servers take or leave.
pub(super) fn bare(path: &str) -> &str {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.strip_suffix('/').unwrap_or(path)
}

/// Where the model's name stands in the [`bare`] path of an API that has it there.
pub(super) fn model_segment(api: Api, path: &str) -> Option<Range<usize>> {
    let (front, last) = path.rsplit_once('/')?;
    let (mark, name) = match api {
        Api::Gemini => ("/models/", before_method(last, ["generateContent", "streamGenerateContent"])?),
        // Vertex AI takes the bodies of other vendors as they are; a count of tokens is made under the name of a model.
        Api::AnthropicMessages => {
            let name = before_method(last, RAW).filter(|name| *name != "count-tokens")?;
            ("/publishers/anthropic/models/", name)
        }
        Api::OpenAiChat => ("/publishers/mistralai/models/", before_method(last, RAW)?),
        Api::BedrockConverse => {
            ["converse", "converse-stream"].contains(&last).then_some(())?;
            ("/model/", front.rsplit_once('/')?.1)
        }
        Api::BedrockInvoke => {
            ["invoke", "invoke-with-response-stream"].contains(&last).then_some(())?;
            ("/model/", front.rsplit_once('/')?.1)
        }
        Api::OpenAiCompletions | Api::OpenAiResponses => return None,
    };
    // `name` is a slice of `path`, so that the distance of the two pointers is its place.
    let start = (name.as_ptr() as usize).checked_sub(path.as_ptr() as usize)?;
    (!name.is_empty() && path.get(..start)?.ends_with(mark)).then_some(start..start + name.len())
}

const RAW: [&str; 2] = ["rawPredict", "streamRawPredict"];

/// What stands before one of these methods and its colon, which some clients escape.
fn before_method<'a>(segment: &'a str, methods: [&str; 2]) -> Option<&'a str> {
    let name = methods.iter().find_map(|method| segment.strip_suffix(method))?;
    [":", "%3A", "%3a"].iter().find_map(|colon| name.strip_suffix(colon))
}

/// A path segment's text; one that is not percent-encoded UTF-8 is taken as it stands.
pub(super) fn decode_segment(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| std::str::from_utf8(after.get(..2)?).ok()).flatten();
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(segment), Cow::Owned)
}

/// Spells a name as one path segment: every byte but the unreserved ones (RFC 3986, section 2.3) is percent-encoded, as
/// Bedrock's and Google's own clients do with the colons and slashes of model ids. An `@`, which parts name and version on Vertex
/// AI, stays, as a segment may have it and Anthropic's clients send it.
#[must_use]
pub fn encode_segment(name: &str) -> String {
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            // Writing into a string does not fail.
            let _ = write!(segment, "%{byte:02X}");
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn models_in_paths() {
        let table = [
            (Api::Gemini, "/v1beta/models/gemini-2.5-flash:generateContent", Some("gemini-2.5-flash")),
            (Api::Gemini, "/v1beta/models/auto:streamGenerateContent?alt=sse", Some("auto")),
            (Api::Gemini, "/v1/projects/p/locations/l/publishers/google/models/auto:generateContent", Some("auto")),
            (Api::Gemini, "/v1beta/models/auto:generateContent/?alt=sse", Some("auto")),
            (Api::Gemini, "/v1beta/models/auto:countTokens", None),
            (Api::Gemini, "/v1beta/models/auto%3AgenerateContent", Some("auto")),
            (Api::Gemini, "/v1beta/models/a%3ab%3astreamGenerateContent?alt=sse", Some("a:b")),
            (Api::Gemini, "/v1beta/models/%3AgenerateContent", None),
            (Api::Gemini, "/v1beta/models/autogenerateContent", None),
            (Api::Gemini, "/v1/projects/p/locations/l/publishers/anthropic/models/auto:rawPredict", None),
            (
                Api::AnthropicMessages,
                "/v1/projects/p/locations/l/publishers/anthropic/models/auto:rawPredict",
                Some("auto"),
            ),
            (
                Api::AnthropicMessages,
                "/v1/projects/p/locations/l/publishers/anthropic/models/claude-opus-4@20250514:streamRawPredict?x=y",
                Some("claude-opus-4@20250514"),
            ),
            (Api::AnthropicMessages, "/publishers/anthropic/models/auto%3ArawPredict", Some("auto")),
            (Api::AnthropicMessages, "/v1/publishers/anthropic/models/count-tokens:rawPredict", None),
            (Api::AnthropicMessages, "/v1/publishers/mistralai/models/auto:rawPredict", None),
            (Api::AnthropicMessages, "/v1/messages", None),
            (
                Api::OpenAiChat,
                "/v1/projects/p/locations/l/publishers/mistralai/models/auto:streamRawPredict",
                Some("auto"),
            ),
            (Api::OpenAiChat, "/v1/publishers/anthropic/models/auto:rawPredict", None),
            (Api::Gemini, "/v1beta/models/:generateContent", None),
            (Api::Gemini, "/v1beta/tuned/auto:generateContent", None),
            (Api::BedrockConverse, "/model/anthropic.claude-v2%3A1/converse", Some("anthropic.claude-v2:1")),
            (Api::BedrockConverse, "/model/anthropic.claude-v2:1/converse-stream", Some("anthropic.claude-v2:1")),
            (Api::BedrockConverse, "/prefix/model/arn%3Aaws%2Fx/converse", Some("arn:aws/x")),
            (Api::BedrockConverse, "/model/auto/converse/", Some("auto")),
            (Api::BedrockConverse, "/model/converse", None),
            (Api::BedrockConverse, "/model//converse", None),
            (Api::BedrockConverse, "/models/x/converse", None),
            (Api::BedrockInvoke, "/model/auto/invoke", Some("auto")),
            (Api::BedrockInvoke, "/model/auto/invoke-with-response-stream", Some("auto")),
            (Api::BedrockInvoke, "/model/auto/converse", None),
            (Api::OpenAiChat, "/model/auto/chat/completions", None),
        ];
        for (api, path, want) in table {
            let model = api.model_in_path(path);
            assert_eq!(model.as_ref().map(|model| model.name.as_ref()), want, "{path}");
        }
    }

    #[test]
    fn versions_stand_in_the_path_as_clients_send_them() {
        assert_eq!(encode_segment("claude-opus-4@20250514"), "claude-opus-4@20250514");
        assert_eq!(encode_segment("vendor/model-v1:0"), "vendor%2Fmodel-v1%3A0");
    }

    #[test]
    fn odd_escapes_are_taken_as_they_stand() {
        for odd in ["100%", "%zz", "%f", "%ff%fe"] {
            assert_eq!(decode_segment(odd), odd);
        }
    }

    proptest! {
        #[test]
        fn encoding_comes_back(name in "\\PC{1,24}") {
            let segment = encode_segment(&name);
            prop_assert!(!segment.contains(['/', '?', '#', ':', ' ']));
            prop_assert_eq!(decode_segment(&segment), name);
        }

        #[test]
        fn any_path_causes_no_panic(path in "[a-z/:%?#.0-9]{0,40}") {
            for &api in Api::ALL {
                if let Some(ModelName { place: Place::Path(span), .. }) = api.model_in_path(&path) {
                    prop_assert!(path.get(span).is_some());
                }
            }
        }
    }

    use crate::request::api::{ModelName, Place};
}
