//! The client of one endpoint: sends requests, and repeats those that can succeed later.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT},
};

use super::{
    address::Endpoint,
    fault::{CallError, Fault, Unavailable},
    message::{self, Completion, Prompt},
    retry::{self, Pace, RetryPolicy, Stop},
    transport::Transport,
};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// The longest wait for a connection; a timeout that is shorter goes first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
