//! Every API, in a real Envoy: which model a request reaches, and what of it has changed on the way.

use crate::stack::{Answer, CHAT, Stack, chat};
use hybrid_llm_tests::envoy::Route;
use hybrid_llm_tests::http::post;
use hybrid_llm_tests::upstream::StandIn;
use hybrid_llm_tests::vendors;
use serde_json::{Value, json};

/// A request of each API that asks `query` of `auto`: path and body. The model in a path stands between two `|`.
fn requests(query: &str) -> Vec<(&'static str, Value)> {
    let parts = json!([{"text": query}]);
    vec![
        (CHAT, json!({"model": "auto", "messages": [{"role": "user", "content": [{"type": "text", "text": query}]}]})),
        ("/v1/completions", json!({"prompt": query, "model": "auto", "max_tokens": 5})),
        ("/v1/responses", json!({"input": [{"role": "user", "content": query}], "model": "auto"})),
        (
            "/v1/messages?beta=true",
            json!({"max_tokens": 5, "messages": [{"role": "user", "content": query}], "model": "auto"}),
        ),
        ("/v1beta/models/|auto|:generateContent", json!({"contents": [{"role": "user", "parts": parts}]})),
        (
            "/v1beta/models/|auto|:streamGenerateContent?alt=sse",
            json!({"contents": [{"role": "user", "parts": parts}]}),
        ),
        ("/v1beta/models/|auto|%3AgenerateContent", json!({"contents": [{"role": "user", "parts": parts}]})),
        (
            "/v1/projects/p/locations/l/publishers/anthropic/models/|auto|:streamRawPredict",
            json!({"anthropic_version": "vertex-2023-10-16", "max_tokens": 5, "messages": [{"role": "user", "content": query}]}),
        ),
        (
            "/v1/projects/p/locations/l/publishers/mistralai/models/|auto|:rawPredict",
            json!({"messages": [{"role": "user", "content": query}], "model": "auto"}),
        ),
        ("/model/|auto|/converse", json!({"messages": [{"role": "user", "content": parts}]})),
        ("/model/|auto|/converse-stream", json!({"messages": [{"role": "user", "content": parts}]})),
        (
            "/model/|auto|/invoke",
            json!({"anthropic_version": "bedrock-2023-05-31", "messages": [{"role": "user", "content": query}]}),
        ),
        ("/model/|auto|/invoke-with-response-stream", json!({"prompt": query})),
    ]
}

impl Answer {
    /// Checks that the model reached is the one named, and that nothing but its name differs from what was sent.
    #[track_caller]
    fn expect_only_the_model_changed(&self, path: &str, body: &str, model: &str) {
        let want_path = match path.split('|').collect::<Vec<_>>()[..] {
            [front, _, back] => format!("{front}{}{back}", model.replace(':', "%3A")),
            _ => path.to_owned(),
        };
        assert_eq!(self.upstream.path, want_path);
        let want = body.replace("\"model\":\"auto\"", &format!("\"model\":\"{model}\""));
        assert_eq!(String::from_utf8_lossy(&self.upstream.body), want);
        assert_eq!(self.upstream.headers["content-length"], want.len().to_string());
        assert_eq!(self.reply.header("x-hybrid-llm-model"), model);
    }
}

#[tokio::test]
async fn every_api_is_routed_by_its_query() {
    let stack = Stack::start(|setup| setup.plugin("/pairs/chat/small/model", json!("vendor.llama-8b-v1:0"))).await;
    for (score, tier, model) in [("0.9", "small", "vendor.llama-8b-v1:0"), ("0.1", "large", "gpt-4.1")] {
        for (path, body) in requests(&format!("score {score} \"é\" 中")) {
            let body = body.to_string();
            let answer = stack.send(&path.replace('|', ""), body.clone(), &[]).await;
            answer.expect(tier, "score").expect_only_the_model_changed(path, &body, model);
            let asked: Value = serde_json::from_slice(&stack.scorer.take()[0].body).unwrap();
            assert_eq!(asked["query"], format!("score {score} \"é\" 中"), "{path}");
        }
    }
}

