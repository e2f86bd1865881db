//! An encoder's ONNX model in an ONNX Runtime session: a text in, its embedding out.

use std::{path::Path, sync::Arc};

use super::{ModelError, onnx::LoadError, session::TokenSession};
use crate::{
    encode::{self, Encoder},
    runtime::Runtime,
};

/// A session that embeds.
#[derive(Debug)]
pub struct Embedder {
    tokens: TokenSession,
    max_tokens: usize,
}

/// How many sessions, and how each one works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sessions {
    /// How many there are.
    pub count: usize,
    /// How many threads run one inference together.
    pub threads: usize,
}

/// What an encoder makes of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// How many tokens were read, special tokens included.
    pub tokens: usize,
    /// The shape of the model's output, from the batch of one on: `[1, dim]`, or `[1, tokens, dim]` before pooling.
    pub shape: Vec<i64>,
    /// Its numbers, all finite.
    pub numbers: Vec<f32>,
}

impl Embedder {
    /// Loads sessions of a model whose first output is to be read, each with its own copy of the weights.
    /// `path` is where the model came from, for messages.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong with which file.
    pub fn load(
        runtime: &Runtime,
        model: &[u8],
        path: &Path,
        encoder: &Arc<Encoder>,
        max_tokens: usize,
        sessions: Sessions,
    ) -> Result<Vec<Self>, LoadError> {
        let Sessions { count, threads } = sessions;
        let mut builder = runtime.session(threads, count == 1 && threads > 1)?;
        let mut load = || {
            let session = builder
                .commit_from_memory(model)
                .map_err(|error| LoadError::Session { path: path.to_owned(), reason: error.to_string() })?;
            let tokens = TokenSession::new(Arc::clone(encoder), session, |_| Ok(0))
                .map_err(|problem| LoadError::Signature { path: path.to_owned(), problem })?;
            Ok(Self { tokens, max_tokens })
        };
        (0..count).map(|_| load()).collect()
    }

    /// Embeds one text, by itself as a server scores it: with dynamic int8 an embedding depends on its batch.
    ///
    /// # Errors
    /// [`ModelError`], which never holds any of the text.
    pub fn embed(&mut self, text: &str) -> Result<Embedding, ModelError> {
        let ids = self.tokens.encoder.encode(encode::cut(text, self.max_tokens))?;
        let tokens = ids.len();
        self.tokens.run(&[&ids], |shape, numbers| {
            if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
                let (found, expected) = (format!("an embedding with {number}"), "finite numbers".to_owned());
                return Err(ModelError::Output { found, expected });
            }
            Ok(Embedding { tokens, shape: shape.to_vec(), numbers: numbers.to_vec() })
        })
    }
}
