//! End to end: the compiled filter in a real Envoy, on the reference configuration.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod agents;
mod apis;
mod bodies;
mod coding_agent;
mod configuration;
mod continuations;
mod conversations;
mod faults;
mod memory;
mod real;
mod reference;
mod routes;
mod routing;
mod sdk;
mod stack;
mod tiers;
