//! What all connections share: the routers, once they are loaded, and whether requests are taken.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::error::ApiError;
use crate::{engine::Engine, metrics::Metrics, router::Manifest};

/// A router and the engine that runs it.
#[derive(Debug)]
pub struct ServedRouter {
    /// What it is.
    pub manifest: Manifest,
    /// What scores.
    pub engine: Engine,
}

/// What a request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The longest body, in bytes.
    pub max_body_bytes: usize,
    /// How long a caller waits who does not say.
    pub deadline: Duration,
}

/// The state behind the API. It begins without routers, and answers `not_ready` until they are set.
#[derive(Debug)]
pub struct Scorer {
    metrics: Metrics,
    limits: Limits,
    /// In the order of the command line; the first is the default.
    routers: OnceLock<Vec<Arc<ServedRouter>>>,
    draining: AtomicBool,
}

impl Scorer {
    /// A scorer that is not ready.
    pub fn new(metrics: Metrics, limits: Limits) -> Self {
        Self { metrics, limits, routers: OnceLock::new(), draining: AtomicBool::new(false) }
    }

    /// Makes the scorer ready. The first router is the one for requests that name none; setting them again does nothing.
    pub fn set_routers(&self, routers: Vec<ServedRouter>) {
        let routers = routers.into_iter().map(Arc::new).collect();
        if self.routers.set(routers).is_ok() {
            self.metrics.set_ready(!self.draining());
        }
    }

    /// What `/metrics` shows.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.metrics.set_ready(false);
    }

    fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether requests are taken now.
    pub(crate) fn open(&self) -> Result<(), ApiError> {
        if self.draining() {
            return Err(ApiError::Draining);
        }
        if self.routers().is_empty() {
            return Err(ApiError::NotReady);
        }
        Ok(())
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// None before they are loaded.
    pub(crate) fn routers(&self) -> &[Arc<ServedRouter>] {
        self.routers.get().map_or(&[], Vec::as_slice)
    }

    /// The router of that name, or the default.
    pub(crate) fn router(&self, name: Option<&str>) -> Result<&Arc<ServedRouter>, ApiError> {
        let mut routers = self.routers().iter();
        match name {
            None => routers.next().ok_or(ApiError::NotReady),
            Some(name) => routers.find(|router| router.manifest.name == name).ok_or(ApiError::UnknownRouter),
        }
    }
}
