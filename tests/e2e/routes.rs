//! Filters that change the choice of the route: the request is decided, labelled and counted by the route that it takes.

use crate::stack::{CHAT, Stack, chat};
use hybrid_llm_tests::artifacts;
use hybrid_llm_tests::envoy::Setup;
use hybrid_llm_tests::http::post;
use hybrid_llm_tests::upstream::StandIn;
use serde_json::{Value, json};

/// An HTTP filter by its type and configuration.
fn filter(kind: &str, mut config: Value) -> Value {
    config["@type"] = json!(format!("type.googleapis.com/envoy.extensions.filters.http.{kind}"));
    json!({"name": kind, "typed_config": config})
}

/// Adds a header, and has Envoy choose the route again.
fn lua() -> Value {
    let source = r#"
        function envoy_on_request(handle)
          if handle:headers():get("x-api-key") == "gold-key" then handle:headers():add("x-plan", "gold") end
        end"#;
    filter("lua.v3.Lua", json!({"default_source_code": {"inline_string": source}}))
}

/// Takes a header from a token, and has Envoy choose the route again.
fn jwt() -> Value {
    let keys =
        json!({"keys": [{"kty": "oct", "alg": "HS256", "k": "YSBrZXkgb2YgdGhlIHRlc3RzLCBhbmQgb2Ygbm90aGluZyBlbHNl"}]});
    let provider = json!({
        "issuer": "tests",
        "local_jwks": {"inline_string": keys.to_string()},
        "claim_to_headers": [{"header_name": "x-plan", "claim_name": "plan"}],
        "clear_route_cache": true,
    });
    let requires = json!({"requires_any": {"requirements": [{"provider_name": "tests"}, {"allow_missing": {}}]}});
    let rules = json!([{"match": {"prefix": "/"}, "requires": requires}]);
    filter("jwt_authn.v3.JwtAuthentication", json!({"providers": {"tests": provider}, "rules": rules}))
}

/// `{"iss": "tests", "plan": "gold"}`, signed with the key above.
const TOKEN: &str = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJ0ZXN0cyIsInBsYW4iOiJnb2xkIn0.\
    vPFRL0Y1rIj1kVVW_7BEC5EXgIRaTK9gr6LI8U-xGwg";

/// Adds a header, and leaves Envoy with the route that it has chosen.
fn header_mutation() -> Value {
    let header = json!({"key": "x-plan", "value": "%REQ(x-asked-plan)%"});
    filter(
        "header_mutation.v3.HeaderMutation",
        json!({"mutations": {"request_mutations": [{"append": {"header": header}}]}}),
    )
}

/// What makes a client a gold one, whichever of the filters is there.
const GOLD: [(&str, &str); 3] = [("x-api-key", "gold-key"), ("authorization", TOKEN), ("x-asked-plan", "gold")];

/// Two routes for the same path: which one holds is known once the filter before has run. Metadata (null: none), and the cluster
/// that the route has of its own, if it does not follow the header.
fn plans(gold: (Value, Option<&str>), silver: (Value, Option<&str>)) -> impl Fn(Setup) -> Setup {
    let route = move |model: &Value, name: &str, (metadata, cluster): &(Value, Option<&str>)| {
        let mut route = model.clone();
        route["name"] = json!(name);
        route["metadata"]["filter_metadata"] = json!({});
        if !metadata.is_null() {
            route["metadata"]["filter_metadata"]["hybrid_llm"] = metadata.clone();
        }
        if let Some(cluster) = cluster {
            route["route"].as_object_mut().unwrap().remove("cluster_header");
            route["route"]["cluster"] = json!(cluster);
        }
        route
    };
    move |setup| {
        setup.change_routes(|routes| {
            let model = routes[0].clone();
            let mut gold = route(&model, "gold", &gold);
            gold["match"]["headers"] = json!([{"name": "x-plan", "string_match": {"exact": "gold"}}]);
            *routes = vec![gold, route(&model, "silver", &silver)];
        })
    }
}

fn threshold(threshold: f64) -> Value {
    json!({"pair": "chat", "threshold": threshold})
}

