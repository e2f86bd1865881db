//! Headers as clients send them.

use super::*;
use crate::config::{Config, Dial, OverrideNote, Overrides, RoutePolicy};
use crate::terms::Reason;

fn read(headers: &[(&str, &str)]) -> RequestHead {
    RequestHead::read(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
}

#[test]
fn a_chat_request() {
    let head = read(&[(":method", "POST"), (":path", "/v1/chat/completions"), ("content-length", "700")]);
    let want = RequestHead {
        api: Some(Api::OpenAiChat),
        path: "/v1/chat/completions".to_owned(),
        body: AnnouncedBody { length: Some(700), is_encoded: false },
        ..Default::default()
    };
    assert_eq!(head, want);
}

#[test]
fn encodings() {
    for (value, encoded) in [("gzip", true), ("br", true), ("identity", false), ("Identity", false), ("", false)] {
        assert_eq!(read(&[("content-encoding", value)]).body.is_encoded, encoded, "{value}");
    }
}

#[test]
fn every_header_of_ours_is_listed_for_removal_but_the_cluster() {
    let head = read(&[
        ("x-hybrid-llm-cluster", "set by the proxy"),
        ("x-hybrid-llm-tier", "small"),
        ("x-hybrid-llm-score", "1"),
        ("x-hybrid-llm-anything", "x"),
        ("x-hybrid", "theirs"),
    ]);
    assert_eq!(head.cluster, b"set by the proxy");
    assert_eq!(head.forged, ["x-hybrid-llm-tier", "x-hybrid-llm-score", "x-hybrid-llm-anything"]);
    assert_eq!(head.requested.as_sent(), Overrides { tier: Some(Tier::Small), dial: None });
}

#[test]
fn an_upstreams_headers_of_ours_are_listed_for_removal() {
    let names = [":status", "x-hybrid-llm-tier", "x-hybrid-llm-tier", "x-hybrid", "x-hybrid-llm-anything", "x-other"];
    assert_eq!(forged(names), ["x-hybrid-llm-tier", "x-hybrid-llm-anything"]);
}

#[test]
fn a_body_that_is_no_json_is_no_request() {
    let table = [
        ("application/json", true),
        ("application/json; charset=utf-8", true),
        ("Application/JSON", true),
        ("application/vnd.api+json", true),
        ("text/json", true),
        ("", true),
        ("multipart/form-data; boundary=x", false),
        ("text/plain", false),
        ("application/x-www-form-urlencoded", false),
        ("application/x-ndjson", false),
    ];
    for (kind, is_request) in table {
        let head = read(&[(":method", "POST"), (":path", "/v1/responses"), ("content-type", kind)]);
        assert_eq!(head.api.is_some(), is_request, "{kind}");
    }
    // What the AWS SDKs send for `invoke`, whose body they know nothing of.
    for (path, is_request) in [("/model/auto/invoke", true), ("/model/auto/converse", false), ("/v1/responses", false)]
    {
        let kind = ("content-type", "application/octet-stream");
        assert_eq!(read(&[(":method", "POST"), kind, (":path", path)]).api.is_some(), is_request, "{path}");
    }
}

fn policy(settings: &str, shadow: bool) -> RoutePolicy {
    let text = format!(
        r#"{{"scorer":{{"cluster":"s"}},"pairs":{{"p":{{"small":{{"cluster":"a","model":"m"}},"large":{{"cluster":"b","model":"n"}}{settings}}}}}}}"#
    );
    let config = Config::parse(text.as_bytes()).unwrap();
    RoutePolicy { pair: config.pairs["p"].clone(), dial: Dial::Threshold(0.5), shadow }
}

#[test]
fn overrides_are_granted_as_far_as_the_pair_allows() {
    use OverrideNote::{BadValue, Clamped, NotAllowed, Taken};
    let open = policy(r#","allow_override":true"#, false);
    let limited = policy(
        r#","allow_override":true,"override_limits":{"threshold":{"floor":0.2,"ceiling":0.8},"quality_drop":{}}"#,
        false,
    );
    let granted = |policy: &RoutePolicy, headers: &[(&str, &str)]| {
        let (Overrides { tier, dial }, note) = read(headers).requested.granted(policy);
        (tier, dial, note)
    };
    let threshold = |value| Some(Dial::Threshold(value));
    let within: [(&[(&str, &str)], _); 6] = [
        (&[("x-hybrid-llm-threshold", "0.1")], (None, threshold(0.2), Some(Clamped))),
        (&[("x-hybrid-llm-threshold", "1")], (None, threshold(0.8), Some(Clamped))),
        (&[("x-hybrid-llm-threshold", "0.3")], (None, threshold(0.3), Some(Taken))),
        (&[("x-hybrid-llm-quality-drop", "1")], (None, Some(Dial::QualityDrop(1.0)), Some(Taken))),
        // Neither another dial nor a tier leads past the limits.
        (&[("x-hybrid-llm-small-share", "1")], (None, None, Some(NotAllowed))),
        (
            &[("x-hybrid-llm-tier", "small"), ("x-hybrid-llm-threshold", "0.3")],
            (None, threshold(0.3), Some(NotAllowed)),
        ),
    ];
    for (headers, want) in within {
        assert_eq!(granted(&limited, headers), want, "{headers:?}");
    }
    let table: [(&[(&str, &str)], _); 9] = [
        (&[], (None, None, None)),
        (&[("x-hybrid-llm-other", "1")], (None, None, None)),
        (&[("x-hybrid-llm-tier", "small")], (Some(Tier::Small), None, Some(Taken))),
        (&[("x-hybrid-llm-threshold", " 0.25 ")], (None, threshold(0.25), Some(Taken))),
        (&[("x-hybrid-llm-small-share", "0.5")], (None, Some(Dial::SmallShare(0.5)), Some(Taken))),
        (&[("x-hybrid-llm-quality-drop", "0")], (None, Some(Dial::QualityDrop(0.0)), Some(Taken))),
        (&[("x-hybrid-llm-tier", "medium")], (None, None, Some(BadValue))),
        (&[("x-hybrid-llm-threshold", "0.5"), ("x-hybrid-llm-small-share", "0.5")], (None, None, Some(BadValue))),
        (&[("x-hybrid-llm-tier", "small"), ("x-hybrid-llm-threshold", "x")], (Some(Tier::Small), None, Some(BadValue))),
    ];
    for (headers, want) in table {
        assert_eq!(granted(&open, headers), want, "{headers:?}");
    }
    for bad in ["", "x", "2", "-1", "NaN", "inf"] {
        assert_eq!(granted(&open, &[("x-hybrid-llm-threshold", bad)]), (None, None, Some(BadValue)), "{bad}");
    }
    let raw: [(&str, &[u8]); 1] = [("x-hybrid-llm-tier", b"\xff\xfe")];
    assert_eq!(RequestHead::read(raw).requested.granted(&open), (Overrides::default(), Some(BadValue)));
    for shut in [policy("", false), policy(r#","allow_override":true"#, true)] {
        let requested = read(&[("x-hybrid-llm-tier", "small")]).requested;
        assert_eq!(requested.granted(&shut), (Overrides::default(), Some(NotAllowed)));
        assert_eq!(RequestedOverrides::default().granted(&shut), (Overrides::default(), None));
    }
}

#[test]
fn an_override_that_decided_nothing_was_not_taken() {
    use OverrideNote::{BadValue, Clamped, NotAllowed, Taken, Unused};
    let table = [
        (Taken, Reason::Score, Taken),
        (Taken, Reason::Forced, Taken),
        (Clamped, Reason::Score, Clamped),
        (Taken, Reason::Context, Unused),
        (Taken, Reason::Timeout, Unused),
        (Clamped, Reason::Affinity, Unused),
        (BadValue, Reason::Context, BadValue),
        (NotAllowed, Reason::Timeout, NotAllowed),
    ];
    for (note, decided, want) in table {
        assert_eq!(note.after(decided), want, "{note:?} {decided:?}");
    }
}
