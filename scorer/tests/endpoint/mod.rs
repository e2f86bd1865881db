//! A scripted model behind a real socket: it answers, or fails in any of the ways that real ones do.
#![allow(dead_code, reason = "each test program uses a part")]

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// How many requests a model may answer; it lets further ones wait.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limit(Arc<AtomicUsize>);

impl Limit {
    pub(crate) fn set(&self, requests: usize) {
        self.0.store(requests, Ordering::SeqCst);
    }

    /// Waits until request `number`, from zero, may be answered.
    pub(crate) async fn allows(&self, number: usize) {
        while number >= self.0.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// What the model does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Answers with this text.
    Say(String),
    /// Answers with this body.
    Body(Value),
    /// Answers with this status, header line (or none) and body.
    Status(u16, &'static str, Value),
    /// Ends the connection with a reset, without an answer.
    Reset,
    /// Ends the connection with a reset in the midst of the answer's body.
    ResetInBody,
    /// Ends the connection in the midst of the answer's body.
    Truncate,
    /// Answers 200 with something that is no JSON.
    Garbage,
    /// Keeps the connection and says nothing.
    Hang,
}

/// A request that the model got.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
    pub(crate) at: Instant,
}

impl Asked {
    /// The user's message.
    pub(crate) fn query(&self) -> &str {
        self.body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap()
    }

    pub(crate) fn model(&self) -> &str {
        self.body["model"].as_str().unwrap()
    }
}

#[derive(Debug, Default)]
struct State {
    asked: Mutex<Vec<Asked>>,
    said: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A scripted model; it is gone when dropped.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Endpoint {
    /// Starts a model. `script` is told the request and its number, from zero.
    pub(crate) async fn start<F, R>(script: F) -> Self
    where
        F: Fn(Asked, usize) -> R + Send + Sync + 'static,
        R: Future<Output = Act> + Send + 'static,
    {
        Self::start_with(script, None).await
    }

    /// The same behind TLS.
    pub(crate) async fn start_with<F, R>(script: F, tls: Option<TlsAcceptor>) -> Self
    where
        F: Fn(Asked, usize) -> R + Send + Sync + 'static,
        R: Future<Output = Act> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url =
            if tls.is_some() { format!("https://localhost:{port}/v1") } else { format!("http://127.0.0.1:{port}/v1") };
        let (state, script) = (Arc::new(State::default()), Arc::new(script));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, script, tls) = (Arc::clone(&shared), Arc::clone(&script), tls.clone());
                tokio::spawn(async move {
                    let _ = match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => converse(stream, &state, &*script, |_| {}).await,
                            Err(_) => Ok(()),
                        },
                        None => {
                            converse(stream, &state, &*script, |stream: &TcpStream| stream.set_zero_linger().unwrap())
                                .await
                        }
                    };
                });
            }
        });
        Self { url, state, task }
    }

    /// A model that says its name and the number of the request, and nothing else.
    pub(crate) async fn plain(name: &'static str) -> Self {
        Self::start(move |_, number| async move { Act::Say(format!("{name} {number}")) }).await
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// How many responses went out whole.
    pub(crate) fn said(&self) -> usize {
        self.state.said.load(Ordering::SeqCst)
    }

    /// The most requests that were under way at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }

    /// Waits until there were so many requests.
    pub(crate) async fn until_asked(&self, requests: usize) {
        let enough = async {
            while self.state.asked.lock().unwrap().len() < requests {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(120), enough).await;
        assert!(waited.is_ok(), "{} of {requests} requests came", self.asked().len());
    }
}

async fn converse<S, F, R>(mut stream: S, state: &State, script: &F, before_reset: impl Fn(&S)) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Asked, usize) -> R,
    R: Future<Output = Act>,
{
    let mut buffer = Vec::new();
    while let Some(asked) = read_request(&mut stream, &mut buffer).await? {
        let number = {
            let mut all = state.asked.lock().unwrap();
            all.push(asked.clone());
            all.len() - 1
        };
        let now = state.now.fetch_add(1, Ordering::SeqCst) + 1;
        state.most.fetch_max(now, Ordering::SeqCst);
        let act = script(asked, number).await;
        state.now.fetch_sub(1, Ordering::SeqCst);
        let (status, header, body, act) = match act {
            Act::Say(text) => (200, "", completion(&text, "stop").to_string(), None),
            Act::Body(body) => (200, "", body.to_string(), None),
            Act::Status(status, header, body) => (status, header, body.to_string(), None),
            Act::Garbage => (200, "", "<html>busy</html>".to_owned(), None),
            Act::Hang => return std::future::pending().await,
            cut => (200, "", completion("never seen whole", "stop").to_string(), Some(cut)),
        };
        let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
        let head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n{header}\r\n", body.len());
        match act {
            None => {
                stream.write_all(format!("{head}{body}").as_bytes()).await?;
                state.said.fetch_add(usize::from(status == 200), Ordering::SeqCst);
            }
            Some(Act::Reset) => {
                before_reset(&stream);
                return Ok(());
            }
            Some(cut) => {
                stream.write_all(format!("{head}{}", &body[..body.len() / 2]).as_bytes()).await?;
                stream.flush().await?;
                if matches!(cut, Act::ResetInBody) {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    before_reset(&stream);
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Reads one request; `None` when the client has closed the connection.
async fn read_request(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> std::io::Result<Option<Asked>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (key.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let body = serde_json::from_slice(&buffer[end..end + length]).unwrap();
    buffer.drain(..end + length);
    Ok(Some(Asked { path, authorization: headers.get("authorization").cloned(), body, at: Instant::now() }))
}

/// A chat completion with 10 tokens in and 20 out.
pub(crate) fn completion(text: &str, finish_reason: &str) -> Value {
    json!({
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
    })
}

/// Starts the real program without the caller's environment.
pub(crate) fn program(args: &[&str], env: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hybrid-llm"));
    command.args(args).env_clear().envs(env.iter().copied()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Runs the real program to its end.
pub(crate) async fn run(args: &[&str], env: &[(&str, &str)]) -> Outcome {
    Outcome::of(program(args, env).wait_with_output().await.unwrap())
}

/// What a run of the program gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// The lines of a file that may not be there.
pub(crate) fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}
