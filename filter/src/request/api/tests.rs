//! The fixtures: requests in each API's own shape, and what is read from them.

use super::*;
use crate::request::query::QueryPolicy;
use crate::wire::splice;
use proptest::prelude::*;
use std::fmt::Write;
use std::path::Path;

mod settings;

/// The APIs, the folders of their fixtures, and a path of such requests.
const FOLDERS: [(Api, &str, &str); 9] = [
    (Api::OpenAiChat, "openai_chat", "/v1/chat/completions"),
    (Api::OpenAiChat, "vertex_mistral", "/v1/projects/p/locations/l/publishers/mistralai/models/auto:streamRawPredict"),
    (Api::OpenAiCompletions, "openai_completions", "/v1/completions"),
    (Api::OpenAiResponses, "openai_responses", "/v1/responses"),
    (Api::AnthropicMessages, "anthropic_messages", "/v1/messages"),
    (
        Api::AnthropicMessages,
        "vertex_anthropic",
        "/v1/projects/p/locations/l/publishers/anthropic/models/auto:streamRawPredict",
    ),
    (Api::Gemini, "gemini", "/v1beta/models/auto:generateContent"),
    (Api::BedrockConverse, "bedrock_converse", "/model/auto/converse"),
    (Api::BedrockInvoke, "bedrock_invoke", "/model/auto/invoke"),
];

/// Every fixture of a folder, by name.
fn fixtures(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
        })
        .collect();
    found.sort();
    found
}

