//! The endpoints.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Body,
    header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use serde::Serialize;
use tokio::task::JoinSet;

use super::{
    error::ApiError,
    request::{self, BatchRequest, ScoreRequest},
    state::{Scorer, ServedRouter},
};
use crate::{
    metrics,
    router::{Label, Manifest, Output, Verdict},
};

/// The most queries in a batch.
const MAX_BATCH: usize = 1024;
/// How long a batch may take when the caller does not say: it is work offline, not a request that someone waits on.
const BATCH_DEADLINE: Duration = Duration::from_secs(30);
/// The code that requests are counted under whose client left before the answer.
const CLIENT_GONE: u16 = 499;

pub(crate) type Reply = Response<Full<Bytes>>;

#[derive(Debug, Serialize)]
struct ScoreReply<'a> {
    #[serde(flatten)]
    verdict: Verdict,
    router: &'a str,
    version: &'a str,
}

#[derive(Debug, Serialize)]
struct BatchReply<'a> {
    router: &'a str,
    version: &'a str,
    results: Vec<Verdict>,
}

#[derive(Debug, Serialize)]
struct RoutersReply<'a> {
    routers: Vec<RouterReply<'a>>,
}

/// A router as `GET /v1/routers` shows it.
#[derive(Debug, Serialize)]
struct RouterReply<'a> {
    name: &'a str,
    version: &'a str,
    encoder: &'a str,
    max_tokens: usize,
    output: Output,
    label: Label,
    relaxation: Option<f64>,
    small: &'a str,
    large: &'a str,
    trained_on: &'a serde_json::Value,
    metrics: &'a serde_json::Value,
    calibration: CalibrationReply,
}

/// How much a dial can rely on.
#[derive(Debug, Serialize)]
struct CalibrationReply {
    rows: usize,
    small_share: bool,
    quality_drop: bool,
    bounded: bool,
}

/// Answers one request; every failure becomes its JSON.
pub(crate) async fn handle<B>(scorer: Arc<Scorer>, request: Request<B>) -> Reply
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let arrived = Instant::now();
    let (endpoint, allowed) = match request.uri().path() {
        "/healthz" => return probe(&request, &scorer, healthz),
        "/readyz" => return probe(&request, &scorer, readyz),
        "/metrics" => return probe(&request, &scorer, show_metrics),
        "/v1/score" => ("score", Method::POST),
        "/v1/score/batch" => ("score_batch", Method::POST),
        "/v1/routers" => ("routers", Method::GET),
        _ => ("other", Method::GET),
    };
    let mut record = Record { scorer: Arc::clone(&scorer), endpoint, arrived, code: CLIENT_GONE };
    let result = if endpoint == "other" {
        Err(ApiError::NotFound)
    } else if !allows(&allowed, request.method()) {
        Err(ApiError::Method(allowed))
    } else {
        match endpoint {
            "score" => score(&scorer, request, arrived).await,
            "score_batch" => score_batch(&scorer, request, arrived).await,
            _ => routers(&scorer),
        }
    };
    let reply = result.unwrap_or_else(|error| failure(&error));
    record.code = reply.status().as_u16();
    reply
}

async fn score<B>(scorer: &Scorer, request: Request<B>, arrived: Instant) -> Result<Reply, ApiError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    scorer.open()?;
    let (head, body) = request.into_parts();
    let limits = scorer.limits();
    let deadline = request::deadline(&head.headers, arrived, limits.deadline);
    let body = request::body(&head.headers, body, limits.max_body_bytes, deadline).await?;
    let request: ScoreRequest<'_> = request::parse(&body)?;
    let query = request.query.ok_or(ApiError::Missing("query"))?;
    if query.trim().is_empty() {
        return Err(ApiError::Empty("\"query\" is empty".to_owned()));
    }
    let router = scorer.router(request.router.as_deref())?;
    let score = router.engine.score(&query, deadline).await;
    let score = score.map_err(|error| ApiError::from_score(error, router.engine.backlog()))?;
    json(&ScoreReply {
        verdict: router.manifest.verdict(score),
        router: &router.manifest.name,
        version: &router.manifest.version,
    })
}

async fn score_batch<B>(scorer: &Scorer, request: Request<B>, arrived: Instant) -> Result<Reply, ApiError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    scorer.open()?;
    let (head, body) = request.into_parts();
    let deadline = request::deadline(&head.headers, arrived, BATCH_DEADLINE);
    let most = scorer.limits().max_body_bytes;
    let body = request::body(&head.headers, body, most, deadline).await?;
    let request: BatchRequest = request::parse(&body)?;
    let queries = request.queries.ok_or(ApiError::Missing("queries"))?;
    if queries.len() > MAX_BATCH {
        let (found, most) = (queries.len(), MAX_BATCH);
        return Err(ApiError::TooMany { found, most });
    }
    if queries.is_empty() {
        return Err(ApiError::Empty("\"queries\" is empty".to_owned()));
    }
    if let Some(empty) = queries.iter().position(|query| query.trim().is_empty()) {
        return Err(ApiError::Empty(format!("\"queries\"[{empty}] is empty")));
    }
    let router = scorer.router(request.router.as_deref())?;
    json(&BatchReply {
        router: &router.manifest.name,
        version: &router.manifest.version,
        results: score_queries(router, queries, deadline).await?,
    })
}