#[tokio::test]
async fn a_request_is_decided_by_the_route_that_it_takes() {
    let plans = plans((threshold(0.1), None), (threshold(0.9), None));
    for filter in [lua(), jwt(), header_mutation()] {
        let stack = Stack::start(|setup| plans(setup.http_filter_before(filter.clone()))).await;
        stack.send(CHAT, chat("auto", "score 0.5"), &GOLD).await.expect("small", "score");
        stack.send(CHAT, chat("auto", "score 0.05"), &GOLD).await.expect("large", "score");
        stack.ask("score 0.5").await.expect("large", "score");
        stack.ask("score 0.95").await.expect("small", "score");
        for (route, tier) in [("gold", "small"), ("gold", "large"), ("silver", "small"), ("silver", "large")] {
            assert_eq!(stack.counted(&[("route", route), ("tier", tier), ("reason", "score")]).await, 1.0, "{filter}");
        }
        assert_eq!(stack.counted(&[]).await, 4.0);
    }
}

/// A plan may have no pair, and a cluster of its own.
#[tokio::test]
async fn a_pair_on_one_of_two_routes_is_that_routes_alone() {
    for filter in [lua(), header_mutation()] {
        let plans = plans((json!(null), Some("gpt")), (threshold(0.5), None));
        let stack = Stack::start(|setup| plans(setup.http_filter_before(filter.clone()))).await;
        let body = chat("auto", "score 0.9");
        let gold = stack.send(CHAT, body.clone(), &GOLD).await;
        assert_eq!(gold.expect_untouched().upstream.body, body);
        stack.ask("score 0.9").await.expect("small", "score");
        assert_eq!(stack.counted(&[]).await, 1.0, "gold is not counted");

        let plans = self::plans((threshold(0.5), None), (json!(null), Some("gpt")));
        let stack = Stack::start(|setup| plans(setup.http_filter_before(filter.clone()))).await;
        stack.send(CHAT, body.clone(), &GOLD).await.expect("small", "score");
        assert_eq!(stack.send(CHAT, body.clone(), &[]).await.expect_untouched().upstream.body, body);
        assert_eq!(stack.counted(&[("route", "gold"), ("tier", "small")]).await, 1.0);
    }
}

