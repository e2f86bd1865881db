//! What a request that fails is told: a status, a code for programs, and a message for people that never quotes a query.

use std::time::Duration;

use hyper::{Method, StatusCode};

use crate::engine::ScoreError;

/// The most seconds that `Retry-After` asks for.
const MAX_RETRY_SECONDS: u64 = 60;

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("{0}")]
    BadJson(String),
    #[error("the key \"{0}\" is missing")]
    Missing(&'static str),
    #[error("{0}")]
    Empty(String),
    #[error("\"queries\" has {found} elements, but at most {most} are scored at once")]
    TooMany { found: usize, most: usize },
    #[error("there is no such router here; GET /v1/routers lists them")]
    UnknownRouter,
    #[error("no such path; see POST /v1/score, POST /v1/score/batch and GET /v1/routers")]
    NotFound,
    #[error("this path takes {0}")]
    Method(Method),
    #[error("the body has more than {most} bytes")]
    TooLarge { most: usize },
    #[error("{message}")]
    Overloaded { message: String, retry: Duration },
    #[error("the routers are still loading")]
    NotReady,
    #[error("this scorer is shutting down")]
    Draining,
    #[error("no score before the deadline")]
    DeadlineExceeded { retry: Duration },
    #[error("the body could not be read")]
    Body,
    #[error("the query could not be scored; the scorer's log says why")]
    Internal,
}

impl ApiError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadJson(_) | Self::Missing(_) | Self::Empty(_) | Self::TooMany { .. } | Self::Body => {
                StatusCode::BAD_REQUEST
            }
            Self::UnknownRouter | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Overloaded { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NotReady | Self::Draining | Self::DeadlineExceeded { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::BadJson(_) => "bad_json",
            Self::Missing(_) => "missing_query",
            Self::Empty(_) => "empty_query",
            Self::TooMany { .. } => "too_many_queries",
            Self::UnknownRouter => "unknown_router",
            Self::NotFound => "not_found",
            Self::Method(_) => "method_not_allowed",
            Self::TooLarge { .. } => "too_large",
            Self::Overloaded { .. } => "overloaded",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::Body => "bad_body",
            Self::Internal => "internal",
        }
    }

    /// The seconds of `Retry-After`, at least 1, where trying again makes sense.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        let retry = match self {
            Self::Overloaded { retry, .. } | Self::DeadlineExceeded { retry } => *retry,
            Self::NotReady | Self::Draining => Duration::ZERO,
            _ => return None,
        };
        let seconds = retry.as_secs() + u64::from(retry.subsec_nanos() > 0);
        Some(seconds.clamp(1, MAX_RETRY_SECONDS))
    }

    /// What a failed score is to its caller. `backlog` is how long the queue will take from now.
    pub(crate) fn from_score(error: ScoreError, backlog: Duration) -> Self {
        match error {
            ScoreError::QueueFull => Self::Overloaded { message: error.to_string(), retry: backlog },
            ScoreError::WouldMissDeadline { late } => Self::Overloaded { message: error.to_string(), retry: late },
            ScoreError::DeadlineExceeded => Self::DeadlineExceeded { retry: backlog },
            ScoreError::Closed | ScoreError::Model(_) => {
                tracing::error!(%error, "a query could not be scored");
                Self::Internal
            }
        }
    }
}
