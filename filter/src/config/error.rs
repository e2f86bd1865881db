//! Why a plugin configuration is refused, and the checks that its parts share.

use super::dial::DialError;
use crate::terms::HEADER_PREFIX;
use thiserror::Error;

/// Why a configuration was refused: which key, what stands there, and what should.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Nothing was given.
    #[error("plugin configuration is empty; it needs at least scorer.cluster and one pair")]
    Empty,
    /// Not JSON.
    #[error("plugin configuration is not JSON: {0}")]
    Syntax(#[source] serde_json::Error),
    /// A key whose value is null.
    #[error(
        "plugin configuration: {0}: null is no value (in YAML, neither is nothing after the colon); set one, or take the key out"
    )]
    Null(String),
    /// An unknown or missing key, or a value of the wrong type.
    #[error("plugin configuration: {key}: {message}")]
    Shape {
        /// Path of the key, such as `pairs.chat.small.cluster`.
        key: String,
        /// What is wrong with it; quotes the value.
        message: String,
    },
    /// A value that makes no sense.
    #[error("plugin configuration: {key}: {value} {mend}")]
    Value {
        /// Path of the key.
        key: String,
        /// What was written.
        value: String,
        /// What to write instead.
        mend: &'static str,
    },
    /// A dial that is none.
    #[error("plugin configuration: {at}.{error}")]
    Dial {
        /// Path of the dial.
        at: String,
        /// What is wrong with it.
        error: DialError,
    },
}

impl From<serde_path_to_error::Error<serde_json::Error>> for ConfigError {
    fn from(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        Self::Shape { key: error.path().to_string(), message: error.into_inner().to_string() }
    }
}

pub(super) fn invalid(key: &str, value: impl ToString, mend: &'static str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), value: value.to_string(), mend }
}

pub(super) fn positive(key: &str, value: u64) -> Result<u64, ConfigError> {
    if value == 0 { Err(invalid(key, value, "must be at least 1")) } else { Ok(value) }
}

/// Names travel in HTTP headers and in the names of counters.
pub(super) fn header_safe(key: &str, value: String) -> Result<String, ConfigError> {
    if value.is_empty() || value.chars().any(|c| c.is_control() || c == ' ') {
        return Err(invalid(key, format!("{value:?}"), "is no name; use printable characters without spaces"));
    }
    Ok(value)
}

/// A header that clients may send, in lower case.
pub(super) fn request_header(key: &str, name: String) -> Result<String, ConfigError> {
    let name = header_safe(key, name)?.to_ascii_lowercase();
    if name.starts_with(HEADER_PREFIX) {
        return Err(invalid(
            key,
            format!("{name:?}"),
            "never arrives: headers of this prefix are removed from requests",
        ));
    }
    Ok(name)
}