/// Where a filter stands between the ones that choose the route anew and this one, or after it, that can't be seen in time. It is
/// told: on the response, by a counter of the route taken, and in the log, once.
#[tokio::test]
async fn a_route_that_was_not_decided_for_is_told() {
    let told =
        |log: &str| log.lines().filter(|line| line.contains(r#"route "gold": its requests are decided by"#)).count();
    let mismatch = [("route", "gold"), ("pair", "chat"), ("reason", "route_mismatch")];
    let query = || chat("auto", "score 0.5");

    let plans = self::plans((threshold(0.1), None), (threshold(0.9), None));
    let stack = Stack::start(|setup| plans(setup.http_filter_right_before(lua()))).await;
    for _ in 0..2 {
        let answer = stack.send(CHAT, query(), &GOLD).await;
        answer.expect("large", "route_mismatch");
        assert_eq!((answer.model().as_str(), answer.reply.header("x-hybrid-llm-model")), ("gpt-4.1", "gpt-4.1"));
    }
    stack.ask("score 0.5").await.expect("large", "score");
    assert_eq!((stack.counted(&mismatch).await, stack.counted(&[]).await), (2.0, 3.0));
    assert_eq!(told(&stack.envoy.log()), 1);

    // The pair is on the route taken alone: nobody decides anything.
    let plans = self::plans((threshold(0.1), None), (json!(null), None));
    let stack = Stack::start(|setup| plans(setup.http_filter_right_before(lua()))).await;
    let answer = stack.send(CHAT, query(), &GOLD).await;
    answer.expect("large", "route_mismatch");
    assert_eq!((answer.model().as_str(), answer.reply.header("x-hybrid-llm-model")), ("auto", ""));
    assert_eq!((stack.counted(&mismatch).await, stack.counted(&[]).await), (1.0, 1.0));
    assert_eq!(told(&stack.envoy.log()), 1);

    // The pair is on the first route alone, and both follow the header: what was decided holds.
    let plans = self::plans((json!(null), None), (threshold(0.1), None));
    let stack = Stack::start(|setup| plans(setup.http_filter_right_before(lua()))).await;
    let answer = stack.send(CHAT, query(), &GOLD).await;
    assert_eq!(answer.expect("small", "route_mismatch").model(), "llama-3.1-8b");
    assert_eq!((stack.counted(&mismatch).await, stack.counted(&[]).await), (1.0, 1.0));
    // A route without a pair is left alone where nothing changes it.
    stack.send("/v1/embeddings", "{}", &GOLD).await.expect_untouched();
}

/// Routes that differ in name and what they do with the request, and not in their metadata, are one for the filter.
#[tokio::test]
async fn routes_of_one_policy_are_no_mismatch() {
    let plans = self::plans((threshold(0.5), None), (json!({"threshold": 0.5, "pair": "chat"}), None));
    let stack = Stack::start(|setup| plans(setup.http_filter_right_before(lua()))).await;
    stack.send(CHAT, chat("auto", "score 0.9"), &GOLD).await.expect("small", "score");
    assert_eq!(stack.counted(&[("route", "gold"), ("reason", "score")]).await, 1.0);
}

/// A cluster of its own takes what the decision may not have been for. `envoy/verify-model.yaml` as it stands makes sure that it gets
/// a name that it knows; without it there are the label, the counter and the log.
#[tokio::test]
async fn a_models_name_goes_to_no_other_models_cluster() {
    let plan = self::plans((threshold(0.5), Some("gpt")), (threshold(0.5), Some("llama-8b")));
    let stack =
        Stack::start(|setup| plan(setup.http_filter_before(lua()).last_http_filter_file("verify-model.yaml"))).await;
    for (score, silver, gold) in [("0.9", "score", "route_mismatch"), ("0.1", "route_mismatch", "score")] {
        let body = chat("auto", &format!("score {score}"));
        let cases = [(&GOLD[..], "large", gold, "gpt-4.1"), (&[], "small", silver, "llama-3.1-8b")];
        for (client, tier, reason, model) in cases {
            let answer = stack.send(CHAT, body.clone(), client).await;
            answer.expect(tier, reason);
            let want = body.replace("\"auto\"", &format!("\"{model}\""));
            assert_eq!(String::from_utf8_lossy(&answer.upstream.body), want);
            assert_eq!(answer.upstream.headers["content-length"], want.len().to_string());
            assert_eq!(answer.reply.header("x-hybrid-llm-model"), if reason == "score" { model } else { "" });
        }
    }
    // In a path, in pieces, and where nothing was read.
    let path = stack
        .send("/v1beta/models/auto:generateContent", r#"{"contents":[{"parts":[{"text":"score 0.9"}]}]}"#, &GOLD)
        .await;
    assert_eq!(path.expect("large", "route_mismatch").upstream.path, "/v1beta/models/gpt-4.1:generateContent");
    let long = chat("auto", &format!("score 0.9 {}", "some words ".repeat(40_000)));
    assert_eq!(stack.send(CHAT, long, &GOLD).await.expect("large", "route_mismatch").model(), "gpt-4.1");
    let unread = chat("auto", &"some words ".repeat(200_000));
    assert_eq!(stack.send(CHAT, unread.clone(), &[]).await.expect("small", "route_mismatch").upstream.body, unread);
    let strange = stack.send(CHAT, r#"{"model":"auto","contents":[]}"#, &[]).await;
    assert_eq!(strange.expect("small", "route_mismatch").model(), "llama-3.1-8b");
    // A model that the client named is what the client gets.
    let named = chat("gpt-4.1-mini", "score 0.1");
    assert_eq!(stack.send(CHAT, named.clone(), &[]).await.upstream.body, named);
    let line = r#"route "gold" leads to cluster "gpt" whatever is decided; let it follow the header"#;
    assert!(stack.envoy.log().contains(line), "{}", stack.envoy.log());
    assert!(!stack.envoy.log().contains("panicked"), "{}", stack.envoy.log());

    // The route of another filter's choice, which has no pair and a cluster that no pair has.
    let other = StandIn::model("other").await;
    let plan = self::plans((json!(null), Some("other")), (threshold(0.5), None));
    let stack = Stack::start(|setup| {
        let setup = setup.cluster_like("gpt", "other", &other.endpoint()).http_filter_right_before(lua());
        plan(setup.last_http_filter_file("verify-model.yaml"))
    })
    .await;
    let body = chat("auto", "score 0.9");
    let reply = stack.envoy.send(post(CHAT, body.clone(), &GOLD)).await.unwrap();
    assert_eq!((reply.header("x-stand-in"), reply.header("x-hybrid-llm-reason")), ("other", "route_mismatch"));
    assert_eq!(other.take().remove(0).body, body);
    stack.send(CHAT, body, &[]).await.expect("small", "score");
}

/// The second role is told nothing else than the first.
#[test]
fn the_verifying_filter_has_the_references_configuration() {
    let read = |name: &str| -> Value {
        let text = std::fs::read_to_string(artifacts::workspace().join("envoy").join(name)).unwrap();
        serde_yaml_ng::from_str(&text).unwrap()
    };
    let (reference, verify) = (read("envoy.yaml"), read("verify-model.yaml"));
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";
    let filters = reference.pointer(filters).and_then(Value::as_array).unwrap();
    let first = filters.iter().find(|filter| filter["name"] == "hybrid-llm").unwrap();
    let action =
        "/typed_config/xds_matcher/matcher_list/matchers/0/on_match/action/typed_config/typed_config/typed_config";
    for place in ["vm_config", "configuration", "failure_policy", "allow_on_headers_stop_iteration"] {
        let second = &verify.pointer(action).unwrap()["config"][place];
        assert!(!second.is_null() && *second == first["typed_config"]["config"][place], "{place}");
    }
}

/// As a `threshold:` without a value is in YAML.
#[tokio::test]
async fn a_null_in_a_routes_metadata_is_told() {
    let stack = Stack::start(|setup| {
        setup.change_routes(|routes| {
            let model = routes[0].clone();
            let nulls = [
                ("no-dial", json!({"pair": "chat", "threshold": null})),
                ("no-mode", json!({"pair": "chat", "threshold": 0.5, "mode": null})),
                ("no-pair", json!({"pair": null, "threshold": 0.5})),
                ("no-key", json!({"pair": "chat", "threshold": 0.5, "note": null})),
                ("off", json!({"pair": "chat", "threshold": null, "mode": "off"})),
            ];
            *routes = nulls
                .into_iter()
                .map(|(name, metadata)| {
                    let mut route = model.clone();
                    route["name"] = json!(name);
                    route["match"] = json!({"prefix": format!("/{name}/")});
                    route["route"]["prefix_rewrite"] = json!("/");
                    route["metadata"]["filter_metadata"]["hybrid_llm"] = metadata;
                    route
                })
                .collect();
        })
    })
    .await;
    let ask = async |route: &str| stack.send(&format!("/{route}{CHAT}"), chat("auto", "score 0.9"), &[]).await;
    for route in ["no-dial", "no-mode", "no-key"] {
        let answer = ask(route).await;
        assert_eq!(answer.expect("large", "route_config").model(), "gpt-4.1", "{route}");
        assert_eq!(
            stack.counted(&[("route", route), ("pair", "chat"), ("reason", "route_config")]).await,
            1.0,
            "{route}"
        );
    }
    ask("no-pair").await.expect_untouched();
    assert_eq!(stack.counted(&[("route", "no-pair"), ("pair", "-"), ("reason", "route_config")]).await, 1.0);
    ask("off").await.expect_untouched();
    assert_eq!(stack.counted(&[]).await, 4.0);
    let log = stack.envoy.log();
    for (route, key) in [
        ("no-dial", "threshold"),
        ("no-mode", "mode"),
        ("no-pair", "pair"),
        ("no-key", "(a key that is not known, or one within another)"),
    ] {
        let line = format!(r#"route "{route}": metadata hybrid_llm.{key}: null is no value"#);
        assert!(log.contains(&line), "{line}\n{log}");
    }
}
