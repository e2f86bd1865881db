//! Request bodies of every API: reading and deciding never panic, take nothing but JSON, send to small only what belongs there,
//! and a rewritten body differs in the model alone.
#![no_main]

use hybrid_llm_filter::config::{Config, Dial, Overrides, RoutePolicy};
use hybrid_llm_filter::decision::conversation::{Key, Keys, Record};
use hybrid_llm_filter::decision::{Conversation, Lookup, Plan, before_score, record};
use hybrid_llm_filter::request::api::{Api, Place, Request};
use hybrid_llm_filter::request::fit;
use hybrid_llm_filter::request::query::QueryPolicy;
use hybrid_llm_filter::terms::{Reason, Tier};
use hybrid_llm_filter::wire::splice;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;

thread_local! {
    /// Pairs that differ in what a decision looks at.
    static POLICIES: Vec<RoutePolicy> = {
        let pairs = r#"{"scorer":{"cluster":"s"},"pairs":{
            "plain":{"small":{"cluster":"a","model":"m"},"large":{"cluster":"b","model":"n"}},
            "sticky":{"small":{"cluster":"a","model":"m","capabilities":["vision"],"context_tokens":1000},
                "large":{"cluster":"b","model":"n"},"affinity":"sticky","query":{"context":{"turns":2},"non_text":"score"}},
            "up":{"small":{"cluster":"a","model":"m","capabilities":[],"output_tokens":9,"refuses":{"fields":["a.b","c=1","messages.name"]}},"large":{"cluster":"b","model":"n","capabilities":["tools"]},
                "affinity":"only_up","query":{"context":"system","follow_up_words":0,"wrappers":[]}}}}"#;
        let config = Config::parse(pairs.as_bytes()).unwrap();
        let policies = config.pairs.values().flat_map(|pair| {
            [false, true].map(|shadow| RoutePolicy { pair: pair.clone(), dial: Dial::Threshold(0.5), shadow })
        });
        policies.collect()
    };
}

/// Remembers one record, whatever the key.
struct Remembers(Option<Record>);

impl Lookup for Remembers {
    fn record(&self, _key: Key) -> Option<Record> {
        self.0
    }

    fn header(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }

    fn header_list(&self, name: &str) -> Option<Vec<u8>> {
        self.header(name)
    }
}

fn decide(request: &Request<'_>) {
    let records = [
        None,
        Some(Record { last_tier: Tier::Small, assigned: None }),
        Some(Record { last_tier: Tier::Large, assigned: Some(Tier::Small) }),
    ];
    POLICIES.with(|policies| {
        for (policy, remembered) in policies.iter().flat_map(|policy| records.map(|record| (policy, record))) {
            let lookup = Remembers(remembered);
            let Ok(conversation) = Conversation::of(policy, request, &lookup) else { continue };
            let is_continued = conversation.is_continued;
            let plan = before_score(policy, Overrides::default(), request, conversation, &lookup);
            let Ok(Plan::Decided(decision)) = plan else { continue };
            assert!(decision.reason != Reason::ToolLoop || is_continued);
            if decision.tier == Tier::Small {
                assert!(!policy.shadow);
                assert!(
                    decision.reason == Reason::Capability || (decision.reason == Reason::Affinity && remembered.is_some())
                );
            }
            assert_eq!(record(policy, &decision, remembered).last_tier, decision.tier);
        }
    });
}

fuzz_target!(|body: &[u8]| {
    for &api in Api::ALL {
        let Ok(request) = api.read("/model/auto/converse", body) else {
            if let Some(model) = api.model("/v1/chat/completions", body) {
                only_the_model_changes(body, model.place);
            }
            continue;
        };
        assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok(), "{api:?} took what is no JSON");
        let _ = (QueryPolicy::default().query(&request), Keys::of("pair", &QueryPolicy::default(), None, &request, None, false));
        decide(&request);
        let _ = (fit::fits(&request, 100), fit::fits(&request, 100_000));
        if let Some(model) = request.model {
            only_the_model_changes(body, model.place);
        }
    }
});

fn only_the_model_changes(body: &[u8], place: Place) {
    let (_, Some(span)) = place.spans() else { return };
    let Some(head) = splice::replace_in_body(&body[..span.end], &span, "new \"name\"") else { return };
    let spliced = [&head, &body[span.end..]].concat();
    // Bodies that are no UTF-8 elsewhere are no `Value`.
    let (Ok(before), Ok(after)) = (value(body), value(&spliced)) else { return };
    assert_eq!(after["model"], "new \"name\"");
    assert_eq!(without_model(before), without_model(after));
}

fn value(body: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(body)
}

fn without_model(mut value: Value) -> Value {
    value.as_object_mut().map(|members| members.remove("model"));
    value
}