/// Scores the queries, a bounded number at a time; the first failure fails them all, and withdraws the rest.
async fn score_queries(
    router: &Arc<ServedRouter>,
    queries: Vec<String>,
    deadline: Instant,
) -> Result<Vec<Verdict>, ApiError> {
    let mut scores = vec![0.0; queries.len()];
    let mut queries = queries.into_iter().enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < router.engine.concurrency() {
            let Some((position, query)) = queries.next() else {
                break;
            };
            let router = Arc::clone(router);
            running.spawn(async move { (position, router.engine.score(&query, deadline).await) });
        }
        let Some(finished) = running.join_next().await else {
            break;
        };
        let (position, result) = finished.map_err(|_| ApiError::Internal)?;
        let score = result.map_err(|error| ApiError::from_score(error, router.engine.backlog()))?;
        if let Some(slot) = scores.get_mut(position) {
            *slot = score;
        }
    }
    let verdicts = scores.iter().map(|score| router.manifest.verdict(*score));
    Ok(verdicts.collect())
}

fn routers(scorer: &Scorer) -> Result<Reply, ApiError> {
    scorer.open()?;
    let routers = scorer.routers().iter();
    json(&RoutersReply { routers: routers.map(|router| show(&router.manifest)).collect() })
}

fn show(manifest: &Manifest) -> RouterReply<'_> {
    let rows = manifest.calibration.rows();
    RouterReply {
        name: &manifest.name,
        version: &manifest.version,
        encoder: &manifest.encoder,
        max_tokens: manifest.max_tokens,
        output: manifest.output,
        label: manifest.label,
        relaxation: manifest.relaxation,
        small: &manifest.small,
        large: &manifest.large,
        trained_on: &manifest.trained_on,
        metrics: &manifest.metrics,
        calibration: CalibrationReply {
            rows: rows.len(),
            small_share: !rows.is_empty(),
            quality_drop: manifest.calibration.quality_drop(1.0).is_some(),
            bounded: rows.iter().any(|row| row.quality_drop_upper95.is_some()),
        },
    }
}

fn healthz(_: &Scorer) -> Reply {
    plain(StatusCode::OK, "ok\n")
}

fn readyz(scorer: &Scorer) -> Reply {
    match scorer.open() {
        Ok(()) => plain(StatusCode::OK, "ready\n"),
        Err(error) => failure(&error),
    }
}

fn show_metrics(scorer: &Scorer) -> Reply {
    let engines = scorer.routers().iter().map(|router| router.engine.status());
    let text = scorer.metrics().render(engines);
    reply(StatusCode::OK, metrics::CONTENT_TYPE, text.into())
}

/// Answers a GET that is not counted among the requests.
fn probe<B>(request: &Request<B>, scorer: &Scorer, answer: fn(&Scorer) -> Reply) -> Reply {
    if allows(&Method::GET, request.method()) { answer(scorer) } else { failure(&ApiError::Method(Method::GET)) }
}

/// HEAD is allowed where GET is; hyper leaves the body out.
fn allows(allowed: &Method, method: &Method) -> bool {
    method == allowed || (allowed == Method::GET && method == Method::HEAD)
}

fn json<T: Serialize>(body: &T) -> Result<Reply, ApiError> {
    let body = serde_json::to_vec(body).map_err(|error| {
        tracing::error!(%error, "a reply cannot be written");
        ApiError::Internal
    })?;
    Ok(reply(StatusCode::OK, "application/json", body.into()))
}

fn plain(status: StatusCode, text: &'static str) -> Reply {
    reply(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn failure(error: &ApiError) -> Reply {
    let body = serde_json::json!({
        "error": {"code": error.code(), "message": error.to_string()}
    });
    let mut reply = reply(error.status(), "application/json", body.to_string().into());
    if let Some(seconds) = error.retry_after() {
        reply.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if let ApiError::Method(allowed) = error {
        let allowed = if allowed == Method::GET { "GET, HEAD" } else { "POST" };
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    }
    reply
}

fn reply(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// Counts a request when it ends, also when it ends by being dropped because its client has left.
struct Record {
    scorer: Arc<Scorer>,
    endpoint: &'static str,
    arrived: Instant,
    code: u16,
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.arrived.elapsed();
        self.scorer.metrics().request(self.endpoint, self.code, took);
    }
}
