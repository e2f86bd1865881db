//! Where requests go: scores, dials, routes, modes, overrides, aliases.

use crate::stack::{CHAT, Stack, chat};
use hybrid_llm_tests::envoy::{Route, Update};
use hybrid_llm_tests::http::{self, get, post};
use hybrid_llm_tests::metrics;
use hybrid_llm_tests::upstream::{StandIn, reply};
use hyper::header::{HeaderName, HeaderValue};
use serde_json::json;

#[tokio::test]
async fn the_score_chooses_the_tier() {
    let stack = Stack::start(|setup| setup).await;

    let easy = stack.ask("score 0.8").await;
    easy.expect("small", "score");
    assert_eq!(easy.model(), "llama-3.1-8b");
    assert_eq!(easy.reply.header("x-hybrid-llm-model"), "llama-3.1-8b");
    assert_eq!(easy.reply.header("x-hybrid-llm-score"), "0.8000");
    assert_eq!(easy.reply.header("x-stand-in"), "small");
    assert_eq!(easy.reply.json()["model"], "llama-3.1-8b");

    let hard = stack.ask("score 0.2").await;
    hard.expect("large", "score");
    assert_eq!(hard.model(), "gpt-4.1");
    assert_eq!(hard.reply.header("x-hybrid-llm-score"), "0.2000");

    // At the threshold itself a query goes to small.
    stack.ask("score 0.5").await.expect("small", "score");

    // The scorer is asked for the last user message alone, and the model is not told how it was chosen.
    let asked: Vec<serde_json::Value> =
        stack.scorer.take().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    assert_eq!(asked[0], json!({"router": "default", "query": "score 0.8"}));
    let leaked: Vec<_> = easy.upstream.headers.keys().filter(|name| name.as_str().contains("hybrid")).collect();
    assert!(leaked.is_empty(), "{leaked:?}");

    assert_eq!(
        stack.counted(&[("tier", "small"), ("reason", "score"), ("route", "chat"), ("pair", "chat")]).await,
        2.0
    );
    assert_eq!(stack.counted(&[("tier", "large"), ("reason", "score")]).await, 1.0);
    assert_eq!(stack.counted(&[]).await, 3.0);
}

#[tokio::test]
async fn each_route_has_its_own_dial() {
    let stack = Stack::start(|setup| {
        setup.plugin("/pairs/chat/dial", json!({"quality_drop": 0.025})).routes(&[
            Route::new("strict", "/strict/", json!({"pair": "chat", "threshold": 0.9})),
            Route::new("loose", "/loose/", json!({"pair": "chat", "threshold": 0.1})),
            Route::new("share", "/share/", json!({"pair": "chat", "small_share": 0.6})),
            Route::new("pair", "/pair/", json!({"pair": "chat"})),
        ])
    })
    .await;
    // The scripted scorer's share is 1 - score, its drop a tenth of that.
    let table = [
        ("/strict", "0.89", "large"),
        ("/strict", "0.9", "small"),
        ("/loose", "0.1", "small"),
        ("/loose", "0.09", "large"),
        ("/share", "0.41", "small"),
        ("/share", "0.39", "large"),
        ("/pair", "0.76", "small"),
        ("/pair", "0.74", "large"),
    ];
    for (route, score, tier) in table {
        let answer = stack.send(&format!("{route}{CHAT}"), chat("auto", &format!("score {score}")), &[]).await;
        answer.expect(tier, "score");
        assert_eq!(answer.upstream.path, CHAT, "the route's prefix is taken off");
    }
    for route in ["strict", "loose", "share", "pair"] {
        for tier in ["small", "large"] {
            assert_eq!(stack.counted(&[("route", route), ("tier", tier)]).await, 1.0, "{route} {tier}");
        }
    }
}

#[tokio::test]
async fn a_changed_threshold_moves_the_share_without_a_restart() {
    let mut stack = Stack::start(|setup| setup).await;
    let share = async |stack: &Stack| {
        let mut small = 0;
        for percent in (0..100).step_by(5) {
            let answer = stack.ask(&format!("score {}", f64::from(percent) / 100.0)).await;
            small += usize::from(answer.by == "small");
        }
        small
    };
    assert_eq!(share(&stack).await, 10);
    let process = stack.envoy.process().id();
    for (threshold, small) in [(0.9, 2), (0.0, 20), (0.25, 15)] {
        let metadata = json!({"pair": "chat", "threshold": threshold});
        let update = stack.envoy.update(|setup| setup.routes(&[Route::new("chat", "/", metadata)])).await.unwrap();
        assert_eq!(update, Update::Taken);
        assert_eq!(share(&stack).await, small, "threshold {threshold}");
    }
    assert_eq!(stack.envoy.process().id(), process);
    // The counter lived through the changes: it is one VM still.
    assert_eq!(stack.counted(&[]).await, 80.0);
}

