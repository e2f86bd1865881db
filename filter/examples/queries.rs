//! Prints the text that each `query` setting would score of a request, a JSON line each: pipe them into `hybrid-llm score` to see
//! what a setting does to the scores of your own conversations.
//!
//! ```text
//! cargo run -p hybrid-llm-filter --example queries -- /v1/chat/completions filter/examples/conversations/*.json \
//!     | hybrid-llm score --json --router scorer/routers/default --onnxruntime DIR
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr)]

use hybrid_llm_filter::request::api::Api;
use hybrid_llm_filter::request::query::{Context, QueryPolicy};
use std::num::NonZeroUsize;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_default();
    let Some(api) = Api::recognise(b"POST", path.as_bytes()) else {
        eprintln!("usage: queries PATH FILE...: PATH is one that the API's requests go to, such as /v1/messages");
        return ExitCode::from(2);
    };
    let mut failed = false;
    for file in arguments {
        if let Err(error) = print_queries(api, &path, &file) {
            eprintln!("{file}: {error}");
            failed = true;
        }
    }
    ExitCode::from(u8::from(failed))
}

fn print_queries(api: Api, path: &str, file: &str) -> Result<(), String> {
    let body = std::fs::read(file).map_err(|error| error.to_string())?;
    let not_a_request = format!("not a request of the API at {path}");
    let request = api.read(path, &body).map_err(|_| not_a_request.clone())?;
    for (name, context, follow_up_words) in [
        ("last_user, follow_up_words: 0", Context::LastUser, 0),
        ("last_user", Context::LastUser, 3),
        ("turns: 3", Context::Turns(NonZeroUsize::MIN.saturating_add(2)), 3),
        ("system", Context::System, 3),
    ] {
        let policy = QueryPolicy { context, follow_up_words, ..QueryPolicy::default() };
        let query = policy.query(&request).map_err(|_| not_a_request.clone())?.text;
        println!("{}", serde_json::json!({"id": format!("{file} {name}"), "query": query}));
    }
    Ok(())
}
