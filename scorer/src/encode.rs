//! From a query's text to token ids.

use std::path::{Path, PathBuf};

use tokenizers::{PostProcessor as _, Tokenizer, TruncationParams};

/// Text beyond this many characters a token cannot matter, since realistic text has 1 to 6 characters a token. Only text
/// with runs of thousands of blanks or letters without a break could lose tokens to this cut.
const CHARS_PER_TOKEN: usize = 24;

/// A tokenizer that cuts to the router's length and never pads. Cheap to share: encoding takes `&self`.
#[derive(Debug)]
pub struct Encoder {
    tokenizer: Tokenizer,
}

/// A tokenizer that cannot be used, or a text that it cannot encode.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The file is no tokenizer.
    #[error("{path} is not a Hugging Face tokenizer file (tokenizers 0.23): {reason}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the library says of it.
        reason: String,
    },
    /// `max_tokens` leaves no room beside the special tokens.
    #[error("{path} adds {special} special tokens, so max_tokens must be more than that, not {max_tokens}")]
    Length {
        /// The file.
        path: PathBuf,
        /// The router's length.
        max_tokens: usize,
        /// How many tokens every text gets.
        special: usize,
    },
    /// The text cannot be encoded. The library's reason may quote the text, so it is not kept.
    #[error("the tokenizer cannot encode this text")]
    Text,
}

impl Encoder {
    /// Loads `tokenizer.json`; its own truncation and padding give way to `max_tokens` (special tokens included).
    ///
    /// # Errors
    /// [`EncodeError::Open`] or [`EncodeError::Length`].
    pub fn open(path: &Path, max_tokens: usize) -> Result<Self, EncodeError> {
        let open_error =
            |error: tokenizers::Error| EncodeError::Open { path: path.to_owned(), reason: error.to_string() };
        let mut tokenizer = Tokenizer::from_file(path).map_err(open_error)?;
        let special = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if max_tokens <= special {
            return Err(EncodeError::Length { path: path.to_owned(), max_tokens, special });
        }
        let truncation = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
        tokenizer.with_padding(None);
        tokenizer.with_truncation(Some(truncation)).map_err(open_error)?;
        Ok(Self { tokenizer })
    }

    /// The ids of the text's tokens, special tokens included: at most `max_tokens`.
    ///
    /// # Errors
    /// [`EncodeError::Text`].
    pub fn encode(&self, text: &str) -> Result<Vec<i64>, EncodeError> {
        let encoding = self.tokenizer.encode_fast(text, true).map_err(|_| EncodeError::Text)?;
        Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
    }
}

/// The beginning of `text` that can matter to a router of `max_tokens`: 24 characters a token, far more than realistic
/// text needs. It bounds what a megabyte of text costs to tokenize, and to keep.
pub fn cut(text: &str, max_tokens: usize) -> &str {
    let chars = max_tokens.saturating_mul(CHARS_PER_TOKEN);
    if text.len() <= chars {
        return text;
    }
    match text.char_indices().nth(chars) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

/// How many tokens `text` probably has, before anyone has looked: 4 bytes a token, and two special ones.
pub fn estimate(text: &str, max_tokens: usize) -> usize {
    (text.len().div_ceil(4) + 2).min(max_tokens)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A word-level tokenizer of a few words, with special tokens at both ends.
    pub(crate) const TINY: &str = r#"{
        "version": "1.0", "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}},
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "hello": 4, "world": 5}, "unk_token": "[UNK]"}
    }"#;

    fn encoder(max_tokens: usize) -> Result<Encoder, EncodeError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, TINY).unwrap();
        Encoder::open(&path, max_tokens)
    }

    #[test]
    fn the_routers_length_replaces_the_files_truncation_and_padding() {
        let encoder = encoder(5).unwrap();
        assert_eq!(encoder.encode("hello").unwrap(), [1, 4, 2]);
        assert_eq!(encoder.encode("hello world hello world").unwrap(), [1, 4, 5, 4, 2]);
        assert_eq!(encoder.encode("").unwrap(), [1, 2]);
    }

    #[test]
    fn faults_are_errors() {
        assert!(matches!(encoder(2), Err(EncodeError::Length { special: 2, .. })));
        let missing = Encoder::open(Path::new("/nowhere/tokenizer.json"), 8);
        assert!(matches!(missing, Err(EncodeError::Open { .. })));
    }

    #[test]
    fn cutting_counts_characters_and_keeps_them_whole() {
        assert_eq!(cut("short", 2), "short");
        let long = "é".repeat(100);
        assert_eq!(cut(&long, 2).chars().count(), 48);
        assert_eq!(cut(&long, 5), long);
    }
}
