//! The client of one endpoint: sends requests, and retries those that can succeed later.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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
    answer,
    error_body::ErrorBody,
    fault::{CallError, Fault, Unavailable},
    message::{Completion, Prompt},
    retry::{self, Pace, RetryPolicy, Stop},
    tokens::Tokens,
    transport::Transport,
};

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// The most messages of an endpoint's that are shown.
const MOST_SHOWN: usize = 20;
/// The longest wait for a connection; a timeout that is shorter goes first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a client needs to know besides its endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The longest wait for one answer.
    pub timeout: Duration,
    /// When to try again.
    pub retry: RetryPolicy,
    /// The longest wait that an endpoint may ask for; one that asks for more is of no use now.
    pub longest_wait: Duration,
    /// Gets what a server says of an error, each message once. It may quote the query.
    pub show: Option<fn(&str)>,
}

/// What a client has done so far.
#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
    wasted_input: AtomicU64,
    wasted_output: AtomicU64,
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
    /// The messages that were shown.
    shown: Mutex<BTreeSet<String>>,
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

    /// Notes tokens of an answer of no use.
    pub(crate) fn waste(&self, tokens: Tokens) {
        self.wasted_input.fetch_add(tokens.input, Ordering::Relaxed);
        self.wasted_output.fetch_add(tokens.output, Ordering::Relaxed);
    }

    /// The tokens that answers of no use took.
    pub fn wasted(&self) -> Tokens {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Tokens { input: load(&self.wasted_input), output: load(&self.wasted_output) }
    }
}

impl Client {
    /// Prepares a client. `stop` ends its waits; what has been sent is still waited for.
    ///
    /// # Errors
    /// An `https` URL on a machine without root certificates, or behind a proxy that is not spoken to over plain HTTP.
    pub fn new(endpoint: Endpoint, patience: Patience, stop: Stop) -> io::Result<Self> {
        let transport = Transport::new(&endpoint.url, CONNECT_TIMEOUT.min(patience.timeout))?;
        Ok(Self {
            transport,
            endpoint,
            patience,
            pace: Pace::default(),
            stop,
            counters: Counters::default(),
            shown: Mutex::default(),
        })
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
            let answer = answer.unwrap_or_else(|_| Err(Unavailable::Timeout(self.patience.timeout).into()));
            answer.map_err(|fault| self.in_time(fault))
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
        if !head.status.is_success() {
            let mut error = ErrorBody::read(&body);
            self.show(error.message.take());
            return Err(Fault::from_status(head.status, &head.headers, error, &self.endpoint));
        }
        let answer = answer::read(&body, &head.headers, &self.endpoint);
        self.show(answer.message);
        answer.outcome.inspect_err(|_| self.counters.waste(answer.tokens))
    }

    /// The fault, unless the endpoint asks for a wait that is too long: then it is of no use now.
    fn in_time(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Unavailable { why, retry_after: Some(wait) } if wait > self.patience.longest_wait => {
                let (url, most) = (&self.endpoint.url, span(self.patience.longest_wait));
                Fault::Useless(format!(
                    "{url} {why}, and asks to wait {}, which is longer than {most} (--max-wait-seconds)",
                    span(wait)
                ))
            }
            fault => fault,
        }
    }

    /// Shows a server's message, where that is wanted and new. It may echo the key, which is never shown.
    fn show(&self, message: Option<String>) {
        let (Some(show), Some(message)) = (self.patience.show, message) else { return };
        let message = match &self.endpoint.key {
            Some(key) => key.blot_out(&message),
            None => message,
        };
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.len() < MOST_SHOWN && shown.insert(message.clone()) {
            show(&format!("{} says: {message}", self.endpoint.url));
        }
    }
}

/// A span of time in the two largest of hours, minutes and seconds that it has.
fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_two_units() {
        let told = [0, 59, 600, 61, 3600, 3660, 86_399].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(told, ["0 s", "59 s", "10 min", "1 min 1 s", "1 h", "1 h 1 min", "23 h 59 min"]);
    }
}
