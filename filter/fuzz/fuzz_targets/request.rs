//! Request bodies of every API: reading never panics, takes nothing but JSON, and a rewritten body differs in the model alone.
#![no_main]

use hybrid_llm_filter::affinity::Key;
use hybrid_llm_filter::api::{Api, Place};
use hybrid_llm_filter::query::QueryPolicy;
use hybrid_llm_filter::{fit, splice};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    for &api in Api::ALL {
        let Ok(request) = api.read("/model/auto/converse", body) else { continue };
        assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok(), "{api:?} took what is no JSON");
        let _ = (QueryPolicy::default().query(&request), Key::of("pair", &QueryPolicy::default(), None, &request));
        let _ = (fit::fits(&request, 100), fit::fits(&request, 100_000));
        if let Some(Place::Body(span)) = request.model.map(|model| model.place) {
            let Some(head) = splice::replace_in_body(&body[..span.end], &span, "new \"name\"") else { continue };
            let spliced = [&head, &body[span.end..]].concat();
            // Bodies that are no UTF-8 elsewhere are no `Value`.
            let (Ok(before), Ok(after)) = (value(body), value(&spliced)) else { continue };
            assert_eq!(after["model"], "new \"name\"");
            assert_eq!(without_model(before), without_model(after));
        }
    }
});

fn value(body: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(body)
}

fn without_model(mut value: Value) -> Value {
    value.as_object_mut().map(|members| members.remove("model"));
    value
}