#[tokio::test]
async fn shadow_scores_and_records_and_sends_to_large() {
    let stack = Stack::start(|setup| {
        let metadata = json!({"pair": "chat", "threshold": 0.5, "mode": "shadow"});
        setup.plugin("/pairs/chat/allow_override", json!(true)).routes(&[Route::new("chat", "/", metadata)])
    })
    .await;
    for score in ["0.8", "0.7", "0.2"] {
        let answer = stack.ask(&format!("score {score}")).await;
        answer.expect("large", "shadow");
        assert_eq!(answer.model(), "gpt-4.1");
        assert!(answer.reply.header("x-hybrid-llm-score").starts_with(score));
    }
    let forced = stack.send(CHAT, chat("auto", "score 0.9"), &[("x-hybrid-llm-tier", "small")]).await;
    forced.expect("large", "shadow");
    let stats = stack.envoy.stats().await.unwrap();
    let would_be = |tier| metrics::sum(&stats, "hybrid_llm_shadow_total", &[("tier", tier), ("route", "chat")]);
    assert_eq!((would_be("small"), would_be("large")), (3.0, 1.0));
    assert_eq!(stack.counted(&[("tier", "large"), ("reason", "shadow")]).await, 4.0);
}

#[tokio::test]
async fn what_is_not_to_be_routed_is_left_alone() {
    let stack = Stack::start(|setup| {
        setup.routes(&[
            Route::new("off", "/off/", json!({"pair": "chat", "threshold": 0.5, "mode": "off"})),
            // What Envoy makes of a bare `mode: off` in YAML.
            Route::new("bare-off", "/bare-off/", json!({"pair": "chat", "threshold": 0.5, "mode": false})),
            Route::new("no-pair", "/no-pair/", json!({"threshold": 0.5})),
            Route::new("no-metadata", "/no-metadata/", json!(null)),
            Route::new("chat", "/", json!({"pair": "chat", "threshold": 0.5})),
        ])
    })
    .await;
    let body = chat("auto", "score 0.9");
    for route in ["/off", "/bare-off", "/no-pair", "/no-metadata"] {
        let answer = stack.send(&format!("{route}{CHAT}"), body.clone(), &[]).await;
        answer.expect_untouched();
        assert_eq!(answer.upstream.body, body, "{route}");
    }
    // Other paths, and a model that is not an alias of the pair.
    stack.send("/v1/embeddings", body.clone(), &[]).await.expect_untouched();
    let explicit = chat("gpt-4.1-mini", "score 0.9");
    let answer = stack.send(CHAT, explicit.clone(), &[]).await;
    assert_eq!(answer.expect_untouched().upstream.body, explicit);

    let models = get(&stack.envoy.listener, "/v1/models").await.unwrap();
    stack.answer(models).expect_untouched();
    assert!(stack.scorer.take().is_empty(), "the scorer is not asked");
    assert_eq!(stack.counted(&[]).await, 0.0);
}

/// As the README's limits have it: a name in a body that nobody reads counts for nothing, and a WebSocket is not opened.
#[tokio::test]
async fn what_is_not_read_goes_to_the_first_pairs_large_model() {
    let stack = Stack::start(|setup| setup.plugin("/max_body_bytes", json!(1000))).await;
    let small = |query: &str| chat("llama-3.1-8b", query);
    assert_eq!(stack.send(CHAT, small("read me"), &[]).await.by, "small");
    stack.send(CHAT, small(&"word ".repeat(300)), &[]).await.expect("large", "body_too_large");
    stack.send(CHAT, small("zipped"), &[("content-encoding", "gzip")]).await.expect("large", "encoded_body");

    let mut upgrade = post("/v1/responses", "", &[("connection", "upgrade"), ("upgrade", "websocket")]);
    *upgrade.method_mut() = hyper::Method::GET;
    assert_eq!(http::send(&stack.envoy.listener, upgrade).await.unwrap().status, 403);
}

#[tokio::test]
async fn a_pair_without_aliases_routes_every_model() {
    let stack = Stack::start(|setup| setup.plugin("/pairs/chat/models", json!([]))).await;
    let answer = stack.send(CHAT, chat("whatever", "score 0.9"), &[]).await;
    answer.expect("small", "score");
    assert_eq!(answer.model(), "llama-3.1-8b");
    let unnamed = r#"{"messages":[{"role":"user","content":"score 0.9"}]}"#;
    let answer = stack.send(CHAT, unnamed, &[]).await;
    assert_eq!(answer.expect("small", "score").upstream.body, unnamed);
}

