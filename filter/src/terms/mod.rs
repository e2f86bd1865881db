//! The words that every other room uses: a request's tier, the reason for it, and the score of a query.

mod reason;
mod score;
mod tier;

pub use reason::Reason;
pub use score::Score;
pub use tier::Tier;

/// Every header of this project starts with this. A client's own are removed before anything reads them.
pub const HEADER_PREFIX: &str = "x-hybrid-llm-";
