//! The real scorer as a process, and a scripted stand-in that gives whatever answer a query asks for.

use crate::artifacts::{self, Profile};
use crate::fetch;
use crate::http::{self, Endpoint, Error};
use crate::process::Process;
use crate::upstream::{Recorded, StandIn, reply};
use hyper::header::{HeaderValue, RETRY_AFTER};
use std::io;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A running `hybrid-llm serve` with the default router, on a Unix socket; it stops when dropped.
#[derive(Debug)]
pub struct Scorer {
    /// The program.
    pub process: Process,
    /// Its socket.
    pub endpoint: Endpoint,
    command: Command,
    dir: TempDir,
}

impl Scorer {
    /// Builds and starts the scorer with the default router and waits until it is ready.
    ///
    /// # Errors
    /// It can't be built or started, or ONNX Runtime can't be had.
    pub async fn start(profile: Profile, flags: &[&str]) -> Result<Self, Error> {
        Self::start_with(profile, &artifacts::default_router(), flags).await
    }

    /// The same with another router's folder.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(profile: Profile, router: &Path, flags: &[&str]) -> Result<Self, Error> {
        Self::launch(profile, router, flags, logged).await
    }

    /// The default router's, with output streams that break where it writes, since nobody reads them.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_unread(profile: Profile, flags: &[&str]) -> Result<Self, Error> {
        Self::launch(profile, &artifacts::default_router(), flags, |command, _| Process::start_unread(command)).await
    }

    async fn launch(
        profile: Profile,
        router: &Path,
        flags: &[&str],
        start: impl FnOnce(&mut Command, &Path) -> io::Result<Process>,
    ) -> Result<Self, Error> {
        let dir = tempfile::tempdir()?;
        let socket = dir.path().join("scorer.sock");
        let mut command = Command::new(artifacts::scorer(profile)?);
        command.args(["serve", "--listen", "none", "--unix"]).arg(&socket).arg("--router").arg(router);
        // For those who ask it directly, and send no deadline: a busy machine may need longer than the default.
        command.args(["--deadline-ms", "60000"]);
        command.arg("--onnxruntime").arg(fetch::onnxruntime()?).args(flags);
        let endpoint = Endpoint::Unix(socket);
        let process = ready(start(&mut command, dir.path())?, &endpoint).await?;
        Ok(Self { process, endpoint, command, dir })
    }

    /// Starts it again in the same place, after it has ended.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.process = ready(logged(&mut self.command, self.dir.path())?, &self.endpoint).await?;
        Ok(())
    }
}

fn logged(command: &mut Command, dir: &Path) -> io::Result<Process> {
    Process::start(command, &dir.join("scorer.log"))
}

async fn ready(mut process: Process, endpoint: &Endpoint) -> Result<Process, Error> {
    let ready = async || (http::get(endpoint, "/readyz").await.ok()?.status == 200).then_some(());
    process.wait_for(ready).await.map_err(|error| format!("the scorer {error}"))?;
    Ok(process)
}

/// A stand-in for the scorer. The query's first two words say what it answers: `score 0.8`, `status 500`, or one of `slow`,
/// which it never answers, `held`, which waits for [`StandIn::release_piece`], `garbage`, `nan`, `refuse`; any other query
/// scores 0.5. Its share falls with the score, and so does its drop.
pub async fn scripted() -> StandIn {
    StandIn::start(|request, pieces| async move {
        let asked: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let query = asked["query"].as_str().unwrap_or_default().to_owned();
        let mut words = query.split_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match first {
            "status" => reply(second.parse().unwrap_or(500), r#"{"error":{"code":"scripted","message":"scripted"}}"#),
            "slow" => std::future::pending().await,
            "held" => {
                if let Ok(permit) = pieces.acquire().await {
                    permit.forget();
                }
                reply(200, scored(0.5))
            }
            "garbage" => reply(200, "\u{0}not json"),
            "nan" => reply(200, r#"{"score":7}"#),
            "refuse" => {
                let mut refused = reply(429, r#"{"error":{"code":"overloaded","message":"scripted"}}"#);
                refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                refused
            }
            _ => reply(200, scored(if first == "score" { second.parse().unwrap_or(0.5) } else { 0.5 })),
        }
    })
    .await
}

/// A stand-in for a scorer that answers at once, for benchmarks.
pub async fn instant() -> StandIn {
    StandIn::start(|_: Recorded, _| async { reply(200, scored(0.5)) }).await
}

fn scored(score: f64) -> String {
    let (share, drop) = (1.0 - score, (1.0 - score) / 10.0);
    format!(
        r#"{{"score":{score},"small_share":{share},"quality_drop":{drop},"router":"default","version":"scripted"}}"#
    )
}
