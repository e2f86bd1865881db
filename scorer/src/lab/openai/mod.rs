//! A client of OpenAI-compatible chat completions that does not give up at the first fault.
//!
//! A [`Client`] asks one model of one endpoint. [`message`] is what goes over the wire, [`fault`] what can go wrong and what it
//! means, [`retry`] when to try again, and [`account`] what it all came to.

pub mod account;
pub mod fault;
pub mod message;
pub mod retry;
mod transport;

use std::{
    env, io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT},
};
use serde_json::{Map, Value};

use self::{
    fault::{CallError, Fault, Unavailable},
    message::{Completion, Prompt},
    retry::{Pace, RetryPolicy, Stop},
    transport::Transport,
};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// The longest wait for a connection; a timeout that is shorter goes first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
    header: HeaderValue,
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

/// What a client needs to know besides its endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The longest wait for one answer.
    pub timeout: Duration,
    /// When to try again.
    pub retry: RetryPolicy,
}

/// What a client has done so far.
#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
}

/// Asks one model. Any number of calls can be under way; they share their pace.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    endpoint: Endpoint,
    patience: Patience,
    pace: Pace,
    stop: Stop,
    counters: Counters,
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

    /// The environment variable it comes from.
    pub fn variable(&self) -> &str {
        &self.variable
    }
}

impl Counters {
    /// How many requests were sent.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many of them were not the first for their response.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }
}

impl Client {
    /// Prepares a client. `stop` ends its waits; what has been sent is still waited for.
    ///
    /// # Errors
    /// An `https` URL on a machine without root certificates, or behind a proxy that is not spoken to over plain HTTP.
    pub fn new(endpoint: Endpoint, patience: Patience, stop: Stop) -> io::Result<Self> {
        let transport = Transport::new(&endpoint.url, CONNECT_TIMEOUT.min(patience.timeout))?;
        Ok(Self { transport, endpoint, patience, pace: Pace::default(), stop, counters: Counters::default() })
    }

    /// Where it asks.
    pub fn url(&self) -> &Uri {
        &self.endpoint.url
    }

    /// What it has done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How long the endpoint is still to be left alone, if it asked for that.
    pub fn pause(&self) -> Option<Duration> {
        self.pace.remaining()
    }

    /// Asks for one response, as often as it takes and the policy allows.
    ///
    /// # Errors
    /// [`CallError`] says whether only this request failed, or the endpoint is of no use.
    pub async fn complete(&self, prompt: &Prompt<'_>) -> Result<Completion, CallError> {
        let body = Bytes::from(prompt.body(&self.endpoint.model, &self.endpoint.extra_body));
        let call = retry::with_retries(&self.patience.retry, &self.pace, &self.stop, async |again| {
            self.counters.requests.fetch_add(1, Ordering::Relaxed);
            self.counters.retries.fetch_add(u64::from(again), Ordering::Relaxed);
            let answer = tokio::time::timeout(self.patience.timeout, self.send(body.clone())).await;
            answer.unwrap_or_else(|_| Err(Unavailable::Timeout(self.patience.timeout).into()))
        });
        call.await
    }

    async fn send(&self, body: Bytes) -> Result<Completion, Fault> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("hybrid-llm/", env!("CARGO_PKG_VERSION"))));
        if let Some(key) = &self.endpoint.key {
            headers.insert(AUTHORIZATION, key.header.clone());
        }
        let response = self.transport.request(request).await.map_err(|error| Unavailable::from_client(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| Unavailable::from_body(error.as_ref()))?.to_bytes();
        if head.status.is_success() {
            message::read_completion(&body)
        } else {
            Err(Fault::from_status(head.status, &head.headers, &body, &self.endpoint))
        }
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
