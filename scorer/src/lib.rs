//! The sidecar that scores queries with an ONNX router, and its command line.
//!
//! A *router* is a folder with a tokenizer, an ONNX model and a manifest ([`router`]). It gives every query a *score*
//! in `[0, 1]`: the predicted probability that the small model's response is good enough.
//!
//! How a score comes about, from the outside in:
//!
//! 1. [`http`] takes `POST /v1/score` over TCP or a Unix socket;
//! 2. [`engine`] looks in its cache, joins an equal query that is under way, or queues a job, unless the queue could not
//!    meet the caller's deadline;
//! 3. an engine worker, a thread with its own session, tokenizes ([`encode`]) and runs the model ([`model`]);
//! 4. the router's calibration ([`router::Calibration`]) turns the score into the share and the quality drop that a
//!    route's dial is compared with.
//!
//! Queries are people's prompts: they are never logged, never part of an error message, and never kept (the cache is
//! keyed by a hash).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod cli;
pub mod encode;
pub mod engine;
pub mod http;
pub mod lab;
pub mod metrics;
pub mod model;
pub mod offline;
pub mod router;
pub mod runtime;
