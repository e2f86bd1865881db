//! The rig: a real Envoy with the compiled filter, the real scorer or a scripted stand-in, and stand-in upstreams.
//!
//! The end-to-end tests, the benchmarks and the quickstart start the same parts in the same way. Whatever is started is
//! stopped when its value is dropped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "test support")]

pub mod artifacts;
pub mod envoy;
pub mod fetch;
pub mod http;
pub mod metrics;
pub mod process;
pub mod scorer;
pub mod show;
pub mod upstream;
pub mod vendors;
pub mod wait;
