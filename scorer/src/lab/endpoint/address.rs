//! The address of an endpoint, and its API key.

use std::env;

use hyper::{Uri, header::HeaderValue};
use serde_json::{Map, Value};

/// One model of one endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Where the API is, as a flag would give it: see [`completions_url`].
    pub url: Uri,
    /// The model's name there.
    pub model: String,
    /// Sent as a bearer token.
    pub key: Option<Key>,
    /// Laid over every request's body; `null` takes a key out.
    pub extra_body: Map<String, Value>,
}

/// An API key. It is never shown.
#[derive(Debug, Clone)]
pub struct Key {
    variable: String,
    pub(super) header: HeaderValue,
}

/// An environment variable that holds no usable key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The variable is not set.
    #[error("the environment variable {0} is not set or empty: it must hold the API key")]
    Missing(String),
    /// A header cannot carry it.
    #[error("the environment variable {0} holds characters that no API key has")]
    Malformed(String),
}

/// A URL under which there can be no API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not an absolute HTTP URL.
    #[error("must be a URL such as http://127.0.0.1:8000/v1 or https://api.openai.com/v1")]
    Malformed,
    /// With a password.
    #[error("must hold no user name or password: keys come from an environment variable")]
    Credentials,
    /// With something after the path.
    #[error("must end with the path, without ? and what follows it")]
    Query,
}

impl Key {
    /// Reads a key from an environment variable.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_env(variable: &str) -> Result<Self, KeyError> {
        let value = env::var(variable).unwrap_or_default();
        let value = value.trim();
        if value.is_empty() {
            return Err(KeyError::Missing(variable.to_owned()));
        }
        let header = HeaderValue::from_str(&format!("Bearer {value}"));
        let mut header = header.map_err(|_| KeyError::Malformed(variable.to_owned()))?;
        header.set_sensitive(true);
        Ok(Self { variable: variable.to_owned(), header })
    }

    /// A text without the key.
    pub(super) fn blot_out(&self, text: &str) -> String {
        match self.header.to_str().ok().and_then(|header| header.strip_prefix("Bearer ")) {
            Some(key) => text.replace(key, "(the key)"),
            None => text.to_owned(),
        }
    }

    /// The environment variable it comes from.
    pub fn variable(&self) -> &str {
        &self.variable
    }
}

/// The URL of chat completions under a base URL.
///
/// `http://host`, `http://host/v1` and `http://host/v1/chat/completions` are all the same; any other path is kept, and
/// `/chat/completions` put behind it.
///
/// # Errors
/// [`UrlError`].
pub fn completions_url(base: &str) -> Result<Uri, UrlError> {
    let uri: Uri = base.parse().map_err(|_| UrlError::Malformed)?;
    let parts = uri.into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else { return Err(UrlError::Malformed) };
    if !matches!(scheme.as_str(), "http" | "https") || authority.host().is_empty() {
        return Err(UrlError::Malformed);
    }
    if authority.as_str().contains('@') {
        return Err(UrlError::Credentials);
    }
    let path = parts.path_and_query;
    if path.as_ref().is_some_and(|path| path.query().is_some()) {
        return Err(UrlError::Query);
    }
    let path = path.as_ref().map_or("", |path| path.path()).trim_end_matches('/');
    let path = path.strip_suffix("/chat/completions").unwrap_or(path);
    let path = if path.is_empty() { "/v1" } else { path };
    let path = format!("{path}/chat/completions");
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().map_err(|_| UrlError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_base_url_leads_to_the_completions() {
        let url = |base: &str| completions_url(base).map(|url| url.to_string());
        let v1 = "http://127.0.0.1:8000/v1/chat/completions".to_owned();
        for base in ["", "/", "/v1", "/v1/", "/v1/chat/completions"] {
            assert_eq!(url(&format!("http://127.0.0.1:8000{base}")), Ok(v1.clone()), "{base}");
        }
        assert_eq!(url("https://h/api/v1"), Ok("https://h/api/v1/chat/completions".to_owned()));
        assert_eq!(url("https://[::1]:8443"), Ok("https://[::1]:8443/v1/chat/completions".to_owned()));
        for bad in ["", "localhost:8000", "127.0.0.1", "/v1", "ftp://h/v1", "http://", "not a url"] {
            assert_eq!(url(bad), Err(UrlError::Malformed), "{bad}");
        }
        assert_eq!(url("https://me:secret@h/v1"), Err(UrlError::Credentials));
        assert_eq!(url("https://h/v1?api-version=1"), Err(UrlError::Query));
    }
}
