//! What the commands that ask endpoints share: keys, signals, and how far they have come.

use std::{cell::Cell, io, time::Duration};

use hyper::Uri;
use indicatif::ProgressBar;
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::lab::endpoint::{
    account::Progress,
    address::{Endpoint, Key, completions_url},
    client::Patience,
    retry::{RetryPolicy, Stopper},
};

/// Where the key of a host comes from, if no variable is named for it. Other hosts get no key unasked.
const DEFAULT_KEYS: [(&str, &str); 1] = [("api.openai.com", "OPENAI_API_KEY")];
/// The first wait before trying again.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// A pause that is worth a line where there is no bar.
const LONG_PAUSE: Duration = Duration::from_secs(60);
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

    /// The longest Retry-After to wait for, in seconds; the run stops if an endpoint asks for more
    #[arg(long, value_name = "S", default_value = "600", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    max_wait_seconds: u64,

    /// Print the error messages of the endpoints, each message once. They can quote queries
    #[arg(long)]
    show_errors: bool,
}

impl AskArgs {
    pub(super) fn concurrency(&self) -> usize {
        usize::from(self.concurrency)
    }

    pub(super) fn patience(&self) -> Patience {
        let retry = RetryPolicy { retries: self.retries, first: FIRST_WAIT, longest: LONGEST_WAIT };
        Patience {
            timeout: Duration::from_secs(self.timeout_seconds),
            retry,
            longest_wait: Duration::from_secs(self.max_wait_seconds),
            show: self.show_errors.then_some(|message| super::aside(message)),
        }
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
            super::aside("stopping when the requests under way are answered; interrupt again to stop at once");
            stopper.stop();
        }
    })
}

/// What to add to a line on tokens where answers of no use took some.
pub(super) fn wasted(input: u64, output: u64) -> String {
    if (input, output) == (0, 0) {
        return String::new();
    }
    format!("; {input} in, {output} out wasted on answers of no use")
}

/// What to say of a pause where there is no bar, once a pause; and whether the present pause has been reported then.
fn notice(pause: Option<Duration>, told: bool) -> (Option<String>, bool) {
    match pause {
        Some(pause) if told || pause >= LONG_PAUSE => {
            let line = || format!("an endpoint asks to wait {} s: continuing after that", pause.as_secs() + 1);
            ((!told).then(line), true)
        }
        _ => (None, false),
    }
}

/// Shows how far asking has come: a bar on a terminal, and elsewhere a line where it stands still for long.
pub(super) struct Display {
    bar: ProgressBar,
    /// Whether the present pause has been reported.
    told: Cell<bool>,
}

impl Display {
    /// For so many answers.
    pub(super) fn new(expected: u64, unit: &str) -> Self {
        let template = format!("{{bar:30}} {{pos}}/{{len}} {unit}{{msg}}, {{eta}} left");
        Self { bar: super::bar(expected, &template), told: Cell::new(false) }
    }

    /// Shows how far it has come.
    pub(super) fn show(&self, progress: Progress) {
        let Self { bar, told } = self;
        if bar.position() == 0 && progress.recorded > 0 {
            // What was there before says nothing about how long the rest will take.
            bar.set_position(progress.recorded);
            bar.reset_eta();
        }
        bar.set_position(progress.recorded);
        if bar.is_hidden() {
            let (notice, now_told) = notice(progress.pause, told.get());
            notice.iter().for_each(super::aside);
            told.set(now_told);
            return;
        }
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

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_pause_is_told_once() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let (line, told) = notice(seconds(86_399), false);
        assert_eq!((line.as_deref(), told), (Some("an endpoint asks to wait 86400 s: continuing after that"), true));
        assert_eq!(notice(seconds(86_000), true), (None, true));
        assert_eq!(notice(seconds(5), true), (None, true), "it is the same one, nearly over");
        assert_eq!(notice(None, true), (None, false));
        assert_eq!(notice(seconds(59), false), (None, false));
    }
}
