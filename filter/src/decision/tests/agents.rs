//! What coding agents and chat interfaces send, from the fixtures: what is a new question, and what continues a tool loop.

use super::*;

/// Decides on a fixture in a conversation that is with small.
fn decide(policy: &RoutePolicy, api: Api, fixture: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(format!("{fixture}.json"));
    let body = std::fs::read(path).unwrap();
    let request = api.read("/v1/publishers/anthropic/models/auto:rawPredict", &body).unwrap();
    let record = Record { last_tier: Tier::Small, assigned: None };
    told(plan_of(policy, Overrides::default(), &request, &Remembers(Some(record))).unwrap())
}

const ASK: &str = r#"ask "Leave that. What is the capital of Peru?" Threshold(0.5)"#;
const LOOP: &str = "small affinity";

#[test]
fn a_question_beside_a_tools_result_is_scored() {
    use Api::{AnthropicMessages, BedrockConverse, BedrockInvoke, Gemini};
    let sees = serde_json::json!({"cluster": "a", "model": "m", "capabilities": ["tools", "vision"]});
    let policy = with(serde_json::json!({"small": sees}));
    let table = [
        (AnthropicMessages, "anthropic_messages/question_beside_a_result", ASK),
        (AnthropicMessages, "vertex_anthropic/question_beside_a_result", ASK),
        (AnthropicMessages, "anthropic_messages/question_beside_an_image_in_a_result", ASK),
        (BedrockInvoke, "bedrock_invoke/anthropic_question_beside_a_result", ASK),
        (BedrockInvoke, "bedrock_invoke/nova_question_beside_a_result", ASK),
        (BedrockConverse, "bedrock_converse/question_beside_a_result", ASK),
        (Gemini, "gemini/question_beside_a_result", ASK),
        // The last result counts, and only the words after it are the question.
        (
            AnthropicMessages,
            "anthropic_messages/results_and_words",
            r#"ask "Say it in Spanish,\nand then in Quechua please." Threshold(0.5)"#,
        ),
        (BedrockConverse, "bedrock_converse/results_and_words", r#"ask "Say it in Spanish please." Threshold(0.5)"#),
        (Gemini, "gemini/results_and_words", r#"ask "Say it in Spanish please." Threshold(0.5)"#),
        (
            AnthropicMessages,
            "anthropic_messages/follow_up_beside_a_result",
            r#"ask "go on\nWhat should I wear in Oslo today?" Threshold(0.5)"#,
        ),
        (AnthropicMessages, "anthropic_messages/question_and_image_beside_a_result", "large non_text"),
        // Words before it, a harness's words, images: the loop continues.
        (AnthropicMessages, "anthropic_messages/words_before_a_result", LOOP),
        (AnthropicMessages, "anthropic_messages/interruption_beside_a_result", LOOP),
        (AnthropicMessages, "anthropic_messages/reminder_beside_a_result", LOOP),
        (AnthropicMessages, "anthropic_messages/image_beside_a_result", LOOP),
        (BedrockInvoke, "bedrock_invoke/anthropic_reminder_beside_a_result", LOOP),
        (BedrockInvoke, "bedrock_invoke/nova_words_before_a_result", LOOP),
        (BedrockConverse, "bedrock_converse/reminder_beside_a_result", LOOP),
        (Gemini, "gemini/reminder_beside_a_result", LOOP),
        (Gemini, "gemini/image_beside_a_result", LOOP),
        // What is signed goes back to who signed it, whatever the user asks.
        (AnthropicMessages, "anthropic_messages/question_beside_a_result_of_reasoning", LOOP),
        (BedrockConverse, "bedrock_converse/question_beside_a_result_of_reasoning", LOOP),
        (Gemini, "gemini/question_beside_a_result_of_thoughts", LOOP),
    ];
    for (api, fixture, want) in table {
        assert_eq!(decide(&policy, api, fixture), want, "{fixture}");
    }
}

#[test]
fn harness_text_in_harness_text_is_no_question() {
    let policy = with(serde_json::json!({}));
    let ask = r#"ask "What is the capital of Peru?" Threshold(0.5)"#;
    let table = [
        ("openai_chat/harness_text_in_harness_text", ask),
        ("openai_chat/harness_texts_that_overlap", ask),
        ("openai_chat/harness_text_in_harness_text_in_a_tool_loop", LOOP),
        (
            "openai_chat/harness_text_without_an_end",
            r#"ask "What does <system-reminder> mean in this log?" Threshold(0.5)"#,
        ),
    ];
    for (fixture, want) in table {
        assert_eq!(decide(&policy, Api::OpenAiChat, fixture), want, "{fixture}");
    }
    assert_eq!(decide(&policy, Api::OpenAiResponses, "openai_responses/interruption"), LOOP);
}

#[test]
fn tools_results_that_are_written_as_text_go_on_with_a_loop() {
    let policy = with(serde_json::json!({}));
    let table = [
        (Api::OpenAiChat, "openai_chat/text_tools", r#"ask "Redesign the scheduler." Threshold(0.5)"#),
        (Api::OpenAiChat, "openai_chat/text_tool_result", LOOP),
        (Api::OpenAiChat, "openai_chat/text_tool_result_in_a_string", LOOP),
        (Api::AnthropicMessages, "anthropic_messages/text_tool_result", LOOP),
        // What the user says to it is a question like any other.
        (Api::OpenAiChat, "openai_chat/text_tool_result_and_feedback", ASK),
    ];
    for (api, fixture, want) in table {
        assert_eq!(decide(&policy, api, fixture), want, "{fixture}");
    }
    let off = with(serde_json::json!({"query": {"tool_results": []}}));
    let asked = decide(&off, Api::OpenAiChat, "openai_chat/text_tool_result");
    assert!(asked.starts_with(r#"ask "[read_file for 'a.rs'] Result:\nfn main"#), "{asked}");
    let own = with(serde_json::json!({"query": {"tool_results": [{"start": "Observation", "end": ":"}]}}));
    let observation = r#"{"model":"auto","messages":[{"role":"user","content":"Redesign the scheduler."},
        {"role":"assistant","content":"Action: read"},{"role":"user","content":"Observation 1:\nfn main() {}"}]}"#;
    assert_eq!(plan_with(&own, Overrides::default(), observation, Some(Tier::Small)), LOOP);
    assert_eq!(plan_with(&own, Overrides::default(), observation, None), "large tool_loop");
}

#[test]
fn a_chat_history_in_a_task_is_not_the_task() {
    let asked = decide(&with(serde_json::json!({})), Api::OpenAiChat, "openai_chat/title_of_a_chat");
    assert!(asked.starts_with(r####"ask "### Task:\nGive a short title"####) && !asked.contains("primes"), "{asked}");
}

/// A part that nobody knows is not text, in whatever turn it stands.
#[test]
fn unknown_parts_do_not_reach_a_small_model_whose_abilities_are_listed() {
    let parts = [
        (Api::OpenAiChat, "openai_chat/part_of_unknown_type"),
        (Api::OpenAiChat, "openai_chat/part_of_unknown_type_in_a_result"),
        (Api::AnthropicMessages, "anthropic_messages/unknown_block"),
        (Api::AnthropicMessages, "anthropic_messages/unknown_block_in_a_result"),
        (Api::BedrockConverse, "bedrock_converse/unknown_block_in_a_result"),
        (Api::Gemini, "gemini/unknown_part"),
        (Api::OpenAiResponses, "openai_responses/part_of_unknown_type"),
    ];
    let listed =
        serde_json::json!({"cluster": "a", "model": "m", "capabilities": ["tools", "vision", "audio", "files"]});
    let unlisted = serde_json::json!({"cluster": "a", "model": "m"});
    let large = serde_json::json!({"cluster": "b", "model": "n", "capabilities": ["tools", "vision"]});
    let score = serde_json::json!({"non_text": "score"});
    let pair = |small: &serde_json::Value, more: serde_json::Value| {
        let mut settings = serde_json::json!({"small": small});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with(settings)
    };
    for (api, fixture) in parts {
        let decided = |small, more| decide(&pair(small, more), api, fixture);
        for more in [serde_json::json!({}), serde_json::json!({"query": score}), serde_json::json!({"large": large})] {
            assert_eq!(decided(&listed, more.clone()), "large capability", "{fixture} {more}");
        }
        // Where nobody says what small can do, as ever.
        for more in [serde_json::json!({}), serde_json::json!({"large": large})] {
            assert_eq!(decided(&unlisted, more.clone()), "large non_text", "{fixture} {more}");
        }
        let scored = decided(&unlisted, serde_json::json!({"query": score}));
        assert!(scored.starts_with("ask") || scored == LOOP, "{fixture} {scored}");
    }
}

/// Types of other servers, told by their names.
#[test]
fn parts_that_say_what_they_are_need_just_that() {
    let text = serde_json::json!({"cluster": "a", "model": "m", "capabilities": ["tools"]});
    let sees = serde_json::json!({"cluster": "a", "model": "m", "capabilities": ["vision"]});
    let asks = r#"ask "How old do dogs of this breed get, as a rule?" Threshold(0.5)"#;
    for fixture in ["input_image", "qwen_video", "ollama_images", "parts_without_types"] {
        let fixture = format!("openai_chat/{fixture}");
        let decided = |small| decide(&with(serde_json::json!({"small": small})), Api::OpenAiChat, &fixture);
        assert_eq!(decided(&text), "large capability", "{fixture}");
        assert_eq!(decided(&sees), asks, "{fixture}");
    }
}
