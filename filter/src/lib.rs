//! The Proxy-Wasm filter that sends each LLM request to the small or to the large model of its route's pair.
//!
//! Everything that decides is plain Rust without a proxy and is tested natively:
//!
//! - [`config`] and [`policy`] turn what the operator wrote into checked objects,
//! - [`api`] reads requests of every API into one shape, [`query`] takes from that the text to score,
//! - [`affinity`] remembers where conversations went, [`explore`] draws the few that go the other way,
//! - [`score`] speaks with the scorer, [`decision`] turns what is known into a tier and a reason,
//! - [`splice`] puts the chosen model's name into the body or the path and leaves every other byte as it was sent.
//!
//! Only `host`, compiled for WebAssembly alone, talks to the proxy.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod affinity;
pub mod api;
pub mod breaker;
pub mod config;
pub mod decision;
pub mod dial;
pub mod explore;
pub mod fit;
pub mod headers;
pub mod policy;
pub mod query;
pub mod response;
pub mod score;
pub mod splice;
pub mod stats;
pub mod wrappers;

#[cfg(target_arch = "wasm32")]
mod host;