#[tokio::test]
async fn overrides_are_taken_only_where_the_pair_allows_them() {
    let requests = [
        ("score 0.1", ("x-hybrid-llm-tier", "small"), ("small", "forced")),
        ("score 0.9", ("x-hybrid-llm-tier", "large"), ("large", "forced")),
        ("score 0.3", ("x-hybrid-llm-threshold", "0.2"), ("small", "score")),
        ("score 0.7", ("x-hybrid-llm-small-share", "0.2"), ("large", "score")),
        ("score 0.3", ("x-hybrid-llm-quality-drop", "0.08"), ("small", "score")),
        ("score 0.7", ("x-hybrid-llm-threshold", "high"), ("small", "score")),
        ("score 0.3", ("x-hybrid-llm-tier", "tiny"), ("large", "score")),
    ];
    let allowed = Stack::start(|setup| setup.plugin("/pairs/chat/allow_override", json!(true))).await;
    let refused = Stack::start(|setup| setup).await;
    for (query, header, (tier, reason)) in requests {
        let answer = allowed.send(CHAT, chat("auto", query), &[header]).await;
        answer.expect(tier, reason);
        assert!(!answer.upstream.headers.contains_key(header.0), "stripped even where it is honoured");

        let score: f64 = query.split(' ').nth(1).unwrap().parse().unwrap();
        let answer = refused.send(CHAT, chat("auto", query), &[header]).await;
        answer.expect(if score >= 0.5 { "small" } else { "large" }, "score");
        assert!(!answer.upstream.headers.contains_key(header.0));
    }
}

#[tokio::test]
async fn forged_headers_do_nothing() {
    let stack = Stack::start(|setup| setup).await;
    let forged = [
        ("x-hybrid-llm-cluster", "llama-8b"),
        ("x-hybrid-llm-tier", "small"),
        ("x-hybrid-llm-reason", "forged"),
        ("x-hybrid-llm-score", "1.0"),
        ("x-hybrid-llm-model", "forged"),
    ];
    let answer = stack.send(CHAT, chat("auto", "score 0.1"), &forged).await;
    answer.expect("large", "score");
    // Where the filter leaves the request alone, the forged cluster still does nothing.
    let answer = stack.send("/v1/embeddings", "{}", &forged).await;
    answer.expect_untouched();
    let leaked: Vec<_> = answer.upstream.headers.keys().filter(|name| name.as_str().contains("hybrid")).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
    // A header that is no text must not harm the VM.
    let mut request = post(CHAT, chat("auto", "score 0.9"), &[]);
    let bytes = HeaderValue::from_bytes(b"\xff\xfe").unwrap();
    request.headers_mut().insert("x-hybrid-llm-tier", bytes.clone());
    request.headers_mut().insert("x-other", bytes);
    let answer = stack.answer(http::send(&stack.envoy.listener, request).await.unwrap());
    answer.expect("small", "score");
}

/// Another gateway with this filter may well stand behind this one.
#[tokio::test]
async fn what_an_upstream_says_in_our_headers_is_removed() {
    let model = StandIn::start(|_, _| async {
        let mut response = reply(200, "{}");
        for name in ["tier", "reason", "score", "model", "override", "cluster", "anything"] {
            let name = HeaderName::try_from(format!("x-hybrid-llm-{name}")).unwrap();
            for value in ["forged", "twice"] {
                response.headers_mut().append(&name, HeaderValue::from_static(value));
            }
        }
        response
    })
    .await;
    let stack = Stack::start(|setup| setup.cluster("gpt", &model.endpoint())).await;
    let ours = async |path: &str, body: String| {
        let reply = stack.envoy.send(post(path, body, &[])).await.unwrap();
        let all = reply.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-hybrid-llm"));
        let mut all: Vec<_> = all.map(|(name, value)| format!("{name} {}", value.to_str().unwrap())).collect();
        all.sort();
        all
    };
    let labels = |reason: &str| {
        vec![
            "x-hybrid-llm-model gpt-4.1".into(),
            format!("x-hybrid-llm-reason {reason}"),
            "x-hybrid-llm-tier large".into(),
        ]
    };
    let mut scored = labels("score");
    scored.insert(2, "x-hybrid-llm-score 0.1000".into());
    assert_eq!(ours(CHAT, chat("auto", "score 0.1")).await, scored);
    assert_eq!(ours(CHAT, chat("auto", "status 500")).await, labels("scorer_error"));
    assert_eq!(ours(CHAT, "{".to_owned()).await, labels("unparsable"));
    assert_eq!(ours(CHAT, chat("gpt-4.1", "score 0.1")).await, Vec::<String>::new(), "passed through");
    assert_eq!(ours("/v1/embeddings", "{}".to_owned()).await, Vec::<String>::new(), "not read");
}

