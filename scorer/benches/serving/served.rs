//! `hybrid-llm serve` as a process of its own, and a client on as many connections as it takes.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpStream, UnixStream},
    runtime::Runtime,
    task::JoinSet,
};

use crate::{Args, Failure, mix::Text};

type Client = SendRequest<Full<Bytes>>;

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    place: Place,
    tokio: Runtime,
}

#[derive(Clone)]
enum Place {
    Tcp(String),
    Unix(PathBuf),
}

/// A connection that is kept.
pub(crate) struct Lone<'a> {
    client: Client,
    tokio: &'a Runtime,
}

/// What a run with many queries at once gave.
pub(crate) struct Load {
    pub(crate) latencies: Vec<Duration>,
    /// Queries a second.
    pub(crate) rate: f64,
}

impl Server {
    pub(crate) fn start(args: &Args, workers: usize) -> Result<Self, Failure> {
        let socket = std::env::temp_dir().join(format!("serving-{}.sock", std::process::id()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_hybrid-llm"));
        command.arg("serve").arg("--router").arg(&args.router);
        command.arg("--onnxruntime").arg(&args.onnxruntime);
        command.args(["--cache-entries", "0", "--deadline-ms", "60000"]);
        command.args(["--workers", &workers.to_string()]);
        if args.unix {
            command.args(["--listen", "none"]).arg("--unix").arg(&socket);
        } else {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let stderr = BufReader::new(child.stderr.take().ok_or("no stderr")?);
        let mut said = String::new();
        for line in stderr.lines() {
            let line = line?;
            let place = line.split("ready on ").nth(1).and_then(|rest| rest.split(' ').next());
            if let Some(place) = place {
                let place = match place.strip_prefix("http://") {
                    Some(address) => Place::Tcp(address.to_owned()),
                    None => Place::Unix(socket),
                };
                // One thread: the client should take as little as it can of what is measured.
                let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                return Ok(Self { child, place, tokio });
            }
            said.push_str(&line);
            said.push('\n');
        }
        Err(format!("the server did not start:\n{said}").into())
    }

    /// A connection for one query at a time.
    pub(crate) fn lone(&self) -> Result<Lone<'_>, Failure> {
        let client = self.tokio.block_on(self.place.connect())?;
        Ok(Lone { client, tokio: &self.tokio })
    }

    /// `concurrency` connections, each with one query under way.
    pub(crate) fn load(&self, texts: &[&Text], concurrency: usize) -> Result<Load, Failure> {
        let bodies: Arc<[Bytes]> = texts.iter().map(|text| text.body.clone()).collect();
        let next = Arc::new(AtomicUsize::new(0));
        self.tokio.block_on(async {
            let mut clients = Vec::new();
            for _ in 0..concurrency {
                clients.push(self.place.connect().await?);
            }
            let started = Instant::now();
            let mut running = JoinSet::new();
            for mut client in clients {
                let (bodies, next) = (Arc::clone(&bodies), Arc::clone(&next));
                running.spawn(async move {
                    let mut latencies = Vec::new();
                    while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                        latencies.push(score(&mut client, body).await?);
                    }
                    Ok::<_, Failure>(latencies)
                });
            }
            let mut latencies = Vec::new();
            while let Some(finished) = running.join_next().await {
                latencies.extend(finished??);
            }
            let rate = latencies.len() as f64 / started.elapsed().as_secs_f64();
            Ok(Load { latencies, rate })
        })
    }
}

impl Lone<'_> {
    /// One query, from its request to the whole of its answer.
    pub(crate) fn score(&mut self, text: &Text) -> Result<Duration, Failure> {
        self.tokio.block_on(score(&mut self.client, &text.body))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Place::Unix(path) = &self.place {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Place {
    async fn connect(&self) -> Result<Client, Failure> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                open(stream).await
            }
            Self::Unix(path) => open(UnixStream::connect(Path::new(path)).await?).await,
        }
    }
}

async fn open<S>(stream: S) -> Result<Client, Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (client, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn score(client: &mut Client, body: &Bytes) -> Result<Duration, Failure> {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/score")
        .header("host", "scorer")
        .body(Full::new(body.clone()))?;
    let started = Instant::now();
    client.ready().await?;
    let response = client.send_request(request).await?;
    let status = response.status();
    let answer = response.into_body().collect().await?.to_bytes();
    if status != StatusCode::OK {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&answer)).into());
    }
    Ok(started.elapsed())
}
