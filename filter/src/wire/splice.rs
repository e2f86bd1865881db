//! Replaces the model's name in a request and leaves every other byte as the client sent it.

use crate::request::api::encode_segment;
use std::ops::Range;

/// The first bytes of a body, up to the end of `span`, with `model` as a JSON string in place of `span`. What follows stays
/// where it is, and so need not be copied. `None` when nothing needs to change (the same bytes stand there already) or the
/// span does not lie within the body.
#[must_use]
pub fn replace_in_body(head: &[u8], span: &Range<usize>, model: &str) -> Option<Vec<u8>> {
    let literal = serde_json::to_vec(model).ok()?;
    let (before, old) = (head.get(..span.start)?, head.get(span.clone())?);
    if old == literal {
        return None;
    }
    let mut spliced = Vec::with_capacity(before.len() + literal.len());
    spliced.extend_from_slice(before);
    spliced.extend_from_slice(&literal);
    Some(spliced)
}

/// The path with `model`, percent-encoded as one segment, in place of `span`; `None` as above.
#[must_use]
pub fn replace_in_path(path: &str, span: &Range<usize>, model: &str) -> Option<String> {
    let segment = encode_segment(model);
    let (before, old, after) = (path.get(..span.start)?, path.get(span.clone())?, path.get(span.end..)?);
    (old != segment).then(|| [before, &segment, after].concat())
}

#[cfg(test)]
mod tests;
