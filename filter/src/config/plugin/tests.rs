//! The documented configuration, and what is said of wrong ones.

use super::*;
use crate::config::{Affinity, Dial, Explore, Target};
use crate::request::api::{Needs, Request};
use crate::request::query::{Context, NonText, QueryPolicy};
use crate::request::text_results::ResultMarks;
use crate::request::wrappers::{Wrapper, Wrappers};

const FULL: &str = r#"{
    "scorer": {"cluster": "hybrid-llm-scorer", "timeout_ms": 100, "router": "default"},
    "max_body_bytes": 1048576,
    "pairs": {"chat": {
        "small": {"cluster": "llama-8b", "model": "llama-3.1-8b", "context_tokens": 131072, "price": {"input": 0.05, "output": 0.08}},
        "large": {"cluster": "gpt", "model": "gpt-4.1", "context_tokens": 1000000, "price": {"input": 2.0, "output": 8.0}},
        "models": ["auto"], "dial": {"quality_drop": 0.01}, "allow_override": false}}}"#;

#[test]
fn the_documented_configuration_is_read() {
    let config = Config::parse(FULL.as_bytes()).unwrap();
    assert_eq!(config.scorer.cluster, "hybrid-llm-scorer");
    assert_eq!(config.scorer.timeout, Duration::from_millis(100));
    assert_eq!(config.scorer.breaker, BreakerPolicy { failures: 10, open_ticks: 10 });
    assert_eq!((config.max_body_bytes, config.body_timeout_ticks), (1_048_576, 50));
    let pair = &config.pairs["chat"];
    assert_eq!(pair.dial, Some(Dial::QualityDrop(0.01)));
    assert_eq!(pair.small.context_tokens, Some(131_072));
    assert!(pair.routes(Some("auto")) && !pair.routes(Some("gpt-4.1")) && !pair.routes(None));
}

/// Bytes of a protobuf `Struct`, as Envoy passes them on.
fn protobuf(json: &serde_json::Value) -> prost_types::Struct {
    fn value(json: &serde_json::Value) -> prost_types::Value {
        use prost_types::value::Kind;
        let kind = match json {
            serde_json::Value::Null => Kind::NullValue(0),
            serde_json::Value::Bool(flag) => Kind::BoolValue(*flag),
            serde_json::Value::Number(n) if n.is_f64() => Kind::StringValue(n.to_string()),
            serde_json::Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap()),
            serde_json::Value::String(text) => Kind::StringValue(text.clone()),
            serde_json::Value::Array(list) => {
                Kind::ListValue(prost_types::ListValue { values: list.iter().map(value).collect() })
            }
            serde_json::Value::Object(_) => Kind::StructValue(protobuf(json)),
        };
        prost_types::Value { kind: Some(kind) }
    }
    let members = json.as_object().unwrap();
    prost_types::Struct { fields: members.iter().map(|(key, member)| (key.clone(), value(member))).collect() }
}

#[test]
fn a_struct_from_yaml_reads_as_the_same_configuration() {
    use prost::Message;
    let json: serde_json::Value = serde_json::from_str(FULL).unwrap();
    let config = Config::parse(&protobuf(&json).encode_to_vec()).unwrap();
    let same = Config::parse(FULL.as_bytes()).unwrap();
    assert_eq!(config.scorer, same.scorer);
    assert_eq!(config.pairs, same.pairs);

    let mut wrong = json;
    wrong["pairs"]["chat"]["small"]["model"] = 8.into();
    let error = Config::parse(&protobuf(&wrong).encode_to_vec()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin configuration: pairs.chat.small.model: invalid type: integer `8`, expected a string"
    );
}

#[test]
fn json_with_white_space_before_it_is_no_struct() {
    for pad in 0..200 {
        let text = format!("{}{FULL}", "\n".repeat(pad % 7) + &" ".repeat(pad));
        assert!(Config::parse(text.as_bytes()).is_ok(), "{pad}");
    }
}

