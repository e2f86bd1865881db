//! The decision table.

use super::*;
use crate::api::Api;

fn config() -> Config {
    let text = r#"{"scorer":{"cluster":"s"},"max_body_bytes":1000,"pairs":{
        "open":{"small":{"cluster":"a","model":"m","context_tokens":50},"large":{"cluster":"b","model":"n"},
                "models":["auto"],"dial":{"threshold":0.5},"allow_override":true},
        "shut":{"small":{"cluster":"a","model":"m"},"large":{"cluster":"b","model":"n"},"dial":{"threshold":0.5}}}}"#;
    Config::parse(text.as_bytes()).unwrap()
}

fn policy(pair: &str) -> Policy {
    Policy { pair: config().pairs[pair].clone(), dial: Dial::Threshold(0.5), shadow: false }
}

fn shadow(pair: &str) -> Policy {
    Policy { shadow: true, ..policy(pair) }
}

fn plan(policy: &Policy, asked: Overrides, body: &str) -> String {
    match before_score(policy, asked, Api::OpenAiChat.parse(body.as_bytes())) {
        Plan::PassThrough => "pass".to_owned(),
        Plan::Decided(decision, model) => {
            format!("{} {} rewrite={}", decision.tier.as_str(), decision.reason.as_str(), model.is_some())
        }
        Plan::Ask { query, dial, model } => format!("ask {query:?} {dial:?} rewrite={}", model.is_some()),
    }
}

#[test]
fn headers_alone() {
    let head = |content_length, encoded| RequestHead { content_length, encoded, ..Default::default() };
    let table = [
        (head(Some(1000), false), true, None),
        (head(None, false), true, None),
        (head(Some(1001), false), true, Some(Reason::BodyTooLarge)),
        (head(Some(1001), true), true, Some(Reason::BodyTooLarge)),
        (head(Some(10), true), true, Some(Reason::EncodedBody)),
        (head(None, false), false, Some(Reason::Unparsable)),
    ];
    for (head, body_follows, want) in table {
        assert_eq!(before_body(&config(), &head, body_follows), want, "{head:?}");
    }
}

#[test]
fn before_the_score() {
    let none = Overrides::default();
    let small = Overrides { tier: Some(Tier::Small), dial: None };
    let dial = Overrides { tier: None, dial: Some(Dial::SmallShare(0.9)) };
    let ask = r#"{"model":"auto","messages":[{"role":"user","content":"hi"}]}"#;
    let blank = r#"{"model":"auto","messages":[{"role":"user","content":[]}]}"#;
    let long = &format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"{}"}}]}}"#, "word".repeat(51));
    let other = r#"{"model":"gpt-4.1","messages":[{"role":"user","content":"hi"}]}"#;
    let unnamed = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
    let table = [
        (policy("open"), none, ask, r#"ask ["hi"] Threshold(0.5) rewrite=true"#),
        (policy("open"), dial, ask, r#"ask ["hi"] SmallShare(0.9) rewrite=true"#),
        (policy("shut"), dial, ask, r#"ask ["hi"] Threshold(0.5) rewrite=true"#),
        (policy("open"), small, ask, "small forced rewrite=true"),
        (policy("shut"), small, ask, r#"ask ["hi"] Threshold(0.5) rewrite=true"#),
        (shadow("open"), small, ask, r#"ask ["hi"] Threshold(0.5) rewrite=true"#),
        (policy("open"), none, other, "pass"),
        (policy("open"), small, other, "pass"),
        (policy("open"), none, unnamed, "pass"),
        (policy("shut"), none, other, r#"ask ["hi"] Threshold(0.5) rewrite=true"#),
        (policy("shut"), none, unnamed, r#"ask ["hi"] Threshold(0.5) rewrite=false"#),
        (policy("open"), none, "{", "large unparsable rewrite=false"),
        (policy("open"), small, "{", "large unparsable rewrite=false"),
        (policy("open"), none, blank, "large no_text rewrite=true"),
        (policy("open"), small, blank, "large no_text rewrite=true"),
        (policy("open"), none, long, "large context rewrite=true"),
        (policy("open"), small, long, "small forced rewrite=true"),
    ];
    for (policy, asked, body, want) in table {
        assert_eq!(plan(&policy, asked, body), want, "{asked:?} {body}");
    }
}

#[test]
fn after_the_score() {
    let score = |score| Ok(Score { score, small_share: None, quality_drop: None });
    let threshold = Dial::Threshold(0.5);
    let routed = |tier, score| Decision { tier, reason: Reason::Score, score: Some(score), would_be: None };
    assert_eq!(after_score(&policy("shut"), threshold, score(0.5)), routed(Tier::Small, 0.5));
    assert_eq!(after_score(&policy("shut"), threshold, score(0.4)), routed(Tier::Large, 0.4));
    for (value, would_be) in [(0.5, Tier::Small), (0.4, Tier::Large)] {
        let want = Decision { tier: Tier::Large, reason: Reason::Shadow, score: Some(value), would_be: Some(would_be) };
        assert_eq!(after_score(&shadow("shut"), threshold, score(value)), want);
    }
    let uncalibrated = after_score(&policy("shut"), Dial::QualityDrop(0.01), score(0.9));
    assert_eq!((uncalibrated.tier, uncalibrated.reason), (Tier::Large, Reason::BadScore));
    for &reason in Reason::ALL {
        assert_eq!(after_score(&shadow("shut"), threshold, Err(reason)), Decision::fail_open(reason));
    }
}

#[test]
fn words_are_unique() {
    let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Reason::ALL.len());
}
