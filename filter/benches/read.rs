//! What reading a long conversation costs: the filter's work on a request against a bare serde_json skip over the same bytes,
//! which finds that they are JSON and nothing more.
//!
//! ```text
//! cargo bench -p hybrid-llm-filter --bench read    # natively; and in V8, as in Envoy, by Node.js 20 or later:
//! CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings benches/v8.mjs" \
//!     cargo bench -p hybrid-llm-filter --bench read --target wasm32-wasip1
//! ```
//!
//! The two take turns within one run; the ratio is the median over the turns.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use hybrid_llm_filter::decision::conversation::Keys;
use hybrid_llm_filter::request::api::{Api, Place};
use hybrid_llm_filter::request::fit;
use hybrid_llm_filter::request::query::QueryPolicy;
use hybrid_llm_filter::wire::{scorer, splice};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::Instant;

const TURNS: usize = 200;
const ROUNDS: usize = 31;

fn main() {
    println!("{TURNS} turns; ms for reading, estimating, taking the query, the key and the new model's name");
    for (name, api, path, make) in [
        ("chat, strings", Api::OpenAiChat, "/v1/chat/completions", chat as fn(usize) -> Value),
        ("chat, parts and tools", Api::OpenAiChat, "/v1/chat/completions", chat_with_tools),
        ("messages, blocks and tools", Api::AnthropicMessages, "/v1/messages", messages),
        ("Gemini, parts", Api::Gemini, "/v1beta/models/auto:generateContent", gemini),
    ] {
        for size in [256 << 10, 1 << 20, 4 << 20] {
            let body = make(size / TURNS).to_string().into_bytes();
            let (mut skips, mut reads) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                skips.push(time(|| assert!(serde_json::from_slice::<IgnoredAny>(black_box(&body)).is_ok())));
                reads.push(time(|| work(api, path, black_box(&body))));
            }
            let ratio = median(reads.iter().zip(&skips).map(|(read, skip)| read / skip).collect());
            println!(
                "  {name:<28} {:>5} KiB  skip {:>7.3} ms   filter {:>7.3} ms   ratio {ratio:.2}",
                body.len() >> 10,
                median(skips),
                median(reads)
            );
        }
    }
}

/// All that the filter does with a request's body.
fn work(api: Api, path: &str, body: &[u8]) {
    let request = api.read(path, body).ok().unwrap();
    black_box(fit::fits(&request, 400_000));
    black_box(Keys::of("chat", &QueryPolicy::default(), None, &request, None, false));
    black_box(scorer::request_body("default", &QueryPolicy::default().query(&request).ok().unwrap().text, 12_288));
    if let Some(Place::Body(span)) = request.model.map(|model| model.place) {
        black_box(splice::replace_in_body(&body[..span.end], &span, "llama-3.1-8b"));
    }
}

fn time(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Prose with line breaks, quotes, and now and then a character that is not ASCII.
fn prose(size: usize) -> String {
    let line = "She said \"it can't be so\", and counted the apples once more – there were still five of them left.\n";
    line.chars().cycle().take(size).collect()
}

fn role(turn: usize) -> &'static str {
    if turn.is_multiple_of(2) { "user" } else { "assistant" }
}

fn chat(size: usize) -> Value {
    let turns = (0..TURNS).map(|turn| json!({"role": role(turn), "content": prose(size)}));
    json!({"messages": turns.collect::<Vec<_>>(), "model": "auto"})
}

fn chat_with_tools(size: usize) -> Value {
    let turns = (0..TURNS).map(|turn| match turn % 4 {
        1 => json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "edit", "arguments": json!({"text": prose(size)}).to_string()}}]}),
        2 => json!({"role": "tool", "tool_call_id": "c", "content": prose(size)}),
        _ => json!({"role": role(turn), "content": [{"type": "text", "text": prose(size / 2)}, {"type": "text", "text": prose(size / 2)}]}),
    });
    json!({"model": "auto", "messages": turns.collect::<Vec<_>>(), "tools": [{"type": "function", "function": {"name": "edit"}}]})
}

fn messages(size: usize) -> Value {
    let turns = (0..TURNS).map(|turn| match turn % 4 {
        1 => json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "edit", "input": {"text": prose(size)}}]}),
        2 => json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": prose(size)}]}]}),
        _ => json!({"role": role(turn), "content": [{"type": "text", "text": prose(size)}]}),
    });
    json!({"model": "auto", "max_tokens": 1000, "system": "Be brief.", "messages": turns.collect::<Vec<_>>()})
}

fn gemini(size: usize) -> Value {
    let turns = (0..TURNS).map(|turn| json!({"role": role(turn), "parts": [{"text": prose(size)}]}));
    json!({"contents": turns.collect::<Vec<_>>()})
}
