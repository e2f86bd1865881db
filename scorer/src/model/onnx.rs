//! A router's model in an ONNX Runtime session.

use std::{path::PathBuf, sync::Arc};

use ort::value::{Outlet, TensorElementType};

use super::{
    Model, ModelError,
    session::{TokenSession, list},
};
use crate::{
    encode::{EncodeError, Encoder},
    router::{Output, Router},
    runtime::{Runtime, RuntimeError},
};

const LOGITS: &str = "logits";

/// A session that scores.
#[derive(Debug)]
pub struct OnnxModel {
    tokens: TokenSession,
    output: Output,
}

/// A router's model that cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The tokenizer cannot be used.
    #[error(transparent)]
    Encoder(#[from] EncodeError),
    /// The runtime cannot be used.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The file is no ONNX model, or one that this runtime cannot run.
    #[error("{path} cannot be loaded: {reason}")]
    Session {
        /// The model.
        path: PathBuf,
        /// What ONNX Runtime says of it.
        reason: String,
    },
    /// The model does not look like a text classifier's export.
    #[error("{path}: {problem}")]
    Signature {
        /// The model.
        path: PathBuf,
        /// What was found and what must be.
        problem: String,
    },
}

impl OnnxModel {
    /// Loads `count` sessions of a router's model, each with its own copy of the weights and `threads` threads.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong with which file.
    pub fn load(runtime: &Runtime, router: &Router, count: usize, threads: usize) -> Result<Vec<Self>, LoadError> {
        let manifest = router.manifest();
        let encoder = Arc::new(Encoder::open(&router.tokenizer_path(), manifest.max_tokens)?);
        // A thread that spins takes its core from the other sessions.
        let mut builder = runtime.session(threads, count == 1 && threads > 1)?;
        let path = router.model_path();
        let mut load = || {
            let session = builder
                .commit_from_file(&path)
                .map_err(|error| LoadError::Session { path: path.clone(), reason: error.to_string() })?;
            let signature = |problem| LoadError::Signature { path: path.clone(), problem };
            let find = |outputs: &[Outlet]| find_logits(outputs, manifest.output);
            let tokens = TokenSession::new(Arc::clone(&encoder), session, find).map_err(signature)?;
            Ok(Self { tokens, output: manifest.output })
        };
        (0..count).map(|_| load()).collect()
    }
}

impl Model for OnnxModel {
    fn encode(&self, text: &str) -> Result<Vec<i64>, ModelError> {
        Ok(self.tokens.encoder.encode(text)?)
    }

    fn score(&mut self, rows: &[&[i64]]) -> Result<Vec<f64>, ModelError> {
        let output = self.output;
        let width = output.logits();
        let bad = |found: String| ModelError::Output {
            found,
            expected: format!("a score from f32 [{}, {width}]", rows.len()),
        };
        let score = |logits: &[f32]| output.score(logits).ok_or_else(|| bad(format!("logits {logits:?}")));
        self.tokens.run(rows, |_, logits| {
            if logits.len() != rows.len() * width {
                return Err(bad(format!("{} logits", logits.len())));
            }
            logits.chunks_exact(width).map(score).collect()
        })
    }
}

/// The position of the output with the logits: the one of that name, or the only one.
fn find_logits(outputs: &[Outlet], output: Output) -> Result<usize, String> {
    let position = match outputs {
        [_] => Some(0),
        _ => outputs.iter().position(|outlet| outlet.name() == LOGITS),
    };
    let Some((position, outlet)) = position.and_then(|at| Some((at, outputs.get(at)?))) else {
        return Err(format!("its outputs are {}, but one must be logits", list(outputs)));
    };
    let width = i64::try_from(output.logits()).unwrap_or(i64::MAX);
    let fits = outlet.dtype().tensor_type() == Some(TensorElementType::Float32)
        && outlet
            .dtype()
            .tensor_shape()
            .is_some_and(|shape| matches!(shape.iter().as_slice(), [_, found] if *found == width || *found == -1));
    if fits {
        return Ok(position);
    }
    let other = [TensorElementType::Float16, TensorElementType::Bfloat16, TensorElementType::Float64];
    let mend = match outlet.dtype().tensor_type() {
        Some(element) if other.contains(&element) => {
            ": export it with float32 outputs, or put a Cast to float32 behind it"
        }
        _ => "",
    };
    Err(format!(
        "its output {} is {}, but the manifest's output {output:?} needs float32 [batch, {width}]{mend}",
        outlet.name(),
        outlet.dtype()
    ))
}