/// What a request needs of a model, by name.
fn needs(request: &Request<'_>) -> Vec<&'static str> {
    let needs = request.needs;
    let all = [
        ("vision", needs.vision),
        ("audio", needs.audio),
        ("files", needs.files),
        ("tools", needs.tools),
        ("hosted tools", needs.hosted_tools),
        ("json_schema", needs.json_schema),
        ("thinking", needs.thinking),
        ("prefill", needs.prefill),
        ("unknown parts", needs.unknown),
    ];
    all.into_iter().filter_map(|(name, set)| set.then_some(name)).collect()
}

/// What is read from a request, in a line or two.
fn digest(request: &Request<'_>) -> String {
    let query = QueryPolicy::default().query(request).unwrap();
    let mut line = format!("query {:?}", query.text);
    if query.has_media {
        line += "; media in it";
    }
    for need in needs(request) {
        write!(line, "; {need}").unwrap();
    }
    let flags = [
        ("ends in a tool result", QueryPolicy::default().in_tool_loop(request, None).unwrap()),
        ("carries reasoning", request.carries_reasoning),
        ("may be continued", request.may_be_continued()),
    ];
    for (name, _) in flags.iter().filter(|(_, set)| *set) {
        write!(line, "; {name}").unwrap();
    }
    let system: Vec<_> = request.system.iter().map(|text| text.decode().unwrap()).collect();
    let ids = [("stored", request.ids.stored), ("cache key", request.ids.cache_key), ("user", request.ids.user)];
    if !system.is_empty() {
        write!(line, "\n    system {system:?}").unwrap();
    }
    for (name, id) in ids.iter().filter_map(|(name, id)| Some((name, id.as_ref()?))) {
        write!(line, "\n    {name} {:?}", id.decode().unwrap()).unwrap();
    }
    let text: usize = request.texts.iter().map(|text| text.len()).sum();
    write!(line, "\n    {text} bytes of text, {} media, answer {}", request.media, request.max_output_tokens).unwrap();
    line
}

#[test]
fn every_fixture_is_read() {
    assert!(Api::ALL.iter().all(|api| FOLDERS.iter().any(|(with, ..)| with == api)));
    for (api, name, path) in FOLDERS {
        let mut report = String::new();
        for (fixture, body) in fixtures(name) {
            let request = api.read(path, &body).unwrap_or_else(|Unparsable| panic!("{name}/{fixture}"));
            assert_eq!(request.model.as_ref().unwrap().name, "auto", "{name}/{fixture}");
            writeln!(report, "{fixture}: {}", digest(&request)).unwrap();
        }
        insta::assert_snapshot!(name, report);
    }
}

#[test]
fn apis_are_recognised_by_method_and_path() {
    let table: [(&str, &str, Option<Api>); 38] = [
        ("POST", "/v1/chat/completions", Some(Api::OpenAiChat)),
        ("POST", "/v1/chat/completions?api-version=1", Some(Api::OpenAiChat)),
        ("POST", "/openai/deployments/x/chat/completions", Some(Api::OpenAiChat)),
        ("POST", "/chat/completions", Some(Api::OpenAiChat)),
        ("GET", "/v1/chat/completions", None),
        ("POST", "/v1/chat/completions/abc", None),
        ("POST", "/v1/embeddings?x=/chat/completions", None),
        ("POST", "/v1/chat/completions/", Some(Api::OpenAiChat)),
        ("POST", "/v1/chat/completions/?api-version=1", Some(Api::OpenAiChat)),
        ("POST", "/v1/chat/completions//", None),
        ("POST", "/v1/xchat/completions", Some(Api::OpenAiCompletions)),
        ("GET", "/v1/models", None),
        ("POST", "/v1/completions", Some(Api::OpenAiCompletions)),
        ("POST", "/v1/completions#x", Some(Api::OpenAiCompletions)),
        ("POST", "/v1/responses", Some(Api::OpenAiResponses)),
        ("POST", "/v1/responses/", Some(Api::OpenAiResponses)),
        ("GET", "/v1/responses/resp_1", None),
        ("POST", "/v1/responses/resp_1/cancel", None),
        ("POST", "/v1/messages", Some(Api::AnthropicMessages)),
        ("POST", "/anthropic/v1/messages?beta=true", Some(Api::AnthropicMessages)),
        ("POST", "/v1/messages/?beta=true", Some(Api::AnthropicMessages)),
        ("POST", "/v1/messages/count_tokens", None),
        ("POST", "/v1/messages/batches", None),
        ("POST", "/v1/threads/thread_1/messages", None),
        ("POST", "/v1beta/models/gemini-2.5-pro:generateContent", Some(Api::Gemini)),
        ("POST", "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", Some(Api::Gemini)),
        ("POST", "/v1beta/models/gemini-2.5-pro:countTokens", None),
        ("POST", "/v1beta/models/gemini-2.5-pro%3AgenerateContent", Some(Api::Gemini)),
        ("POST", "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict", Some(Api::AnthropicMessages)),
        ("POST", "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict", None),
        ("POST", "/v1/projects/p/locations/l/publishers/mistralai/models/m:rawPredict", Some(Api::OpenAiChat)),
        ("POST", "/v1/projects/p/locations/l/publishers/other/models/m:rawPredict", None),
        ("POST", "/v1/projects/p/locations/l/endpoints/1:rawPredict", None),
        ("POST", "/model/amazon.nova-lite-v1%3A0/converse", Some(Api::BedrockConverse)),
        ("POST", "/model/amazon.nova-lite-v1%3A0/converse-stream", Some(Api::BedrockConverse)),
        ("POST", "/model/m/invoke-with-response-stream", Some(Api::BedrockInvoke)),
        ("POST", "/model/m/invoke", Some(Api::BedrockInvoke)),
        ("POST", "/model/m/count-tokens", None),
    ];
    for (method, path, want) in table {
        assert_eq!(Api::recognise(method.as_bytes(), path.as_bytes()), want, "{method} {path}");
    }
    assert_eq!(Api::recognise(b"POST", b"/\xff/chat/completions"), None);
}

#[test]
fn what_is_no_request_is_unparsable() {
    let bodies = [
        "",
        " ",
        "null",
        "[]",
        "5",
        "\"x\"",
        "{",
        "{}",
        r#"{"model":"m"}"#,
        "\u{feff}{}",
        "[[[[",
        r#"{"messages":[[]]}"#,
        r#"{"messages":"hi"}"#,
        r#"{"messages":["hi"]}"#,
        r#"{"messages":[{"role":5}]}"#,
        r#"{"messages":[],}"#,
        r#"{"prompt":{"a":1}}"#,
        r#"{"prompt":[{"a":1}]}"#,
        r#"{"input":5}"#,
        r#"{"input":["x"]}"#,
        r#"{"contents":5}"#,
        r#"{"contents":["x"]}"#,
        r#"{"inputText":5}"#,
    ];
    for (api, name, path) in FOLDERS {
        for body in bodies {
            // Bodies of one API may be fine in another.
            if api == Api::OpenAiCompletions && body.contains("prompt") && !body.contains('[') {
                continue;
            }
            if api == Api::OpenAiResponses && body == r#"{"prompt":{"a":1}}"# {
                continue;
            }
            assert_eq!(api.read(path, body.as_bytes()), Err(Unparsable), "{api:?} {body}");
        }
        for (fixture, body) in fixtures(name) {
            let cut = &body[..body.len() - 3];
            assert_eq!(api.read(path, cut), Err(Unparsable), "{api:?} {fixture}");
            assert_eq!(api.read(path, &[&body[..], b"x"].concat()), Err(Unparsable), "{api:?} {fixture}");
        }
    }
}

