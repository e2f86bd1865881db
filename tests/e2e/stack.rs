//! What most tests need: Envoy between two stand-in models, with the scripted scorer.

use hybrid_llm_tests::envoy::{Envoy, Route, Setup};
use hybrid_llm_tests::http::{Reply, post};
use hybrid_llm_tests::metrics;
use hybrid_llm_tests::scorer;
use hybrid_llm_tests::upstream::{Recorded, StandIn};
use serde_json::{Value, json};

pub(crate) const CHAT: &str = "/v1/chat/completions";

pub(crate) struct Stack {
    pub(crate) envoy: Envoy,
    pub(crate) small: StandIn,
    pub(crate) large: StandIn,
    pub(crate) scorer: StandIn,
}

impl Stack {
    /// One route for all paths, threshold 0.5, timeouts that no busy machine meets, and whatever `change` does to that.
    pub(crate) async fn start(change: impl FnOnce(Setup) -> Setup) -> Self {
        let (small, large) = (StandIn::model("small").await, StandIn::model("large").await);
        let scorer = scorer::scripted().await;
        let setup = Setup::reference()
            .patient()
            .cluster("llama-8b", &small.endpoint())
            .cluster("gpt", &large.endpoint())
            .cluster("hybrid-llm-scorer", &scorer.endpoint())
            .routes(&[Route::new("chat", "/", json!({"pair": "chat", "threshold": 0.5}))]);
        let envoy = change(setup).start().await.unwrap();
        Self { envoy, small, large, scorer }
    }

    /// Sends a chat request for `auto` with this user message.
    pub(crate) async fn ask(&self, query: &str) -> Answer {
        self.send(CHAT, chat("auto", query), &[]).await
    }

    /// Sends a body as it is, and tells who got what.
    pub(crate) async fn send(&self, path: &str, body: impl Into<bytes::Bytes>, headers: &[(&str, &str)]) -> Answer {
        let reply = self.envoy.send(post(path, body, headers)).await.unwrap();
        self.answer(reply)
    }

    /// Puts a reply together with what the models recorded.
    pub(crate) fn answer(&self, reply: Reply) -> Answer {
        let (small, large) = (self.small.take(), self.large.take());
        let (by, mut got) = if large.is_empty() { ("small", small) } else { ("large", large) };
        assert_eq!(
            got.len(),
            1,
            "exactly one model is asked; reply {} {:?} {}",
            reply.status,
            reply.headers,
            reply.text()
        );
        Answer { by, upstream: got.remove(0), reply }
    }

    /// The filter's counter, over all routes and pairs.
    pub(crate) async fn counted(&self, labels: &[(&str, &str)]) -> f64 {
        metrics::sum(&self.envoy.stats().await.unwrap(), "hybrid_llm_requests_total", labels)
    }
}

/// A response, which model gave it, and what that model was sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) by: &'static str,
    pub(crate) upstream: Recorded,
    pub(crate) reply: Reply,
}

impl Answer {
    /// Checks that the client got a 200 from this tier, labelled with this reason.
    #[track_caller]
    pub(crate) fn expect(&self, tier: &str, reason: &str) -> &Self {
        let got = (self.reply.status, self.by, self.reply.header("x-hybrid-llm-reason"));
        assert_eq!(got, (200, tier, reason), "{:?} {}", self.reply.headers, self.reply.text());
        assert_eq!(self.reply.header("x-hybrid-llm-tier"), tier);
        self
    }

    /// Checks that the filter left the request alone.
    #[track_caller]
    pub(crate) fn expect_untouched(&self) -> &Self {
        let labels: Vec<_> =
            self.reply.headers.keys().filter(|name| name.as_str().starts_with("x-hybrid-llm")).collect();
        assert_eq!((self.reply.status, self.by, labels), (200, "large", vec![]));
        self
    }

    /// The model that the upstream was asked for.
    pub(crate) fn model(&self) -> String {
        let body: Value = serde_json::from_slice(&self.upstream.body).unwrap_or_default();
        body["model"].as_str().unwrap_or_default().to_owned()
    }
}

/// A chat request.
pub(crate) fn chat(model: &str, query: &str) -> String {
    json!({"model": model, "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": query}]})
        .to_string()
}

/// One tool.
pub(crate) fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}])
}

/// The first request of a tool loop, and the one that brings the tool's result.
pub(crate) fn tool_loop(query: &str) -> (String, String) {
    let user = json!({"role": "user", "content": query});
    let call = json!({"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]});
    let result = json!({"role": "tool", "tool_call_id": "c1", "content": "rain"});
    let body = |messages: Value| json!({"model": "auto", "messages": messages, "tools": tools()}).to_string();
    (body(json!([user])), body(json!([user, call, result])))
}

/// A chat of turns that the user and the model take by turns.
pub(crate) fn turns(texts: &[&str]) -> String {
    let messages = texts.iter().enumerate().map(|(i, text)| {
        let role = if i % 2 == 0 { "user" } else { "assistant" };
        json!({"role": role, "content": text})
    });
    json!({"model": "auto", "messages": messages.collect::<Vec<_>>()}).to_string()
}
