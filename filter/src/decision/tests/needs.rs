//! What only one of the tiers can do: images, tools, schemas, answers in the background.

use super::*;

#[test]
fn earlier_images_do_not_reach_a_model_that_may_not_see() {
    let image = r#"{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}"#;
    let body = format!(
        r#"{{"model":"auto","messages":[{{"role":"user","content":[{{"type":"text","text":"What is this?"}},{image}]}},
            {{"role":"assistant","content":"A dog."}},{{"role":"user","content":"How old do dogs of this breed get?"}}]}}"#
    );
    let ask = r#"ask "How old do dogs of this breed get?" Threshold(0.5)"#;
    let small = |capabilities: serde_json::Value| {
        let mut small = serde_json::json!({"cluster": "a", "model": "m"});
        small.as_object_mut().unwrap().extend(capabilities.as_object().unwrap().clone());
        small
    };
    let unknown = small(serde_json::json!({}));
    let table = [
        (with(serde_json::json!({"small": unknown})), "large non_text"),
        (with(serde_json::json!({"small": unknown, "affinity": "sticky"})), "large non_text"),
        (with(serde_json::json!({"small": unknown, "query": {"non_text": "score"}})), ask),
        (with(serde_json::json!({"small": small(serde_json::json!({"capabilities": ["vision"]}))})), ask),
        (with(serde_json::json!({"small": small(serde_json::json!({"capabilities": ["tools"]}))})), "large capability"),
    ];
    for (policy, want) in table {
        assert_eq!(plan_with(&policy, Overrides::default(), &body, Some(Tier::Small)), want, "{:?}", policy.pair);
    }
    // A conversation that stays where it is does not take an image there that its model can't be scored by.
    let turn = body.replace(r#""content":"How old"#, &format!(r#""content":[{image}],"x":"How old"#));
    let sticky = with(
        serde_json::json!({"affinity": "sticky", "small": small(serde_json::json!({"capabilities": ["vision"]}))}),
    );
    assert_eq!(plan_with(&sticky, Overrides::default(), &turn, Some(Tier::Small)), "large non_text");
}

/// A tool's picture in a loop that small began, and nobody says whether small sees.
#[test]
fn a_loop_leaves_a_model_that_may_not_see_unless_it_is_signed() {
    let body = |signed: &str| {
        format!(
            r#"{{"model":"auto","max_tokens":9,"messages":[{{"role":"user","content":"Which way does the vane point?"}},
            {{"role":"assistant","content":[{signed}{{"type":"tool_use","id":"t","name":"camera","input":{{}}}}]}},
            {{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":[{{"type":"image","source":{{}}}}]}}]}}]}}"#
        )
    };
    let (bare, signed) = (&body(""), &body(r#"{"type":"thinking","thinking":"Hm.","signature":"x"},"#));
    let small = |more: serde_json::Value| {
        let mut small = serde_json::json!({"cluster": "a", "model": "m"});
        small.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::json!({"small": small})
    };
    let unknown = with(small(serde_json::json!({})));
    let seeing = with(small(serde_json::json!({"capabilities": ["vision"]})));
    let blind = with(small(serde_json::json!({"capabilities": []})));
    let mut scored = small(serde_json::json!({}));
    scored["query"] = serde_json::json!({"non_text": "score"});
    let table = [
        (&unknown, bare, Some(Tier::Small), "large non_text"),
        (&unknown, bare, Some(Tier::Large), "large affinity"),
        (&unknown, bare, None, "large tool_loop"),
        (&unknown, signed, Some(Tier::Small), "small affinity"),
        (&with(scored), bare, Some(Tier::Small), "small affinity"),
        (&seeing, bare, Some(Tier::Small), "small affinity"),
        (&blind, signed, Some(Tier::Small), "large capability"),
    ];
    for (policy, body, went, want) in table {
        let request = Api::AnthropicMessages.read("", body.as_bytes()).unwrap();
        let record = went.map(|last_tier| Record { last_tier, assigned: None });
        let plan = before_score(policy, Overrides::default(), &request, || record).unwrap();
        assert_eq!(told(plan), want, "{:?} {went:?} {body}", policy.pair.small);
    }
}

/// Its answer is fetched by a request that names no model, and so goes to large.
#[test]
fn answers_in_the_background_are_where_they_are_looked_for() {
    let plan = |more: &str, asked: Overrides, remembered: Option<Tier>| {
        let body = format!(r#"{{"model":"auto","input":"Why is the sky blue?"{more}}}"#);
        let request = Api::OpenAiResponses.read("", body.as_bytes()).unwrap();
        let record = remembered.map(|last_tier| Record { last_tier, assigned: None });
        told(before_score(&policy("open"), asked, &request, || record).unwrap())
    };
    let (none, small) = (Overrides::default(), Overrides { tier: Some(Tier::Small), dial: None });
    assert_eq!(plan(r#","background":true"#, none, None), "large capability");
    assert_eq!(plan(r#","background":false"#, none, None), r#"ask "Why is the sky blue?" Threshold(0.5)"#);
    assert_eq!(plan(r#","background":true"#, small, None), "small forced");
    // Only small has the response that it goes on with.
    let stored = r#","background":true,"previous_response_id":"resp_1""#;
    assert_eq!(plan(stored, none, Some(Tier::Small)), "small affinity");
}

#[test]
fn needs_and_capabilities() {
    let content = |parts: &str| format!(r#"{{"model":"auto","messages":[{{"role":"user","content":[{parts}]}}]}}"#);
    let text = r#"{"type":"text","text":"What does this picture show?"}"#;
    let image =
        &content(&format!(r#"{text},{{"type":"image_url","image_url":{{"url":"https://example.com/a.png"}}}}"#));
    let plain = &content(text);
    let schema = &plain.replacen('{', r#"{"response_format":{"type":"json_schema","json_schema":{}},"#, 1);
    let tools = &plain.replacen('{', r#"{"tools":[{"type":"function"}],"#, 1);
    let ask = r#"ask "What does this picture show?" Threshold(0.5)"#;
    let small = |capabilities: &[&str]| serde_json::json!({"cluster": "a", "model": "m", "capabilities": capabilities});
    let score = serde_json::json!({"non_text": "score"});
    let table = [
        (with(serde_json::json!({})), plain, ask),
        (with(serde_json::json!({})), tools, ask),
        (with(serde_json::json!({})), image, "large capability"),
        (with(serde_json::json!({})), schema, "large capability"),
        (with(serde_json::json!({"small": small(&["vision", "json_schema"])})), image, "large non_text"),
        (with(serde_json::json!({"small": small(&["vision"]), "query": score})), image, ask),
        (with(serde_json::json!({"small": {"cluster": "a", "model": "m"}, "query": score})), image, ask),
        (with(serde_json::json!({"small": {"cluster": "a", "model": "m"}})), image, "large non_text"),
        (with(serde_json::json!({"large": small(&[])})), tools, "small capability"),
        (RoutePolicy { shadow: true, ..with(serde_json::json!({"large": small(&[])})) }, tools, ask),
        (with(serde_json::json!({"large": small(&[])})), image, "large capability"),
    ];
    for (policy, body, want) in table {
        assert_eq!(plan(&policy, Overrides::default(), body), want, "{:?} {body}", policy.pair);
    }
}
