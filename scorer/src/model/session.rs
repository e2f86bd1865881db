//! A session whose inputs are a text encoder's: token ids, attention mask and, where it has them, token types.

use std::sync::Arc;

use ort::{
    session::{Session, SessionInputValue},
    value::{Outlet, TensorElementType, TensorRef},
};

use super::ModelError;
use crate::encode::Encoder;

const INPUT_IDS: &str = "input_ids";
const ATTENTION_MASK: &str = "attention_mask";
const TOKEN_TYPE_IDS: &str = "token_type_ids";

/// A tokenizer, a session, and the buffers it reads from, which are kept from batch to batch.
#[derive(Debug)]
pub(super) struct TokenSession {
    pub(super) encoder: Arc<Encoder>,
    session: Session,
    /// The position of the output that is read.
    output: usize,
    has_token_types: bool,
    ids: Vec<i64>,
    mask: Vec<i64>,
    /// Always zeros: a query is one segment. Grows to the largest batch seen.
    token_types: Vec<i64>,
}

impl TokenSession {
    /// Checks the session's inputs, and its outputs with `find`, which gives the position of the one to read.
    ///
    /// # Errors
    /// What the session has, and what it must have.
    pub(super) fn new(
        encoder: Arc<Encoder>,
        session: Session,
        find: impl FnOnce(&[Outlet]) -> Result<usize, String>,
    ) -> Result<Self, String> {
        let has_token_types = check_inputs(session.inputs())?;
        let output = find(session.outputs())?;
        let (ids, mask, token_types) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { encoder, session, output, has_token_types, ids, mask, token_types })
    }

    /// Runs the model on a batch, and hands the output's shape and numbers to `read`.
    pub(super) fn run<R>(
        &mut self,
        rows: &[&[i64]],
        read: impl FnOnce(&[i64], &[f32]) -> Result<R, ModelError>,
    ) -> Result<R, ModelError> {
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
        let output = outputs.values().nth(self.output).ok_or_else(|| ModelError::Output {
            found: format!("{} outputs", outputs.len()),
            expected: format!("output {}", self.output),
        })?;
        let (shape, numbers) = output.try_extract_tensor::<f32>()?;
        read(shape, numbers)
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

/// Names and types, for messages.
pub(super) fn list(outlets: &[Outlet]) -> String {
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
