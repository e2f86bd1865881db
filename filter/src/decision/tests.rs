//! The decision table.

use super::*;
use crate::request::api::Api;

mod agents;
mod continued;
mod needs;

fn config() -> Config {
    let text = r#"{"scorer":{"cluster":"s"},"max_body_bytes":1000,"pairs":{
        "open":{"small":{"cluster":"a","model":"m","context_tokens":50},"large":{"cluster":"b","model":"n"},
                "models":["auto"],"dial":{"threshold":0.5},"allow_override":true},
        "shut":{"small":{"cluster":"a","model":"m"},"large":{"cluster":"b","model":"n"},"dial":{"threshold":0.5}}}}"#;
    Config::parse(text.as_bytes()).unwrap()
}

fn policy(pair: &str) -> RoutePolicy {
    RoutePolicy { pair: config().pairs[pair].clone(), dial: Dial::Threshold(0.5), shadow: false }
}

fn shadow(pair: &str) -> RoutePolicy {
    RoutePolicy { shadow: true, ..policy(pair) }
}

fn plan(policy: &RoutePolicy, asked: Overrides, body: &str) -> String {
    plan_with(policy, asked, body, None)
}

/// With a conversation that went to a tier and belongs there.
fn plan_with(policy: &RoutePolicy, asked: Overrides, body: &str, remembered: Option<Tier>) -> String {
    plan_after(policy, asked, body, remembered.map(|tier| Record { last_tier: tier, assigned: Some(tier) }))
}

fn plan_after(policy: &RoutePolicy, asked: Overrides, body: &str, remembered: Option<Record>) -> String {
    let request = Api::OpenAiChat.read("/v1/chat/completions", body.as_bytes()).unwrap();
    told(plan_of(policy, asked, &request, &Remembers(remembered)).unwrap())
}

/// Remembers one record, whatever the key. Every request has the header of one session, in two lines.
struct Remembers(Option<Record>);

impl Lookup for Remembers {
    fn record(&self, _key: Key) -> Option<Record> {
        self.0
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        (name == "x-session").then(|| b"s-1".to_vec())
    }

    fn header_list(&self, name: &str) -> Option<Vec<u8>> {
        (name == "x-session").then(|| b"s-1,s-3".to_vec())
    }
}

fn plan_of(
    policy: &RoutePolicy,
    asked: Overrides,
    request: &Request<'_>,
    lookup: &impl Lookup,
) -> Result<Plan, Unparsable> {
    before_score(policy, asked, request, Conversation::of(policy, request, lookup)?, lookup)
}

fn told(plan: Plan) -> String {
    match plan {
        Plan::Decided(decision) => format!("{} {}", decision.tier.as_str(), decision.reason.as_str()),
        Plan::Ask { query, dial } => format!("ask {query:?} {dial:?}"),
    }
}

/// The pair `open` with settings of its own.
fn with(settings: serde_json::Value) -> RoutePolicy {
    let mut pair = serde_json::json!({
        "small": {"cluster": "a", "model": "m", "capabilities": ["tools"]}, "large": {"cluster": "b", "model": "n"},
        "models": ["auto"], "affinity_header": "x-session",
    });
    let members = pair.as_object_mut().unwrap();
    members.extend(settings.as_object().unwrap().clone());
    // Null takes a setting away.
    members.retain(|_, setting| !setting.is_null());
    let config = serde_json::json!({"scorer": {"cluster": "s"}, "pairs": {"open": pair}});
    let config = Config::parse(config.to_string().as_bytes()).unwrap();
    RoutePolicy { pair: config.pairs["open"].clone(), dial: Dial::Threshold(0.5), shadow: false }
}

