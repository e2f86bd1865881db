//! What the filter exchanges with clients, upstreams, the scorer and Envoy's statistics.

pub mod headers;
pub mod response_id;
pub mod scorer;
pub mod splice;
pub mod stats;