#[tokio::test]
async fn explicit_models_go_to_who_has_them_as_they_came() {
    let stack = Stack::start(|setup| setup).await;
    for (model, by) in [("llama-3.1-8b", "small"), ("gpt-4.1", "large"), ("gpt-4.1-mini", "large")] {
        for (path, body) in requests("score 0.5") {
            let (path, body) = (path.replace("|auto|", model), body.to_string().replace("auto", model));
            let answer = stack.send(&path, body.clone(), &[]).await;
            assert_eq!((answer.reply.status, answer.by), (200, by), "{path}");
            assert!(answer.reply.headers.keys().all(|name| !name.as_str().starts_with("x-hybrid-llm")), "{path}");
            assert_eq!((answer.upstream.path, answer.upstream.body), (path, body.into()));
        }
    }
    assert!(stack.scorer.take().is_empty(), "the scorer is not asked");
}

/// An alias in a path is made a real name even where the body could not be read.
#[tokio::test]
async fn what_cant_be_read_fails_open_in_every_api() {
    let stack = Stack::start(|setup| setup.plugin("/max_body_bytes", json!(2000))).await;
    for (path, _) in requests("") {
        let long = "x".repeat(3000);
        for (body, reason) in [("{", "unparsable"), ("{\"messages\":5}", "unparsable"), (&long, "body_too_large")] {
            let answer = stack.send(&path.replace('|', ""), body.to_owned(), &[]).await;
            answer.expect("large", reason).expect_only_the_model_changed(path, body, "gpt-4.1");
        }
        let answer = stack.send(&path.replace('|', ""), "{}", &[("content-encoding", "br")]).await;
        answer.expect("large", "encoded_body").expect_only_the_model_changed(path, "{}", "gpt-4.1");
    }
}

#[tokio::test]
async fn other_paths_types_and_prefixes_are_left_alone() {
    let stack = Stack::start(|setup| setup.plugin("/path_prefixes", json!(["/llm/", "/v1/"]))).await;
    let body = chat("auto", "score 0.9");
    stack.send(&format!("/llm{CHAT}"), body.clone(), &[]).await.expect("small", "score");
    stack.send(CHAT, body.clone(), &[]).await.expect("small", "score");
    for path in [
        "/other/v1/chat/completions",
        "/v1/messages/count_tokens",
        "/v1/threads/t/messages",
        "/v1/batches",
        "/v1/publishers/anthropic/models/count-tokens:rawPredict",
    ] {
        let answer = stack.send(path, body.clone(), &[]).await;
        assert_eq!(answer.expect_untouched().upstream.body, body, "{path}");
    }
    let mut request = hybrid_llm_tests::http::post(CHAT, body.clone(), &[]);
    request.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("text/plain"));
    stack.answer(stack.envoy.send(request).await.unwrap()).expect_untouched();
    assert_eq!(stack.scorer.take().len(), 2);
}

/// The answer's bytes are the model's own, whole and streamed, in every API's shape.
#[tokio::test]
async fn answers_arrive_as_the_model_gave_them() {
    let vendor = vendors::model().await;
    let stack = Stack::start(|setup| setup.cluster("llama-8b", &vendor.endpoint())).await;
    for (path, mut body) in requests("score 0.9") {
        if ["invoke", "converse-stream", "awPredict", "%3A"].iter().any(|other| path.contains(other)) {
            continue;
        }
        for stream in [false, true] {
            if path.starts_with("/v1/") {
                body["stream"] = json!(stream);
            }
            let request = hybrid_llm_tests::http::post(&path.replace('|', ""), body.to_string(), &[]);
            let through = stack.envoy.send(request).await.unwrap();
            assert_eq!((through.status, through.header("x-hybrid-llm-tier")), (200, "small"), "{path}");
            let (path, body) =
                (path.replace("|auto|", "llama-3.1-8b"), body.to_string().replace("auto", "llama-3.1-8b"));
            let request = hybrid_llm_tests::http::post(&path, body, &[]);
            let direct = hybrid_llm_tests::http::send(&vendor.endpoint(), request).await.unwrap();
            assert_eq!(
                (through.header("content-type"), through.text()),
                (direct.header("content-type"), direct.text())
            );
        }
    }
}

