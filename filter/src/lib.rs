//! The Proxy-Wasm filter that sends each LLM request to the small or to the large model of its route's pair.
//!
//! Everything that decides is plain Rust without a proxy and is tested natively. The rooms, each of which uses only those above it:
//!
//! - [`terms`]: the words that all others use: tier, reason, score.
//! - [`request`] reads requests of every API into one shape, and takes from that the text to score.
//! - [`config`] turns what the operator wrote into checked objects.
//! - [`decision`] turns what is known into a tier and a reason, and keeps the records of conversations.
//! - [`wire`] is what is exchanged with clients, upstreams, the scorer and Envoy's statistics.
//! - `host`, compiled for WebAssembly alone, talks to the proxy.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod config;
pub mod decision;
pub mod request;
pub mod terms;
pub mod wire;

#[cfg(target_arch = "wasm32")]
mod host;
