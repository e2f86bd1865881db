//! The plugin's configuration: refused when it is wrong, at the start and while running.

use crate::stack::Stack;
use hybrid_llm_tests::envoy::{Setup, Update};
use hybrid_llm_tests::wait::until;
use serde_json::json;

#[tokio::test]
async fn a_wrong_configuration_stops_envoy_at_the_start_and_says_why() {
    let mistakes = [
        ("/scorer/timeout_ms", json!(0), "scorer.timeout_ms: 0 must be at least 1"),
        ("/pairs/chat/dial", json!({"quality_drop": 1.5}), "pairs.chat.dial.quality_drop: 1.5 is not a fraction"),
        ("/pairs/chat/smal", json!({}), "pairs.chat.smal: unknown field `smal`"),
    ];
    for (pointer, value, message) in mistakes {
        let error = Setup::reference().plugin(pointer, value).start().await.unwrap_err().to_string();
        assert!(error.contains(message), "{message}\n{error}");
    }
}

#[tokio::test]
async fn json_text_and_a_struct_say_the_same() {
    let configuration = json!({
        "scorer": {"cluster": "hybrid-llm-scorer", "timeout_ms": 30_000},
        "pairs": {"chat": {
            "small": {"cluster": "llama-8b", "model": "tiny"},
            "large": {"cluster": "gpt", "model": "huge"},
            "dial": {"threshold": 0.25},
        }},
    });
    let text = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration.to_string()});
    let stack = Stack::start(|setup| setup.wasm("/configuration", text)).await;
    let answer = stack.ask("score 0.9").await;
    answer.expect("small", "score");
    assert_eq!(answer.model(), "tiny");
}

#[tokio::test]
async fn a_wrong_update_leaves_the_old_configuration_in_force() {
    let mut stack = Stack::start(Setup::dynamic_listener).await;
    stack.ask("score 0.9").await.expect("small", "score");

    let update = stack.envoy.update(|setup| setup.plugin("/pairs/chat/small/cluster", json!(""))).await.unwrap();
    assert_eq!(update, Update::Refused);
    let log = stack.envoy.log();
    assert!(log.contains(r#"pairs.chat.small.cluster: "" is no name"#), "{log}");
    let answer = stack.ask("score 0.9").await;
    answer.expect("small", "score");
    assert_eq!(answer.model(), "llama-3.1-8b");

    let mended = |setup: Setup| {
        setup.plugin("/pairs/chat/small/cluster", json!("llama-8b")).plugin("/pairs/chat/small/model", json!("newer"))
    };
    assert_eq!(stack.envoy.update(mended).await.unwrap(), Update::Taken);
    // A listener is replaced a moment after Envoy has taken it.
    until("the new configuration", async || (stack.ask("score 0.9").await.model() == "newer").then_some(())).await;
}
