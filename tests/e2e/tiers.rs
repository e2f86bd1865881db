//! What only one tier can answer, in a real Envoy: no client gets an error that it would not have had without the filter.

use crate::stack::{CHAT, Stack};
use serde_json::{Value, json};

/// A small model behind vLLM, say, and a large one that thinks and takes neither `max_tokens` nor a prefill.
async fn stack() -> Stack {
    Stack::start(|setup| {
        setup
            .plugin("/pairs/chat/small/output_tokens", json!(8192))
            .plugin("/pairs/chat/small/capabilities", json!(["tools", "json_schema", "prefill"]))
            .plugin("/pairs/chat/small/refuses", json!({"fields": ["verbosity"], "headers": ["anthropic-beta"]}))
            .plugin(
                "/pairs/chat/large/capabilities",
                json!(["vision", "tools", "hosted_tools", "json_schema", "thinking"]),
            )
            .plugin("/pairs/chat/large/refuses", json!({"fields": ["max_tokens", "temperature"]}))
    })
    .await
}

const EASY: &str = "score 0.9 What is the capital of Peru?";
const HARD: &str = "score 0.1 Prove that there are infinitely many primes.";

fn asks(question: &str, more: Value) -> String {
    let mut body = json!({"model": "auto", "messages": [{"role": "user", "content": question}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body.to_string()
}

#[tokio::test]
async fn what_small_refuses_goes_to_large() {
    let stack = stack().await;
    let function = json!({"type": "function", "function": {"name": "f"}});
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let (plain, beta) = (&[][..], &[("anthropic-beta", "effort-2025-11-24")][..]);
    let table = [
        (json!({"max_completion_tokens": 8192}), plain, "small", "score"),
        (json!({"max_completion_tokens": 64000}), plain, "large", "capability"),
        (json!({"reasoning_effort": "high"}), plain, "large", "capability"),
        (json!({"verbosity": "low"}), plain, "large", "capability"),
        (json!({"tools": [function]}), plain, "small", "score"),
        (json!({"tools": [function, {"type": "custom", "custom": {"name": "g"}}]}), plain, "large", "capability"),
        (json!({}), beta, "large", "capability"),
        (json!({}), plain, "small", "score"),
    ];
    for (more, headers, tier, reason) in table {
        stack.send(CHAT, asks(EASY, more.clone()), headers).await.expect(tier, reason);
    }
    // The same by the APIs of other vendors.
    let question = json!([{"role": "user", "content": EASY}]);
    let (parts, blocks) =
        (json!([{"parts": [{"text": EASY}]}]), json!([{"role": "user", "content": [{"text": EASY}]}]));
    let apis = [
        (
            "/v1/messages",
            json!({"model": "auto", "messages": question, "max_tokens": 8000, "thinking": {"type": "adaptive"}}),
        ),
        ("/v1/messages", json!({"model": "auto", "messages": question, "max_tokens": 64000})),
        (
            "/v1/messages",
            json!({"model": "auto", "messages": question, "tools": [{"type": "bash_20250124", "name": "bash"}]}),
        ),
        ("/v1/responses", json!({"model": "auto", "store": false, "input": EASY, "reasoning": {"effort": "low"}})),
        ("/v1/responses", json!({"model": "auto", "store": false, "input": EASY, "tools": [{"type": "web_search"}]})),
        (
            "/v1beta/models/auto:generateContent",
            json!({"contents": parts, "generationConfig": {"thinkingConfig": {"thinkingBudget": 99}}}),
        ),
        ("/v1beta/models/auto:generateContent", json!({"contents": parts, "tools": [{"googleSearch": {}}]})),
        (
            "/v1beta/models/auto:generateContent",
            json!({"contents": parts, "generationConfig": {"maxOutputTokens": 64000}}),
        ),
        (
            "/model/auto/converse",
            json!({"messages": blocks, "additionalModelRequestFields": {"thinking": {"type": "enabled"}}}),
        ),
        ("/model/auto/converse", json!({"messages": blocks, "inferenceConfig": {"maxTokens": 64000}})),
        (
            "/model/auto/invoke",
            json!({"messages": question, "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ),
    ];
    for (path, body) in apis {
        // This large model takes no `max_tokens`; where both tiers refuse, large says so itself.
        stack.send(path, body.to_string(), &[]).await.expect("large", "capability");
    }
    // A history with calls needs a model that knows tools, though the request declares none.
    let no_tools = Stack::start(|setup| setup.plugin("/pairs/chat/small/capabilities", json!([]))).await;
    let history = json!({"messages": [{"role": "user", "content": "What is the weather?"}, {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "rain"}, {"role": "assistant", "content": "Rain."}, {"role": "user", "content": EASY}]});
    no_tools.send(CHAT, asks("", history), &[]).await.expect("large", "capability");
    no_tools.send(CHAT, asks(EASY, json!({})), &[]).await.expect("small", "score");
}

/// A header may come in several lines, as the Go SDK sends its betas; each of them counts.
#[tokio::test]
async fn a_value_in_any_line_of_a_header_is_refused() {
    let stack = Stack::start(|setup| {
        setup.plugin("/pairs/chat/small/refuses", json!({"headers": ["anthropic-beta=context-1m-2025-08-07"]}))
    })
    .await;
    let table = [
        (&[("anthropic-beta", "effort-2025-11-24"), ("anthropic-beta", "context-1m-2025-08-07")][..], "capability"),
        (
            &[("anthropic-beta", "effort-2025-11-24, x-1"), ("anthropic-beta", "y-2,context-1m-2025-08-07")],
            "capability",
        ),
        (&[("anthropic-beta", "effort-2025-11-24"), ("anthropic-beta", "context-1m")], "score"),
    ];
    for (headers, reason) in table {
        let tier = if reason == "score" { "small" } else { "large" };
        stack.send(CHAT, asks(EASY, json!({})), headers).await.expect(tier, reason);
    }
}

#[tokio::test]
async fn what_large_refuses_goes_to_small() {
    let stack = stack().await;
    stack.send(CHAT, asks(HARD, json!({})), &[]).await.expect("large", "score");
    for refused in [json!({"max_tokens": 500}), json!({"temperature": 0.2})] {
        let answer = stack.send(CHAT, asks(HARD, refused), &[]).await;
        assert_eq!(answer.expect("small", "capability").model(), "llama-3.1-8b");
    }
    let prefill = json!({"messages": [{"role": "user", "content": HARD}, {"role": "assistant", "content": "["}]});
    stack.send(CHAT, asks("", prefill), &[]).await.expect("small", "capability");
    assert_eq!(stack.counted(&[("tier", "small"), ("reason", "capability")]).await, 3.0);
}
