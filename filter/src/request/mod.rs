//! Reading a request: its API and body, the text to score, and whether it fits a model's context window.

pub mod api;
pub(crate) mod bytes;
pub mod fit;
pub mod query;
pub mod text_results;
pub mod wrappers;
