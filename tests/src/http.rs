//! A small HTTP/1.1 client and server over TCP and Unix sockets, for tests that care about exact bytes and timing.

use crate::wait::PATIENCE;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::net::{TcpStream, UnixStream};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Anything that went wrong on the way; tests and the quickstart only print it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A connection that can send one request after the other.
pub async fn connect<B>(endpoint: &Endpoint) -> Result<SendRequest<B>, Error>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    let sender = match endpoint {
        Endpoint::Tcp(addr) => {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender
        }
        Endpoint::Unix(path) => {
            let (sender, connection) = handshake(TokioIo::new(UnixStream::connect(path).await?)).await?;
            tokio::spawn(connection);
            sender
        }
    };
    Ok(sender)
}

/// Sends one request on a connection of its own; the body of the response is still to be read.
pub async fn open<B>(endpoint: &Endpoint, request: Request<B>) -> Result<Response<Incoming>, Error>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    let mut sender = connect(endpoint).await?;
    Ok(tokio::time::timeout(PATIENCE, sender.send_request(request)).await??)
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: hyper::HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Reply {
    /// A header's value; empty when it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Sends one request and reads the whole response.
pub async fn send<B>(endpoint: &Endpoint, request: Request<B>) -> Result<Reply, Error>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    collect(open(endpoint, request).await?).await
}

/// Reads the rest of a response.
pub async fn collect(response: Response<Incoming>) -> Result<Reply, Error> {
    let (parts, body) = response.into_parts();
    let body = tokio::time::timeout(PATIENCE, body.collect()).await??.to_bytes();
    Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
}

/// A `GET`.
pub async fn get(endpoint: &Endpoint, path: &str) -> Result<Reply, Error> {
    let request = Request::get(path).header("host", "rig").body(Full::<Bytes>::default())?;
    send(endpoint, request).await
}

/// A `POST` of JSON, with more headers.
#[must_use]
pub fn post(path: &str, body: impl Into<Bytes>, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::post(path).header("host", "rig").header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).expect("headers are valid")
}
