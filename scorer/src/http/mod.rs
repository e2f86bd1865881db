//! The API over HTTP/1.1.

mod api;
mod error;
mod listen;
mod request;
mod state;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, future::Future, io, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::io::{AsyncRead, AsyncWrite};

pub use self::{
    listen::{ListenError, Listeners, UnixAddress},
    state::{Limits, Scorer, ServedRouter},
};

/// How long a connection may take to send a request's head. hyper's timer also runs while a kept connection is idle, so
/// this is the idle limit too: a proxy should close its idle connections sooner (Envoy: `idle_timeout` of the cluster
/// below 75 s), lest it send a request on one that is just being closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// The pause after a failed accept, such as when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `shutdown` completes; then stops accepting, answers what is under way for at most `drain`, and returns.
pub async fn run(listeners: Listeners, scorer: Arc<Scorer>, shutdown: impl Future<Output = ()>, drain: Duration) {
    let graceful = GracefulShutdown::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = accept_tcp(&listeners) => {
                spawn(accepted, &graceful, &scorer).await;
            }
            accepted = accept_unix(&listeners) => {
                spawn(accepted, &graceful, &scorer).await;
            }
            () = &mut shutdown => break,
        }
    }
    scorer.drain();
    drop(listeners);
    tracing::info!(connections = graceful.count(), "draining");
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way at the end of the drain time");
    }
}

/// The next TCP connection; never, where TCP is off.
async fn accept_tcp(listeners: &Listeners) -> io::Result<tokio::net::TcpStream> {
    let Some(listener) = &listeners.tcp else {
        return std::future::pending().await;
    };
    let (stream, _) = listener.accept().await?;
    // Answers are small and someone waits for each. It fails on a connection that is gone already, as reading will show.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// The next connection on the Unix socket; never, where there is none.
async fn accept_unix(listeners: &Listeners) -> io::Result<tokio::net::UnixStream> {
    let Some(socket) = &listeners.unix else {
        return std::future::pending().await;
    };
    let (stream, _) = socket.listener.accept().await?;
    Ok(stream)
}

/// Serves a connection on a task of its own. After an error, which is not this connection's fault, it pauses instead.
async fn spawn<S>(accepted: io::Result<S>, graceful: &GracefulShutdown, scorer: &Arc<Scorer>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match accepted {
        Ok(stream) => {
            tokio::spawn(serve(stream, graceful.watcher(), Arc::clone(scorer)));
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// Serves one connection until it ends. A client that leaves takes its request with it: hyper drops the handler.
async fn serve<S>(stream: S, watcher: Watcher, scorer: Arc<Scorer>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let scorer = Arc::clone(&scorer);
        async move { Ok::<_, Infallible>(api::handle(scorer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        // Resets and bad requests are the client's affair.
        tracing::debug!(%error, "a connection ended early");
    }
}