#[test]
fn headers_alone() {
    let body = |length, is_encoded| AnnouncedBody { length, is_encoded };
    let table = [
        (body(Some(1000), false), true, None),
        (body(None, false), true, None),
        (body(Some(1001), false), true, Some(Reason::BodyTooLarge)),
        (body(Some(1001), true), true, Some(Reason::BodyTooLarge)),
        (body(Some(10), true), true, Some(Reason::EncodedBody)),
        (body(None, false), false, Some(Reason::Unparsable)),
    ];
    for (body, body_follows, want) in table {
        assert_eq!(before_body(&config(), body, body_follows), want, "{body:?}");
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
    let unnamed = r#"{"messages":[{"role":"user","content":"hi"}]}"#;
    let table = [
        (policy("open"), none, ask, r#"ask "hi" Threshold(0.5)"#),
        (policy("open"), dial, ask, r#"ask "hi" SmallShare(0.9)"#),
        (policy("open"), small, ask, "small forced"),
        (shadow("open"), none, ask, r#"ask "hi" Threshold(0.5)"#),
        (policy("shut"), none, unnamed, r#"ask "hi" Threshold(0.5)"#),
        (policy("open"), none, blank, "large no_text"),
        (policy("open"), small, blank, "large no_text"),
        (policy("open"), none, long, "large context"),
        (policy("open"), small, long, "small forced"),
    ];
    for (policy, asked, body, want) in table {
        assert_eq!(plan(&policy, asked, body), want, "{asked:?} {body}");
    }
}

#[test]
fn explicit_models_go_to_the_tier_that_has_them() {
    let text = r#"{"scorer":{"cluster":"s"},"pairs":{
        "chat":{"small":{"cluster":"a","model":"m"},"large":{"cluster":"b","model":"n"},"models":["auto"]},
        "code":{"small":{"cluster":"c","model":"o"},"large":{"cluster":"d","model":"p"},"models":["auto-code"]}}}"#;
    let config = Config::parse(text.as_bytes()).unwrap();
    let pairs = ["chat", "code"].map(|name| &config.pairs[name]);
    let cluster = |model| pass_through(pairs.iter().map(|pair| &***pair), model).unwrap().cluster.as_str();
    for (model, want) in [("m", "a"), ("n", "b"), ("o", "c"), ("p", "d"), ("other", "b")] {
        assert_eq!(cluster(Some(model)), want, "{model}");
    }
    assert_eq!(cluster(None), "b");
    assert_eq!(pass_through(std::iter::empty(), Some("m")), None);
}

#[test]
fn after_the_score() {
    let score = |score| Ok(Score { score, small_share: None, quality_drop: None });
    let threshold = Dial::Threshold(0.5);
    let routed = |tier, score| Decision {
        tier,
        reason: Reason::Score,
        score: Some(score),
        would_be: None,
        by_client_dial: false,
    };
    let after_score = |policy: &RoutePolicy, dial, answer| super::after_score(policy, dial, answer, b"id");
    assert_eq!(after_score(&policy("shut"), threshold, score(0.5)), routed(Tier::Small, 0.5));
    assert_eq!(after_score(&policy("shut"), threshold, score(0.4)), routed(Tier::Large, 0.4));
    for (value, would_be) in [(0.5, Tier::Small), (0.4, Tier::Large)] {
        let want = Decision { reason: Reason::Shadow, would_be: Some(would_be), ..routed(Tier::Large, value) };
        assert_eq!(after_score(&shadow("shut"), threshold, score(value)), want);
    }
    let uncalibrated = after_score(&policy("shut"), Dial::QualityDrop(0.01), score(0.9));
    assert_eq!((uncalibrated.tier, uncalibrated.reason), (Tier::Large, Reason::BadScore));
    for &reason in Reason::ALL {
        assert_eq!(after_score(&shadow("shut"), threshold, Err(reason)), Decision::fail_open(reason));
    }
}

#[test]
fn conversations_go_where_they_went() {
    use Tier::{Large, Small};
    let body = |rest: &str| {
        format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"What is the weather like?"}}{rest}]}}"#)
    };
    let turn = &body("");
    let call =
        r#",{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}"#;
    let result = &body(&format!(r#"{call},{{"role":"tool","tool_call_id":"c","content":"rain"}}"#));
    let signed = &body(
        r#",{"role":"assistant","content":"x","reasoning_details":[{"type":"reasoning.encrypted"}]},{"role":"user","content":"Why does it rain so much here?"}"#,
    );
    let lone_result =
        &r#"{"model":"auto","messages":[{"role":"tool","tool_call_id":"c","content":"rain"}]}"#.to_owned();
    let affinity = |mode: &str| with(serde_json::json!({"affinity": mode}));
    let shadow = RoutePolicy { shadow: true, ..affinity("sticky") };
    let ask = r#"ask "What is the weather like?" Threshold(0.5)"#;
    let table = [
        (affinity("off"), turn, Some(Large), ask),
        (affinity("sticky"), turn, None, ask),
        (affinity("sticky"), turn, Some(Small), "small affinity"),
        (affinity("sticky"), turn, Some(Large), "large affinity"),
        (affinity("only_up"), turn, Some(Small), ask),
        (affinity("only_up"), turn, Some(Large), "large affinity"),
        (affinity("off"), result, Some(Small), "small affinity"),
        (affinity("off"), result, Some(Large), "large affinity"),
        (affinity("off"), result, None, "large tool_loop"),
        (affinity("only_up"), result, Some(Small), "small affinity"),
        (affinity("off"), signed, Some(Small), "small affinity"),
        (affinity("off"), signed, None, "large tool_loop"),
        (affinity("off"), lone_result, None, "large tool_loop"),
        (affinity("off"), lone_result, Some(Small), "small affinity"),
        (shadow, result, Some(Small), ask),
    ];
    for (policy, body, remembered, want) in table {
        let got = plan_with(&policy, Overrides::default(), body, remembered);
        assert_eq!(got, want, "{:?} {remembered:?} {body}", policy.pair.affinity);
    }
    // What does not fit leaves its tier all the same.
    let tiny = with(serde_json::json!({"small": {"cluster": "a", "model": "m", "context_tokens": 3}}));
    assert_eq!(plan_with(&tiny, Overrides::default(), result, Some(Small)), "large context");
}

#[test]
fn text_that_can_not_be_read_is_told_apart() {
    let body = b"{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}";
    let request = Api::OpenAiChat.read("", body).unwrap();
    assert_eq!(plan_of(&policy("open"), Overrides::default(), &request, &Remembers(None)), Err(Unparsable));
}

#[test]
fn exploration_goes_the_other_way_and_says_so() {
    let all = with(serde_json::json!({"explore": 1}));
    let score = |score| Ok(Score { score, small_share: None, quality_drop: None });
    let dial = Dial::Threshold(0.5);
    let went = |policy: &RoutePolicy, answer| {
        let decision = super::after_score(policy, dial, answer, b"0b1d7c2e-8a43-4f6d-9e57-3c2a1f4b5d60");
        (decision.tier, decision.reason)
    };
    assert_eq!(went(&all, score(0.9)), (Tier::Large, Reason::Explore));
    assert_eq!(went(&all, score(0.1)), (Tier::Small, Reason::Explore));
    assert_eq!(went(&all, Err(Reason::Timeout)), (Tier::Large, Reason::Timeout));
    assert_eq!(went(&with(serde_json::json!({})), score(0.9)), (Tier::Small, Reason::Score));
    assert_eq!(went(&RoutePolicy { shadow: true, ..all }, score(0.9)), (Tier::Large, Reason::Shadow));
}

#[test]
fn what_was_decided_is_told_by_the_route_taken() {
    let pair = &config().pairs["open"];
    let small = Decision { would_be: None, score: Some(0.9), ..Decision::unscored(Tier::Small, Reason::Score) };
    let taken = |decided: Decision, is_same_route, cluster: &str| {
        let seen = super::as_taken(decided, pair, is_same_route, cluster.as_bytes());
        assert_eq!(seen.score, decided.score);
        (seen.tier, seen.reason)
    };
    // Small is in cluster a, large in b.
    assert_eq!(taken(small, true, "a"), (Tier::Small, Reason::Score));
    assert_eq!(taken(small, true, ""), (Tier::Small, Reason::Score));
    assert_eq!(taken(small, true, "b"), (Tier::Large, Reason::RouteMismatch));
    assert_eq!(taken(small, true, "c"), (Tier::Small, Reason::RouteMismatch));
    assert_eq!(taken(small, false, "a"), (Tier::Small, Reason::RouteMismatch));
    assert_eq!(taken(small, false, ""), (Tier::Small, Reason::RouteMismatch));
    assert_eq!(taken(Decision::fail_open(Reason::Timeout), true, "b"), (Tier::Large, Reason::Timeout));
    assert_eq!(taken(Decision::fail_open(Reason::Timeout), true, "a"), (Tier::Small, Reason::RouteMismatch));
    // What the score would have chosen by another route's dial is of no use.
    let shadow = Decision { would_be: Some(Tier::Small), ..Decision::unscored(Tier::Large, Reason::Shadow) };
    assert_eq!(super::as_taken(shadow, pair, false, b"b").would_be, None);
    // Two models in one cluster.
    let text = r#"{"scorer":{"cluster":"s"},"pairs":{"p":{"small":{"cluster":"a","model":"m"},"large":{"cluster":"a","model":"n"}}}}"#;
    let one = &Config::parse(text.as_bytes()).unwrap().pairs["p"];
    for tier in [Tier::Small, Tier::Large] {
        let decided = Decision::unscored(tier, Reason::Score);
        assert_eq!(super::as_taken(decided, one, true, b"a"), decided);
    }
}

#[test]
fn another_cluster_gets_the_name_of_a_model_that_it_has() {
    let text = r#"{"scorer":{"cluster":"s"},"pairs":{
        "chat":{"small":{"cluster":"a","model":"m"},"large":{"cluster":"b","model":"n"},"models":["auto"]},
        "code":{"small":{"cluster":"a","model":"coder"},"large":{"cluster":"c","model":"coder-xl"}}}}"#;
    let config = Config::parse(text.as_bytes()).unwrap();
    let name = |decided: &str, taken: &str, model| {
        let pairs = config.pairs.values().map(|pair| &**pair);
        super::name_for(pairs, decided.as_bytes(), taken.as_bytes(), model)
    };
    assert_eq!(name("a", "b", "m"), Some("n"), "the other tier");
    assert_eq!(name("b", "a", "n"), Some("m"));
    assert_eq!(name("a", "c", "coder"), Some("coder-xl"));
    assert_eq!(name("a", "c", "m"), Some("coder-xl"), "another pair's");
    assert_eq!(name("a", "d", "m"), Some("auto"), "nobody knows its models");
    assert_eq!(name("a", "d", "coder"), None, "and there is no alias");
    // What a client named itself, or nobody read.
    assert_eq!(name("b", "a", "other"), None);
    assert_eq!(name("a", "b", "auto"), None);
}

/// Operators look up in the README the reasons that their dashboards show.
#[test]
fn every_reason_is_explained() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let table = readme.split("\n| reason | tier | meaning |\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for reason in Reason::ALL {
        assert!(table.contains(&format!("`{}`", reason.as_str())), "{reason:?}");
    }
}

#[test]
fn words_are_unique() {
    let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Reason::ALL.len());
}