#[tokio::test]
async fn a_wrong_route_goes_to_large_and_says_so() {
    let stack = Stack::start(|setup| {
        setup.routes(&[
            Route::new("bad-dial", "/bad-dial/", json!({"pair": "chat", "threshold": 62})),
            Route::new("two-dials", "/two-dials/", json!({"pair": "chat", "threshold": 0.5, "small_share": 0.5})),
            Route::new("bad-mode", "/bad-mode/", json!({"pair": "chat", "mode": "of"})),
            Route::new("bad-pair", "/bad-pair/", json!({"pair": "chta"})),
            Route::new("bad-key", "/bad-key/", json!({"pairs": "chat", "threshold": 0.5})),
        ])
    })
    .await;
    for route in ["/bad-dial", "/two-dials", "/bad-mode"] {
        let answer = stack.send(&format!("{route}{CHAT}"), chat("auto", "score 0.9"), &[]).await;
        answer.expect("large", "route_config");
        assert_eq!(answer.model(), "gpt-4.1", "the alias is a real name all the same");
    }
    for route in ["/bad-pair", "/bad-key"] {
        stack.send(&format!("{route}{CHAT}"), chat("auto", "score 0.9"), &[]).await.expect_untouched();
    }
    assert_eq!(stack.counted(&[("reason", "route_config")]).await, 5.0);
    assert_eq!(stack.counted(&[("reason", "route_config"), ("route", "bad-key"), ("pair", "-")]).await, 1.0);
    let log = stack.envoy.log();
    for message in [
        r#"route "bad-dial": metadata hybrid_llm.threshold: 62 is not a fraction; use a number from 0 to 1"#,
        r#"route "bad-mode": metadata hybrid_llm.mode: "of" is unknown; use route, shadow or off"#,
        r#"route "bad-pair": metadata hybrid_llm.pair: "chta" is not one of the plugin configuration's pairs"#,
        r#"route "bad-key": metadata hybrid_llm.pairs: unknown key; there are pair, mode, threshold, small_share and quality_drop"#,
    ] {
        assert!(log.contains(message), "{message}\n{log}");
    }
}

#[tokio::test]
async fn a_prompt_that_does_not_fit_small_goes_to_large() {
    let stack = Stack::start(|setup| setup.plugin("/pairs/chat/small/context_tokens", json!(1000))).await;
    stack.ask("score 0.9").await.expect("small", "score");
    let long = format!("score 0.9 {}", "word ".repeat(900));
    let answer = stack.ask(&long).await;
    answer.expect("large", "context");
    assert_eq!(answer.model(), "gpt-4.1");
    let roomy = json!({"model": "auto", "max_tokens": 995, "messages": [{"role": "user", "content": "score 0.9 and some more words to say"}]});
    stack.send(CHAT, roomy.to_string(), &[]).await.expect("large", "context");
}

/// The reference sets the default cluster before Envoy chooses a route. Where an ordinary filter sets it, the route has
/// been chosen without it, and would be none.
#[tokio::test]
async fn the_default_cluster_may_be_set_by_an_ordinary_filter_too() {
    let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    let mutation = json!({"append": {
        "header": {"key": "x-hybrid-llm-cluster", "value": "gpt"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }});
    let stack = Stack::start(|setup| {
        setup
            .bootstrap(&format!("{manager}/early_header_mutation_extensions"), json!([]))
            .http_filter_before(json!({
                "name": "default-to-large",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
                    "mutations": {"request_mutations": [mutation]},
                },
            }))
            .routes(&[
                Route::new("off", "/off/", json!({"pair": "chat", "threshold": 0.5, "mode": "off"})),
                Route::new("bad-pair", "/bad-pair/", json!({"pair": "chta"})),
                Route::new("chat", "/", json!({"pair": "chat", "threshold": 0.5})),
            ])
    })
    .await;
    stack.ask("score 0.9").await.expect("small", "score");
    stack.ask("score 0.1").await.expect("large", "score");
    stack.ask("garbage").await.expect("large", "bad_score");
    stack.send(CHAT, "{", &[]).await.expect("large", "unparsable");
    stack.send(CHAT, chat("gpt-4.1-mini", "score 0.9"), &[]).await.expect_untouched();
    stack.send("/v1/embeddings", "{}", &[]).await.expect_untouched();
    for route in ["/off", "/bad-pair"] {
        stack.send(&format!("{route}{CHAT}"), chat("auto", "score 0.9"), &[]).await.expect_untouched();
    }
}
