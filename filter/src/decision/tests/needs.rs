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
    let seeing = with(small(serde_json::json!({"capabilities": ["vision", "tools"]})));
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
        let plan = plan_of(policy, Overrides::default(), &request, &Remembers(record)).unwrap();
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
        told(plan_of(&policy("open"), asked, &request, &Remembers(record)).unwrap())
    };
    let (none, small) = (Overrides::default(), Overrides { tier: Some(Tier::Small), dial: None });
    assert_eq!(plan(r#","background":true"#, none, None), "large capability");
    assert_eq!(plan(r#","background":false"#, none, None), r#"ask "Why is the sky blue?" Threshold(0.5)"#);
    assert_eq!(plan(r#","background":true"#, small, None), "small forced");
    // Only small has the response that it continues.
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

/// Each tier's limits, in both directions; where neither tier can answer, large says so.
#[test]
fn what_a_tier_refuses_goes_to_the_other() {
    let body = |more: &str| {
        format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"What is the capital of Peru?"}}]{more}}}"#)
    };
    let tiers = |small: serde_json::Value, large: serde_json::Value| {
        let mut tiers =
            serde_json::json!({"small": {"cluster": "a", "model": "m"}, "large": {"cluster": "b", "model": "n"}});
        tiers["small"].as_object_mut().unwrap().extend(small.as_object().unwrap().clone());
        tiers["large"].as_object_mut().unwrap().extend(large.as_object().unwrap().clone());
        with(tiers)
    };
    let none = || serde_json::json!({});
    let one = |setting: &serde_json::Value| [tiers(setting.clone(), none()), tiers(none(), setting.clone())];
    let table = [
        (serde_json::json!({"output_tokens": 8192}), r#","max_tokens":8193"#, true),
        (serde_json::json!({"output_tokens": 8192}), r#","max_completion_tokens":8192"#, false),
        (serde_json::json!({"capabilities": []}), r#","reasoning_effort":"high""#, true),
        (serde_json::json!({"capabilities": ["thinking"]}), r#","reasoning_effort":"high""#, false),
        (serde_json::json!({"capabilities": []}), r#","reasoning_effort":"none""#, false),
        (serde_json::json!({"refuses": {"fields": ["reasoning_effort"]}}), r#","reasoning_effort":"none""#, true),
        (serde_json::json!({"refuses": {"fields": ["max_tokens", "temperature"]}}), r#","temperature":0"#, true),
        (serde_json::json!({"refuses": {"fields": ["max_tokens"]}}), r#","max_completion_tokens":9"#, false),
        (serde_json::json!({"refuses": {"headers": ["x-session"]}}), "", true),
        (serde_json::json!({"refuses": {"headers": ["x-session=s-2"]}}), "", false),
        (serde_json::json!({"refuses": {"headers": ["x-session=s-3"]}}), "", true),
        (serde_json::json!({"capabilities": ["tools"]}), r#","tools":[{"type":"function"}]"#, false),
        (serde_json::json!({"capabilities": ["tools"]}), r#","tools":[{"type":"function"},{"type":"custom"}]"#, true),
        (serde_json::json!({"capabilities": ["tools", "hosted_tools"]}), r#","tools":[{"type":"custom"}]"#, false),
    ];
    let ask = r#"ask "What is the capital of Peru?" Threshold(0.5)"#;
    for (setting, more, refused) in table {
        let [small, large] = one(&setting);
        let want = if refused { ["large capability", "small capability"] } else { [ask, ask] };
        let got = [small, large].map(|policy| plan_with(&policy, Overrides::default(), &body(more), None));
        assert_eq!(got, want, "{setting} {more}");
        let both = plan_with(&tiers(setting.clone(), setting.clone()), Overrides::default(), &body(more), None);
        assert_eq!(both, want[0], "{setting} {more}");
    }
    // In shadow mode all goes to large, whatever that refuses.
    let shadow = RoutePolicy { shadow: true, ..tiers(none(), serde_json::json!({"output_tokens": 5})) };
    assert_eq!(plan_with(&shadow, Overrides::default(), &body(r#","max_tokens":9"#), None), ask);
}

/// A call in the history needs a model that knows tools, though the request declares none.
#[test]
fn the_history_needs_what_it_holds() {
    let history = r#"{"role":"user","content":"What is the weather in Oslo?"},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"c","content":"rain"},{"role":"assistant","content":"It rains."},"#;
    let body = |history: &str, last: &str| format!(r#"{{"model":"auto","messages":[{history}{last}]}}"#);
    let ask = r#"{"role":"user","content":"Summarise this conversation in a line."}"#;
    let capable = |list: serde_json::Value| {
        with(serde_json::json!({"small": {"cluster": "a", "model": "m", "capabilities": list}}))
    };
    let plan = |policy: &RoutePolicy, body: &str| plan_with(policy, Overrides::default(), body, None);
    assert_eq!(plan(&capable(serde_json::json!([])), &body(history, ask)), "large capability");
    assert!(plan(&capable(serde_json::json!(["tools"])), &body(history, ask)).starts_with("ask"));
    assert!(plan(&capable(serde_json::json!([])), &body("", ask)).starts_with("ask"));
    // The beginning of an answer is not one.
    let prefilled = format!(r#"{ask},{{"role":"assistant","content":"In"}}"#);
    assert_eq!(plan(&capable(serde_json::json!([])), &body("", &prefilled)), "large capability");
    assert!(plan(&capable(serde_json::json!(["prefill"])), &body("", &prefilled)).starts_with("ask"));
    let answered = format!(r#"{prefilled},{ask}"#);
    assert!(plan(&capable(serde_json::json!([])), &body("", &answered)).starts_with("ask"));
}