fn can(target: &Target, needs: Needs) -> bool {
    target.can_answer(&Request::default(), needs, &|_| None)
}

#[test]
fn what_else_can_be_set() {
    let more = r#""query": {"context": {"turns": 3}, "non_text": "score", "wrappers": ["note", {"start": "[[", "end": "]]"}], "follow_up_words": 0,
        "tool_results": [{"start": "Observation", "end": ":"}]},
        "affinity": "only_up", "affinity_header": "X-Session-Id", "explore": 0.01,
        "allow_override": true, "override_limits": {"small_share": {"ceiling": 0.5}, "threshold": {"floor": "0.25"}}"#;
    let text = FULL.replace(r#""allow_override": false"#, more).replace(
        r#""max_body_bytes": 1048576"#,
        r#""path_prefixes": ["/llm/"], "memory": {"conversations": 100, "ttl_s": 60}"#,
    );
    let config = Config::parse(text.as_bytes()).unwrap();
    assert_eq!(config.memory, Memory { conversations: 100, ttl: 60 });
    assert!(config.reads("/llm/v1/responses") && !config.reads("/v1/responses"));
    let pair = &config.pairs["chat"];
    assert_eq!(pair.query.context, Context::Turns(3.try_into().unwrap()));
    assert_eq!((pair.query.non_text, pair.query.follow_up_words), (NonText::Score, 0));
    let marks = Wrapper::marks("[[", "]]").unwrap();
    assert_eq!(pair.query.wrappers, Wrappers::from_iter([Wrapper::tag("note"), marks]));
    assert_eq!(pair.query.tool_results, [ResultMarks::new("Observation", ":").unwrap()]);
    assert_eq!((pair.affinity, pair.affinity_header.as_deref()), (Affinity::OnlyUp, Some("x-session-id")));
    assert_eq!(pair.explore, Explore::new(0.01).unwrap());
    assert_eq!(pair.override_limits.small_share, Some((0.0, 0.5)));
    assert_eq!(pair.override_limits.threshold, Some((0.25, 1.0)));
    let listed = FULL.replace(r#""context_tokens": 131072"#, r#""capabilities": ["vision", "tools"]"#);
    let small = &Config::parse(listed.as_bytes()).unwrap().pairs["chat"];
    assert!(can(&small.small, Needs { vision: true, tools: true, ..Needs::default() }));
    assert!(!can(&small.small, Needs { json_schema: true, ..Needs::default() }));
    assert!(can(&small.large, Needs { json_schema: true, ..Needs::default() }));
    let limited = FULL.replace(
        r#""context_tokens": 131072"#,
        r#""output_tokens": 8192, "refuses": {"fields": ["thinking", "a.b=c"], "headers": ["Anthropic-Beta=x-1"]}"#,
    );
    let small = &Config::parse(limited.as_bytes()).unwrap().pairs["chat"].small;
    assert_eq!((small.output_tokens, small.refuses.fields.len(), small.refuses.headers.len()), (Some(8192), 2, 1));
    // A bare `off` in YAML.
    let off = FULL.replace(r#""allow_override": false"#, r#""affinity": false, "query": {"context": "system"}"#);
    let off = &Config::parse(off.as_bytes()).unwrap().pairs["chat"];
    assert_eq!((off.affinity, off.query.context), (Affinity::Off, Context::System));
}

#[test]
fn defaults() {
    let text = r#"{"scorer":{"cluster":"s"},"pairs":{"p":{"small":{"cluster":"a","model":"m"},"large":{"cluster":"b","model":"n"}}}}"#;
    let config = Config::parse(text.as_bytes()).unwrap();
    assert_eq!(config.scorer.router, "default");
    assert_eq!(config.scorer.timeout, Duration::from_millis(100));
    let pair = &config.pairs["p"];
    assert!(pair.dial.is_none() && !pair.allow_override && pair.routes(Some("anything")) && pair.routes(None));
    assert_eq!(
        (&pair.query, pair.affinity, pair.explore),
        (&QueryPolicy::default(), Affinity::Off, Explore::default())
    );
    assert_eq!(config.memory, Memory { conversations: 65_536, ttl: 3600 });
    assert!(config.reads("/anything"));
}

/// A key that is written without a value is a mistake, wherever it is, and is never taken as left out.
#[test]
fn nulls_are_refused_with_their_key() {
    use prost::Message;
    let everything = r#"{"scorer": {"cluster": "s", "timeout_ms": 9, "router": "r", "max_query_characters": 9, "breaker": {"failures": 1, "open_ms": 9}},
        "max_body_bytes": 9, "body_timeout_ms": 9, "path_prefixes": ["/"], "memory": {"conversations": 9, "ttl_s": 9}, "pairs": {"p": {
        "small": {"cluster": "a", "model": "m", "context_tokens": 9, "output_tokens": 9, "capabilities": ["tools"],
            "refuses": {"fields": ["x"], "headers": ["y"]}, "price": {"input": 1, "output": 1}},
        "large": {"cluster": "b", "model": "n"}, "models": ["auto"], "dial": {"threshold": 0.5}, "allow_override": true,
        "override_limits": {"threshold": {"floor": 0.1, "ceiling": 0.9}, "small_share": {}, "quality_drop": {}},
        "query": {"context": {"turns": 2}, "non_text": "score", "wrappers": ["t", {"start": "a", "end": "b"}],
            "tool_results": [{"start": "a", "end": "b"}], "follow_up_words": 1},
        "affinity": "sticky", "affinity_header": "x", "explore": 0.1}}}"#;
    let tree: serde_json::Value = serde_json::from_str(everything).unwrap();
    Config::parse(everything.as_bytes()).unwrap();
    let (mut pointers, mut next) = (vec![String::new()], 0);
    while let Some(at) = pointers.get(next).cloned() {
        let within: Vec<_> = match tree.pointer(&at).unwrap() {
            serde_json::Value::Object(members) => members.keys().map(|key| format!("{at}/{key}")).collect(),
            serde_json::Value::Array(list) => (0..list.len()).map(|index| format!("{at}/{index}")).collect(),
            _ => Vec::new(),
        };
        pointers.extend(within);
        next += 1;
    }
    assert!(pointers.len() > 55, "{}", pointers.len());
    for pointer in &pointers[1..] {
        let mut wrong = tree.clone();
        *wrong.pointer_mut(pointer).unwrap() = serde_json::Value::Null;
        let key: String = pointer[1..]
            .split('/')
            .map(|name| if name.parse::<usize>().is_ok() { format!("[{name}]") } else { format!(".{name}") })
            .collect();
        let want = format!("plugin configuration: {}: null is no value", &key[1..]);
        for bytes in [wrong.to_string().into_bytes(), protobuf(&wrong).encode_to_vec()] {
            let error = Config::parse(&bytes).unwrap_err().to_string();
            assert!(error.starts_with(&want), "{error}");
        }
    }
}

