//! What the commands that ask endpoints share: keys, signals, and how far they have come.

use std::{io, time::Duration};

use hyper::Uri;
use indicatif::ProgressBar;
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::lab::openai::{
    Endpoint, Key, Patience,
    account::Progress,
    completions_url,
    retry::{RetryPolicy, Stopper},
};

/// Where the key of a host comes from, if no variable is named for it. Other hosts get no key unasked.
const DEFAULT_KEYS: [(&str, &str); 1] = [("api.openai.com", "OPENAI_API_KEY")];
/// The first wait before trying again.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait before trying again, unless the server asks for more.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How endpoints are asked.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Asking")]
pub(super) struct AskArgs {
    /// Requests under way at once, for each model
    #[arg(long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,

    /// The longest wait for one answer, in seconds
    #[arg(long, value_name = "S", default_value = "120", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout_seconds: u64,

    /// How often to try again after 429, 5xx, a timeout or a broken connection, with growing waits or as long as the server
    /// asks
    #[arg(long, value_name = "N", default_value = "6", value_parser = clap::value_parser!(u32).range(0..=100))]
    retries: u32,
}

impl AskArgs {
    pub(super) fn concurrency(&self) -> usize {
        usize::from(self.concurrency)
    }

    pub(super) fn patience(&self) -> Patience {
        let retry = RetryPolicy { retries: self.retries, first: FIRST_WAIT, longest: LONGEST_WAIT };
        Patience { timeout: Duration::from_secs(self.timeout_seconds), retry }
    }
}

/// Puts an endpoint together. Its key comes from the variable that was named, which must be set then, or from the usual one of
/// a well-known host.
pub(super) fn endpoint(
    url: &Uri,
    model: &str,
    key_env: Option<&str>,
    extra_body: Option<&Map<String, Value>>,
) -> Result<Endpoint, Failure> {
    let usual = DEFAULT_KEYS.iter().find(|(host, _)| url.host() == Some(host)).map(|(_, variable)| *variable);
    let key = match key_env.or(usual) {
        Some(variable) => Some(Key::from_env(variable).map_err(|error| Failure::Usage(error.to_string()))?),
        None => None,
    };
    let loopback =
        matches!(url.host(), Some("localhost" | "[::1]")) || url.host().is_some_and(|h| h.starts_with("127."));
    if key.is_some() && url.scheme_str() == Some("http") && !loopback {
        tracing::warn!(%url, "an API key goes over a connection that is not encrypted");
    }
    let extra_body = extra_body.cloned().unwrap_or_default();
    Ok(Endpoint { url: url.clone(), model: model.to_owned(), key, extra_body })
}

/// Reads a base URL.
pub(super) fn base_url(text: &str) -> Result<Uri, String> {
    completions_url(text).map_err(|error| error.to_string())
}

/// Reads a JSON object.
pub(super) fn json_object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|_| r#"must be a JSON object such as {"reasoning_effort": "low"}"#.to_owned())
}

/// Runs something on this thread until its end. The first signal asks it to come to an end by itself, the second ends it at
/// once: then there is no result.
pub(super) fn run_until_signal<T>(stopper: &Stopper, run: impl Future<Output = T>) -> Result<Option<T>, io::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut run = std::pin::pin!(run);
        let mut asked = false;
        loop {
            tokio::select! {
                result = &mut run => return Ok(Some(result)),
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked {
                return Ok(None);
            }
            asked = true;
            eprintln!("stopping when the requests under way are answered; interrupt again to stop at once");
            stopper.stop();
        }
    })
}

/// A bar on a terminal; else one that shows nothing.
pub(super) fn bar(expected: u64, unit: &str) -> ProgressBar {
    super::bar(expected, &format!("{{bar:30}} {{pos}}/{{len}} {unit}{{msg}}, {{eta}} left"))
}

/// Shows how far it has come.
pub(super) fn show(bar: &ProgressBar, progress: Progress) {
    if bar.position() == 0 && progress.recorded > 0 {
        // What was there before says nothing about how long the rest will take.
        bar.set_position(progress.recorded);
        bar.reset_eta();
    }
    bar.set_position(progress.recorded);
    let mut message = String::new();
    if progress.retries > 0 {
        message += &format!(", {} retries", progress.retries);
    }
    if progress.failed > 0 {
        message += &format!(", {} failed", progress.failed);
    }
    if let Some(pause) = progress.pause {
        message += &format!(", an endpoint asks to wait {} s", pause.as_secs() + 1);
    }
    bar.set_message(message);
}