#[test]
fn members_that_matter_may_stand_only_once() {
    for (api, name, path) in FOLDERS {
        for (fixture, body) in fixtures(name) {
            let text = std::str::from_utf8(&body).unwrap().trim();
            for member in ["model", "messages", "input", "contents", "inputText"] {
                let value: serde_json::Value = serde_json::from_str(text).unwrap();
                let (Some(value), Some(front)) = (value.get(member), text.strip_suffix('}')) else { continue };
                // Spelled in another way it is still the same name.
                let spelled = format!("\\u{:04x}{}", member.as_bytes()[0], &member[1..]);
                let twice = format!("{front},\"{spelled}\":{value}}}");
                assert_eq!(api.read(path, twice.as_bytes()), Err(Unparsable), "{fixture} {member}");
            }
        }
    }
}

#[test]
fn answers_that_are_stored() {
    let read = |body: &str| Api::OpenAiResponses.read("", body.as_bytes()).unwrap().is_stored;
    assert!(
        read(r#"{"input":"hi"}"#) && read(r#"{"input":"hi","store":null}"#) && read(r#"{"store":true,"input":""}"#)
    );
    assert!(!read(r#"{"input":"hi","store":false}"#));
    let thread = |thread: &str| {
        let body = format!(r#"{{"messages":[],"thread":{thread}}}"#);
        Api::AnthropicMessages.read("", body.as_bytes()).unwrap().is_stored
    };
    assert!(thread(r#"{"type":"create"}"#) && thread(r#"{"type":"continue","previous_message_id":"msg_1"}"#));
    assert!(!thread("null") && !Api::AnthropicMessages.read("", br#"{"messages":[]}"#).unwrap().is_stored);
    assert!(!Api::OpenAiChat.read("", br#"{"messages":[],"store":true}"#).unwrap().is_stored);
}

#[test]
fn output_limits() {
    let limit = |body: &str| Api::OpenAiChat.read("", body.as_bytes()).unwrap().max_output_tokens;
    assert_eq!(limit(r#"{"messages":[]}"#), 0);
    assert_eq!(limit(r#"{"messages":[],"max_tokens":100}"#), 100);
    assert_eq!(limit(r#"{"messages":[],"max_completion_tokens":7,"max_tokens":null}"#), 7);
    assert_eq!(limit(r#"{"messages":[],"max_tokens":-1}"#), 0);
    assert_eq!(limit(r#"{"messages":[],"max_tokens":64000.0}"#), 64_000);
    assert_eq!(limit(r#"{"messages":[],"max_tokens":"64000"}"#), 64_000);
}

/// A turn takes many times the memory of the few bytes that an empty one is written in.
#[test]
fn empty_turns_are_not_kept() {
    let empty = vec!["{}"; 100_000].join(",");
    let request =
        Api::Gemini.read("", format!(r#"{{"contents":[{empty}]}}"#).as_bytes()).map(|request| request.users.len());
    assert_eq!(request, Ok(0));
    let results =
        r#"{"contents":[{"parts":[{"functionResponse":{}}]},{"parts":[{"text":"hi"}]},{"parts":[{"inlineData":{}}]}]}"#;
    assert_eq!(Api::Gemini.read("", results.as_bytes()).unwrap().users.len(), 2);
}

/// Puts `inner` where a value stands in a fixture, for every value of it.
fn with_values_replaced(body: &str, inner: &str) -> Vec<String> {
    let starts = body.match_indices(": ").map(|(at, mark)| at + mark.len());
    starts
        .filter_map(|at| {
            let rest = &body[at..];
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
            values.next()?.ok()?;
            Some(format!("{}{inner}{}", &body[..at], &rest[values.byte_offset()..]))
        })
        .collect()
}

/// A nesting bomb, an odd value, in every place of every fixture: read or refused, but never a panic.
#[test]
fn odd_values_anywhere_cause_no_panic() {
    let bomb = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let objects = format!("{}1{}", "{\"content\":".repeat(5_000), "}".repeat(5_000));
    let odd =
        ["null", "0", "-1e999", "true", "\"\\ud800\"", "[]", "{}", "[[]]", "[null]", "[{}]", "\"x\"", &bomb, &objects];
    for (api, name, path) in FOLDERS {
        for (_, body) in fixtures(name) {
            for value in odd {
                for body in with_values_replaced(std::str::from_utf8(&body).unwrap(), value) {
                    if let Ok(request) = api.read(path, body.as_bytes()) {
                        let _ = (QueryPolicy::default().query(&request), crate::request::fit::fits(&request, 10));
                    }
                }
            }
        }
    }
}

/// A request with another spelling of the same JSON: white space, escapes, order.
fn respelled(value: &serde_json::Value, turns: &[usize], depth: usize) -> String {
    let turn = turns.get(depth).copied().unwrap_or_default();
    let space = ["", " ", "\n\t", "\r\n  "][turn % 4];
    match value {
        serde_json::Value::Object(members) => {
            let mut members: Vec<_> = members
                .iter()
                .map(|(name, value)| {
                    format!("{space}{}{space}:{space}{}", literal(name, turn), respelled(value, turns, depth + 1))
                })
                .collect();
            let by = turn % members.len().max(1);
            members.rotate_left(by);
            format!("{{{}{space}}}", members.join(","))
        }
        serde_json::Value::Array(elements) => {
            let elements: Vec<_> = elements.iter().map(|value| respelled(value, turns, depth + 1)).collect();
            format!("[{space}{}]", elements.join(&format!("{space},")))
        }
        serde_json::Value::String(text) => literal(text, turn),
        other => other.to_string(),
    }
}

fn literal(text: &str, turn: usize) -> String {
    if turn.is_multiple_of(3) {
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        return format!("\"{units}\"");
    }
    serde_json::to_string(text).unwrap()
}

/// A request as it is sent on: its path and its body.
fn rewritten(api: Api, path: &str, body: &[u8], model: &str) -> (String, Vec<u8>) {
    let (in_path, in_body) = api.read(path, body).unwrap().model.unwrap().place.spans();
    let path = in_path.and_then(|span| splice::replace_in_path(path, &span, model)).unwrap_or_else(|| path.to_owned());
    let Some(span) = in_body else { return (path, body.to_vec()) };
    let head = splice::replace_in_body(&body[..span.end], &span, model).unwrap_or_else(|| body[..span.end].to_vec());
    (path, [&head, &body[span.end..]].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the API and the spelling: only the model's value changes, and the spelling changes nothing that is read.
    #[test]
    fn only_the_model_changes(turns in prop::collection::vec(0..12_usize, 8), new in "\\PC{1,16}", prefix in "(/[a-z]{1,5}){0,2}") {
        for (api, name, plain_path) in FOLDERS {
            let path = format!("{prefix}{plain_path}?a=b%2Fc");
            for (fixture, plain) in fixtures(name) {
                let value: serde_json::Value = serde_json::from_slice(&plain).unwrap();
                let body = respelled(&value, &turns, 0);
                let (new_path, new_body) = rewritten(api, &path, body.as_bytes(), &new);
                let mut want = value.clone();
                let (in_path, in_body) = api.read(&path, body.as_bytes()).unwrap().model.unwrap().place.spans();
                prop_assert_eq!(in_path.is_some(), api.model_in_path(&path).is_some());
                if let Some(span) = in_body {
                    want["model"] = new.as_str().into();
                    // Every other byte is where it was, from either end.
                    let literal = serde_json::to_string(&new).unwrap();
                    prop_assert_eq!(&new_body[..span.start], &body.as_bytes()[..span.start]);
                    prop_assert_eq!(&new_body[span.start + literal.len()..], &body.as_bytes()[span.end..]);
                    prop_assert_eq!(&new_body[span.start..span.start + literal.len()], literal.as_bytes());
                } else {
                    prop_assert_eq!(&new_body[..], body.as_bytes());
                }
                if in_path.is_some() {
                    prop_assert_eq!(&new_path, &path.replace("/auto", &format!("/{}", encode_segment(&new))));
                    let named = api.model_in_path(&new_path).unwrap();
                    prop_assert_eq!(named.name, new.as_str());
                } else {
                    prop_assert_eq!(&new_path, &path);
                }
                prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&new_body).unwrap(), want);
                let (before, after) = (api.read(plain_path, &plain).unwrap(), api.read(&path, body.as_bytes()).unwrap());
                let policy = QueryPolicy::default();
                prop_assert_eq!(policy.query(&before), policy.query(&after), "{}", fixture);
                prop_assert_eq!(before.needs, after.needs);
                prop_assert_eq!(before.is_bound(), after.is_bound());
                prop_assert_eq!(before.users_at_result, after.users_at_result);
                prop_assert_eq!(before.max_output_tokens, after.max_output_tokens);
            }
        }
    }

    /// Bytes of a fixture changed at random: read or refused, but never a panic.
    #[test]
    fn broken_fixtures_cause_no_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        for (api, name, path) in FOLDERS {
            for (_, mut body) in fixtures(name) {
                for (at, byte) in &changes {
                    let at = at.index(body.len());
                    body[at] = *byte;
                }
                if let Ok(request) = api.read(path, &body) {
                    let _ = QueryPolicy::default().query(&request);
                }
            }
        }
    }
}