/// Each mistake, and what the operator reads.
#[test]
fn errors_name_key_and_value() {
    let mistakes = [
        ("", ""),
        (r#""timeout_ms": 100"#, r#""timeout_ms": "fast""#),
        (r#""timeout_ms": 100"#, r#""timeout_ms": 0"#),
        (r#""timeout_ms": 100"#, r#""max_query_characters": 0"#),
        (r#""timeout_ms": 100"#, r#""timeout": 100"#),
        (r#""cluster": "hybrid-llm-scorer", "#, ""),
        (r#""cluster": "gpt""#, r#""cluster": """#),
        (r#""model": "gpt-4.1""#, r#""model": "gpt 4.1""#),
        (r#"{"quality_drop": 0.01}"#, r#"{"quality_drop": 1.5}"#),
        (r#"{"quality_drop": 0.01}"#, r#"{"quality_drop": 0.01, "threshold": 0.5}"#),
        (r#"{"quality_drop": 0.01}"#, r#"{"quality": 0.01}"#),
        (r#"{"quality_drop": 0.01}"#, r#"{"small_share": "half"}"#),
        (r#""input": 2.0"#, r#""input": -2.0"#),
        (r#""context_tokens": 131072"#, r#""context_tokens": 0"#),
        (r#""context_tokens": 131072"#, r#""capabilities": ["sight"]"#),
        (r#""context_tokens": 131072"#, r#""output_tokens": 0"#),
        (r#""context_tokens": 131072"#, r#""refuses": ["thinking"]"#),
        (r#""context_tokens": 131072"#, r#""refuses": {"field": ["thinking"]}"#),
        (r#""context_tokens": 131072"#, r#""refuses": {"fields": ["a..b"]}"#),
        (r#""context_tokens": 131072"#, r#""refuses": {"headers": [""]}"#),
        (r#""context_tokens": 131072"#, r#""refuses": {"headers": ["x-hybrid-llm-tier"]}"#),
        (r#""max_body_bytes": 1048576"#, r#""path_prefixes": ["v1"]"#),
        (r#""max_body_bytes": 1048576"#, r#""memory": {"conversations": 0}"#),
        (r#""max_body_bytes": 1048576"#, r#""memory": {"conversations": 100000000}"#),
        (r#""allow_override": false"#, r#""affinity": "stikcy""#),
        (r#""allow_override": false"#, r#""affinity": true"#),
        (r#""allow_override": false"#, r#""explore": 1.5"#),
        (r#""allow_override": false"#, r#""query": {"context": {"turns": 0}}"#),
        (r#""allow_override": false"#, r#""query": {"context": "all"}"#),
        (r#""allow_override": false"#, r#""query": {"non_text": "small"}"#),
        (r#""allow_override": false"#, r#""query": {"wrappers": ["<note>"]}"#),
        (r#""allow_override": false"#, r#""query": {"wrappers": [{"start": "[[", "end": ""}]}"#),
        (r#""allow_override": false"#, r#""query": {"wrappers": [5]}"#),
        (r#""allow_override": false"#, r#""query": {"tool_results": [{"start": "", "end": ":"}]}"#),
        (r#""allow_override": false"#, r#""query": {"tool_results": ["Observation:"]}"#),
        (r#""allow_override": false"#, r#""query": {"wrappers": [{"start": "[[", "end": "]]", "tag": "x"}]}"#),
        (r#""allow_override": false"#, r#""affinity_header": "X-Hybrid-LLM-Session""#),
        (r#""allow_override": false"#, r#""override_limits": {"threshold": {"floor": 0.9, "ceiling": 0.5}}"#),
        (r#""allow_override": false"#, r#""allow_override": false, "override_limits": {"threshold": {"floor": 0.4}}"#),
        (r#""allow_override": false"#, r#""override_limits": {"small_share": {}}"#),
        (r#"["auto"]"#, r#""auto""#),
        (r#""allow_override": false"#, r#""allow_override": true, "override_limits": {"threshold": null}"#),
        (r#"{"quality_drop": 0.01}"#, r#"{"threshold": null}"#),
        (r#"["auto"]"#, r#"["auto", null]"#),
        (r#""max_body_bytes": 1048576"#, r#""max_body_bytes": -1"#),
        (r#"false}}}"#, r#"false}}"#),
        (r#"false}}}"#, r#"false}}} x"#),
    ];
    let mut report = String::new();
    for (old, new) in mistakes {
        let text = if old.is_empty() { new.to_owned() } else { FULL.replacen(old, new, 1) };
        assert_ne!(text, FULL, "{old} is not in the configuration");
        report += &format!("{}\n", Config::parse(text.as_bytes()).unwrap_err());
    }
    report += &format!("{}\n", Config::parse(br#"{"scorer":{"cluster":"s"},"pairs":{}}"#).unwrap_err());
    insta::assert_snapshot!(report);
}
