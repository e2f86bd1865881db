//! Stand-ins: servers that answer in the place of a model, or of the scorer, and record what they were asked.

use crate::http::Endpoint;
use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A request as a stand-in received it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Path and query.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Bytes,
}

/// The body of an answer.
pub type Body = BoxBody<Bytes, Infallible>;

/// An HTTP server on a loopback port that records requests; it stops when dropped.
#[derive(Debug)]
pub struct StandIn {
    endpoint: Endpoint,
    recorded: Arc<Mutex<Vec<Recorded>>>,
    /// In streamed answers, each permit lets one piece go out.
    pieces: Arc<Semaphore>,
    task: JoinHandle<()>,
}

impl StandIn {
    /// Starts a server whose answers `answer` makes.
    pub async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Recorded, Arc<Semaphore>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let endpoint = Endpoint::Tcp(listener.local_addr().expect("bound"));
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let pieces = Arc::new(Semaphore::new(0));
        let task = tokio::spawn(serve(listener, Arc::clone(&recorded), Arc::clone(&pieces), answer));
        Self { endpoint, recorded, pieces, task }
    }

    /// A stand-in for a model: says which model it was asked for, as a chat completion, streamed if that was asked for.
    /// A streamed answer has [`STREAMED_PIECES`] pieces, and each waits for [`Self::release_piece`].
    pub async fn model(name: &'static str) -> Self {
        Self::start(move |request, pieces| async move { chat_completion(name, &request, pieces) }).await
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// What it was asked since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.recorded.lock().expect("not poisoned"))
    }

    /// Lets one more piece of a streamed answer go out.
    pub fn release_piece(&self) {
        self.pieces.add_permits(1);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<F, R>(listener: TcpListener, recorded: Arc<Mutex<Vec<Recorded>>>, pieces: Arc<Semaphore>, answer: F)
where
    F: Fn(Recorded, Arc<Semaphore>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (recorded, pieces, answer) = (Arc::clone(&recorded), Arc::clone(&pieces), answer.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (recorded, pieces, answer) = (Arc::clone(&recorded), Arc::clone(&pieces), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
                let request = Recorded { path, headers: parts.headers, body };
                recorded.lock().expect("not poisoned").push(request.clone());
                Ok::<_, hyper::Error>(answer(request, pieces).await)
            }
        });
        // Without a timer it never closes an idle connection, which the next request could meet.
        let server = hyper::server::conn::http1::Builder::new();
        connections.spawn(server.serve_connection(TokioIo::new(stream), service));
    }
}

/// An answer with a whole body.
#[must_use]
pub fn reply(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed());
    *response.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// Pieces of a streamed answer.
pub const STREAMED_PIECES: usize = 4;

fn chat_completion(name: &'static str, request: &Recorded, pieces: Arc<Semaphore>) -> Response<Body> {
    let asked: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let model = asked["model"].clone();
    let mut response = if asked["stream"] == true {
        streamed(model, pieces)
    } else {
        let text = format!("(stand-in {name}, asked for {model})");
        let answer = serde_json::json!({
            "id": "chatcmpl-stand-in", "object": "chat.completion", "model": model,
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        });
        reply(200, answer.to_string())
    };
    response.headers_mut().insert("x-stand-in", hyper::header::HeaderValue::from_static(name));
    response
}

fn streamed(model: serde_json::Value, pieces: Arc<Semaphore>) -> Response<Body> {
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
    tokio::spawn(async move {
        for piece in 0..STREAMED_PIECES {
            let Ok(permit) = pieces.acquire().await else { return };
            permit.forget();
            let event = serde_json::json!({
                "object": "chat.completion.chunk", "model": model,
                "choices": [{"index": 0, "delta": {"content": format!("piece {piece} ")}}],
            });
            if sender.send_data(format!("data: {event}\n\n").into()).await.is_err() {
                return;
            }
        }
        let _ = sender.send_data(Bytes::from_static(b"data: [DONE]\n\n")).await;
    });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("text/event-stream"));
    response
}
