//! A client on one connection, for TCP and Unix sockets.

use std::{net::SocketAddr, path::Path};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, Uri,
    body::Body,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
};

/// Closes its connection when dropped.
pub(super) struct Client<B = Full<Bytes>> {
    send: SendRequest<B>,
    connection: JoinHandle<()>,
}

/// A whole response.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    body: Bytes,
}

impl<B> Client<B>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    pub(super) async fn tcp(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(super) async fn unix(path: &Path) -> Self {
        Self::over(UnixStream::connect(path).await.unwrap()).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (send, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async { _ = connection.await });
        Self { send, connection }
    }

    pub(super) async fn send(&mut self, request: Request<B>) -> Answer {
        self.send.ready().await.unwrap();
        let (head, body) = self.send.send_request(request).await.unwrap().into_parts();
        Answer { status: head.status.as_u16(), headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }
}

impl Client {
    pub(super) async fn request(&mut self, method: Method, path: &str, body: &str) -> Answer {
        self.with_deadline(method, path, body, None).await
    }

    pub(super) async fn with_deadline(
        &mut self,
        method: Method,
        path: &str,
        body: &str,
        deadline_ms: Option<u64>,
    ) -> Answer {
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse::<Uri>().unwrap();
        if let Some(ms) = deadline_ms {
            let headers = request.headers_mut();
            headers.insert("x-envoy-expected-rq-timeout-ms", ms.into());
        }
        self.send(request).await
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.request(Method::GET, path, "").await
    }

    pub(super) async fn post(&mut self, path: &str, body: &str) -> Answer {
        self.request(Method::POST, path, body).await
    }

    pub(super) async fn score(&mut self, query: &str) -> Answer {
        self.post("/v1/score", &json!({"query": query}).to_string()).await
    }
}

impl<B> Drop for Client<B> {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Answer {
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The error's code, after a look at what every error has.
    pub(super) fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/json");
        let error = self.json()["error"].clone();
        assert!(!error["message"].as_str().unwrap().is_empty());
        error["code"].as_str().unwrap().to_owned()
    }

    /// The seconds of `Retry-After`.
    pub(super) fn retry_after(&self) -> Option<u64> {
        let value = self.headers.get("retry-after")?;
        Some(value.to_str().unwrap().parse().unwrap())
    }
}
