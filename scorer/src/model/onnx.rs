//! A router's model in an ONNX Runtime session.

use std::{path::PathBuf, sync::Arc};

use ort::{
    session::{Session, SessionInputValue},
    value::{Outlet, TensorElementType, TensorRef},
};

use super::{Model, ModelError};
use crate::{
    encode::{EncodeError, Encoder},
    router::{Output, Router},
    runtime::{Runtime, RuntimeError},
};

const INPUT_IDS: &str = "input_ids";
const ATTENTION_MASK: &str = "attention_mask";
const TOKEN_TYPE_IDS: &str = "token_type_ids";
const LOGITS: &str = "logits";

/// A session and the buffers it reads from, which are kept from batch to batch.
#[derive(Debug)]
pub struct OnnxModel {
    encoder: Arc<Encoder>,
    session: Session,
    output: Output,
    /// The position of the logits among the session's outputs.
    logits: usize,
    has_token_types: bool,
    ids: Vec<i64>,
    mask: Vec<i64>,
    /// Always zeros: a query is one segment. Grows to the largest batch seen.
    token_types: Vec<i64>,
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
            let has_token_types = check_inputs(session.inputs()).map_err(signature)?;
            let logits = find_logits(session.outputs(), manifest.output).map_err(signature)?;
            Ok(Self {
                encoder: Arc::clone(&encoder),
                session,
                output: manifest.output,
                logits,
                has_token_types,
                ids: Vec::new(),
                mask: Vec::new(),
                token_types: Vec::new(),
            })
        };
        (0..count).map(|_| load()).collect()
    }
}

impl Model for OnnxModel {
    fn encode(&self, text: &str) -> Result<Vec<i64>, ModelError> {
        Ok(self.encoder.encode(text)?)
    }

    fn score(&mut self, rows: &[&[i64]]) -> Result<Vec<f64>, ModelError> {
        let length = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let shape = [rows.len(), length];
        pad(rows, length, &mut self.ids, &mut self.mask);
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = vec![
            (INPUT_IDS, TensorRef::from_array_view((shape, self.ids.as_slice()))?.into()),
            (ATTENTION_MASK, TensorRef::from_array_view((shape, self.mask.as_slice()))?.into()),
        ];
        if self.has_token_types {
            self.token_types.resize(self.ids.len(), 0);
            inputs.push((TOKEN_TYPE_IDS, TensorRef::from_array_view((shape, self.token_types.as_slice()))?.into()));
        }
        let outputs = self.session.run(inputs)?;
        let width = self.output.logits();
        let bad = |found: String| ModelError::Output {
            found,
            expected: format!("a score from f32 [{}, {width}]", rows.len()),
        };
        let logits = outputs.values().nth(self.logits).ok_or_else(|| bad("no such output".to_owned()))?;
        let (_, logits) = logits.try_extract_tensor::<f32>()?;
        if logits.len() != rows.len() * width {
            return Err(bad(format!("{} logits", logits.len())));
        }
        let score = |logits: &[f32]| {
            let score = self.output.score(logits);
            score.ok_or_else(|| bad(format!("logits {logits:?}")))
        };
        logits.chunks_exact(width).map(score).collect()
    }
}

/// Lays the rows out side by side, padded at the end; a masked token's id does not matter.
fn pad(rows: &[&[i64]], length: usize, ids: &mut Vec<i64>, mask: &mut Vec<i64>) {
    ids.clear();
    mask.clear();
    for (row, end) in rows.iter().zip((1..).map(|row: usize| row * length)) {
        ids.extend_from_slice(row);
        mask.resize(ids.len(), 1);
        ids.resize(end, 0);
        mask.resize(end, 0);
    }
}

/// Checks the names, types and shapes of the inputs, and says whether token types are among them.
fn check_inputs(inputs: &[Outlet]) -> Result<bool, String> {
    let known = [INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS];
    let required = known.iter().take(2);
    let has = |name: &str| inputs.iter().any(|input| input.name() == name);
    let names_fit =
        inputs.iter().all(|input| known.contains(&input.name())) && required.into_iter().all(|name| has(name));
    if !names_fit {
        return Err(format!(
            "its inputs are {}, but must be input_ids, attention_mask and, if it has them, token_type_ids",
            list(inputs)
        ));
    }
    let fits = |input: &Outlet| {
        input.dtype().tensor_type() == Some(TensorElementType::Int64)
            && input.dtype().tensor_shape().is_some_and(|shape| shape.iter().as_slice() == [-1, -1])
    };
    match inputs.iter().find(|input| !fits(input)) {
        None => Ok(has(TOKEN_TYPE_IDS)),
        Some(input) => Err(format!(
            "its input {} is {}, but must be int64 [batch, tokens], both free: export with dynamic axes",
            input.name(),
            input.dtype()
        )),
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
    Err(format!(
        "its output {} is {}, but the manifest's output {output:?} needs float32 [batch, {width}]",
        outlet.name(),
        outlet.dtype()
    ))
}

fn list(outlets: &[Outlet]) -> String {
    let names: Vec<_> = outlets.iter().map(|outlet| format!("{}: {}", outlet.name(), outlet.dtype())).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded_at_the_end_and_masked() {
        let (mut ids, mut mask) = (vec![9; 9], vec![9; 9]);
        pad(&[&[1, 2, 3], &[4], &[5, 6]], 3, &mut ids, &mut mask);
        assert_eq!(ids, [1, 2, 3, 4, 0, 0, 5, 6, 0]);
        assert_eq!(mask, [1, 1, 1, 1, 0, 0, 1, 1, 0]);
    }
}
