//! What the engine asks of a model: token rows in, scores out.

mod embedder;
mod onnx;
#[cfg(test)]
pub(crate) mod scripted;
mod session;

use crate::encode::EncodeError;

pub use self::{
    embedder::{Embedder, Embedding, Sessions},
    onnx::{LoadError, OnnxModel},
};

/// One session of a router's model, owned by one worker.
///
/// A trait, so that the queue, the cache and the HTTP layer can be tested with a model that does as it is told.
pub trait Model: Send {
    /// The ids of a text's tokens.
    ///
    /// # Errors
    /// [`ModelError::Encode`].
    fn encode(&self, text: &str) -> Result<Vec<i64>, ModelError>;

    /// The scores of a batch, in `[0, 1]`, in its order. Rows may differ in length; the model pads.
    ///
    /// # Errors
    /// Any [`ModelError`]; the whole batch has failed then.
    fn score(&mut self, rows: &[&[i64]]) -> Result<Vec<f64>, ModelError>;
}

/// A text or batch that could not be scored. The messages never hold any of the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The text could not be tokenized.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The runtime failed.
    #[error("inference failed: {0}")]
    Inference(#[from] ort::Error),
    /// The output is not as the manifest says.
    #[error("the model gave {found} where {expected} was expected")]
    Output {
        /// What came out.
        found: String,
        /// What the manifest promises.
        expected: String,
    },
}