#[tokio::test]
async fn several_pairs_share_a_route_by_alias() {
    let stack = Stack::start(|setup| {
        let code = json!({
            "small": {"cluster": "llama-8b", "model": "coder-7b"}, "large": {"cluster": "gpt", "model": "coder-xl"},
            "models": ["auto-code"], "dial": {"threshold": 0.3},
        });
        setup.plugin("/pairs/code", code).plugin("/pairs/chat/dial", json!({"threshold": 0.7})).routes(&[Route::new(
            "both",
            "/",
            json!({"pair": "chat, code"}),
        )])
    })
    .await;
    for (alias, score, tier, model) in [
        ("auto", "0.5", "large", "gpt-4.1"),
        ("auto", "0.8", "small", "llama-3.1-8b"),
        ("auto-code", "0.5", "small", "coder-7b"),
        ("auto-code", "0.2", "large", "coder-xl"),
    ] {
        let answer = stack.send(CHAT, chat(alias, &format!("score {score}")), &[]).await;
        assert_eq!(answer.expect(tier, "score").model(), model);
    }
    let explicit = stack.send(CHAT, chat("coder-7b", "score 0.1"), &[]).await;
    assert_eq!((explicit.by, explicit.model().as_str()), ("small", "coder-7b"));
    stack.send(CHAT, chat("other", "score 0.9"), &[]).await.expect_untouched();
    assert_eq!(stack.counted(&[("pair", "code"), ("route", "both")]).await, 2.0);
    assert_eq!(stack.counted(&[("pair", "chat"), ("route", "both")]).await, 2.0);
}

/// Two pairs with clusters of their own: whoever asks for a model by its real name reaches the cluster that has it.
#[tokio::test]
async fn explicit_models_of_a_later_pair_go_to_its_own_clusters() {
    let (coder, coder_xl) = (StandIn::model("coder").await, StandIn::model("coder-xl").await);
    let stack = Stack::start(|setup| {
        let code = json!({
            "small": {"cluster": "coder", "model": "coder-7b"}, "large": {"cluster": "coder-xl", "model": "coder-xl"},
            "models": ["auto-code"], "dial": {"threshold": 0.3},
        });
        setup
            .cluster_like("llama-8b", "coder", &coder.endpoint())
            .cluster_like("gpt", "coder-xl", &coder_xl.endpoint())
            .plugin("/pairs/code", code)
            .routes(&[
                Route::new("broken", "/broken/", json!({"pair": "chat, code", "treshold": 0.5})),
                Route::new("both", "/", json!({"pair": "chat, code"})),
            ])
    })
    .await;
    let by = async |path: &str, model: &str| {
        let reply = stack.envoy.send(post(path, chat(model, "score 0.9"), &[])).await.unwrap();
        (reply.header("x-stand-in").to_owned(), reply.header("x-hybrid-llm-reason").to_owned())
    };
    for (model, want) in [
        ("llama-3.1-8b", "small"),
        ("gpt-4.1", "large"),
        ("coder-7b", "coder"),
        ("coder-xl", "coder-xl"),
        ("another", "large"),
    ] {
        assert_eq!(by(CHAT, model).await, (want.to_owned(), String::new()), "{model}");
    }
    assert_eq!(by(CHAT, "auto-code").await, ("coder".to_owned(), "score".to_owned()));
    // A route that is broken still knows each pair by its aliases.
    let broken = format!("/broken{CHAT}");
    let coded = stack.envoy.send(post(&broken, chat("auto-code", "score 0.9"), &[])).await.unwrap();
    assert_eq!((coded.header("x-stand-in"), coded.header("x-hybrid-llm-reason")), ("coder-xl", "route_config"));
    assert_eq!(coded.json()["model"], "coder-xl");
    assert_eq!(by(&broken, "auto").await, ("large".to_owned(), "route_config".to_owned()));
}
