//! A coding agent's requests, in the shapes that such agents send: a system prompt with a line that changes with every request,
//! reminders among the user's words, interruptions, and sub-agents under the same session.

use crate::stack::{Answer, Stack};
use serde_json::{Value, json};
use std::cell::Cell;

const MESSAGES: &str = "/v1/messages?beta=true";
const SESSION: &str = "5f1c7d2e-8a43-4f6d-9e57-3c2a1f4b5d60";
const REMINDER: &str =
    "<system-reminder>\nThe list of tasks is empty. score 0.5 is no word of the user's.\n</system-reminder>";
const INTERRUPTED: &str = "[Request interrupted by user for tool use]";

/// One agent of a session: its system prompt, and what was said so far.
struct Agent<'a> {
    stack: &'a Stack,
    role: &'static str,
    turns: Vec<Value>,
    /// Of the whole session.
    requests: &'a Cell<u32>,
}

impl<'a> Agent<'a> {
    fn new(stack: &'a Stack, requests: &'a Cell<u32>, role: &'static str) -> Self {
        Self { stack, role, turns: Vec::new(), requests }
    }

    /// What the user says, after a reminder.
    async fn told(&mut self, text: &str) -> Answer {
        self.user(json!([{"type": "text", "text": REMINDER}, {"type": "text", "text": text}])).await
    }

    /// The model has called a tool: its result, and what stands beside it in the same turn.
    async fn result(&mut self, beside: &[&str]) -> Answer {
        let id = format!("toolu_{:02}", self.turns.len());
        let call = json!({"type": "tool_use", "id": id, "name": "Read", "input": {"path": "src/scheduler.rs"}});
        self.turns.push(json!({"role": "assistant", "content": [{"type": "text", "text": "I will look."}, call]}));
        let mut content =
            vec![json!({"type": "tool_result", "tool_use_id": id, "content": "fn main() {}", "is_error": false})];
        content.extend(beside.iter().map(|text| json!({"type": "text", "text": text})));
        self.user(json!(content)).await
    }

    /// Sends the conversation with one more turn of the user's. Nothing of it but the model's name may change.
    async fn user(&mut self, mut content: Value) -> Answer {
        // The cache's mark moves to the last block of the last turn.
        let last = content.as_array().unwrap().len() - 1;
        content[last]["cache_control"] = json!({"type": "ephemeral"});
        for turn in &mut self.turns {
            let blocks = turn["content"].as_array_mut().unwrap();
            blocks.iter_mut().for_each(|block| drop(block.as_object_mut().unwrap().remove("cache_control")));
        }
        self.turns.push(json!({"role": "user", "content": content}));
        let request = self.requests.replace(self.requests.get() + 1);
        let cached = json!({"type": "ephemeral", "ttl": "1h"});
        let body = json!({
            "model": "auto",
            "max_tokens": 32000,
            "metadata": {"user_id": format!("user_0a1b_account__session_{SESSION}")},
            "system": [
                {"type": "text", "text": format!("x-billing-header: version=2.0.{request}; entrypoint=cli; request={request:05x};")},
                {"type": "text", "text": self.role, "cache_control": cached},
                {"type": "text", "text": format!("Working directory: /srv\nNow: 2026-10-09 10:{request:02}:07"), "cache_control": cached},
            ],
            "tools": [{"name": "Read", "description": "Reads a file", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}}],
            "messages": self.turns,
        });
        let headers = [
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "interleaved-thinking-2025-05-14"),
            ("x-app", "cli"),
            ("x-session-id", SESSION),
        ];
        let answer = self.stack.send(MESSAGES, body.to_string(), &headers).await;
        let want = body.to_string().replace(r#""model":"auto""#, &format!(r#""model":"{}""#, answer.model()));
        assert_eq!(String::from_utf8_lossy(&answer.upstream.body), want);
        answer
    }
}

async fn stack() -> Stack {
    Stack::start(|setup| {
        let mark = json!({"start": "[Request interrupted by user", "end": "]"});
        setup
            .plugin("/pairs/chat/query", json!({"wrappers": ["system-reminder", mark]}))
            .plugin("/pairs/chat/affinity_header", json!("x-session-id"))
    })
    .await
}

const MAIN: &str = "You are a coding agent. You help with software tasks.";
const SEARCH: &str = "You are a search agent. You find files and answer in one line.";

#[tokio::test]
async fn the_loops_of_an_agent_and_its_sub_agent_keep_their_tiers() {
    let stack = stack().await;
    let requests = Cell::default();
    let (mut main, mut search) = (Agent::new(&stack, &requests, MAIN), Agent::new(&stack, &requests, SEARCH));
    main.told("score 0.1 Redesign the scheduler.").await.expect("large", "score");
    search.told("score 0.9 Find all files that name the scheduler.").await.expect("small", "score");
    for _ in 0..3 {
        main.result(&[]).await.expect("large", "affinity");
        search.result(&[]).await.expect("small", "affinity");
    }
    // A reminder beside the result is no word of the user's.
    main.result(&[REMINDER]).await.expect("large", "affinity");
    search.result(&[REMINDER]).await.expect("small", "affinity");
}

#[tokio::test]
async fn an_interruption_is_a_new_question() {
    let stack = stack().await;
    let requests = Cell::default();
    let (mut main, mut search) = (Agent::new(&stack, &requests, MAIN), Agent::new(&stack, &requests, SEARCH));
    main.told("score 0.1 Redesign the scheduler.").await.expect("large", "score");
    search.told("score 0.9 Find all files that name the scheduler.").await.expect("small", "score");
    main.result(&[]).await.expect("large", "affinity");
    main.result(&[INTERRUPTED, "score 0.9 Only rename it."]).await.expect("small", "score");
    main.result(&[]).await.expect("small", "affinity");
    search.result(&[INTERRUPTED, "score 0.1 Say which of them is the best."]).await.expect("large", "score");
    main.result(&[]).await.expect("small", "affinity");
    search.result(&[]).await.expect("large", "affinity");
}
