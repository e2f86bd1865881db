//! Whether a prompt fits a model's context window, by an estimate that needs no tokenizer.

use crate::api::Request;

/// What an image, a recording or a file is taken to cost. Providers count some 85 to 1,600 tokens for an image; a long
/// document costs more, and is better kept from a small model by its `capabilities`.
pub const MEDIUM_TOKENS: u64 = 1_000;

/// Estimated tokens of text that stands in a JSON body: a quarter of the ASCII bytes, and one for every other character.
/// That is near the truth for English prose, high for scripts whose characters share tokens, and low for code and
/// numbers: leave some room in `context_tokens`.
#[must_use]
pub fn estimate_tokens(text: &str) -> u64 {
    let ascii = if text.is_ascii() { text.len() } else { text.bytes().filter(u8::is_ascii).count() };
    let others = if ascii == text.len() { 0 } else { text.chars().count() - ascii };
    (ascii.div_ceil(4) + others) as u64
}

/// Whether the whole prompt, tool schemas included, and the answer that the client allows fit `context_tokens`.
#[must_use]
pub fn fits(request: &Request<'_>, context_tokens: u64) -> bool {
    let media = request.media.saturating_mul(MEDIUM_TOKENS);
    let beside = media.saturating_add(request.max_output_tokens);
    let fits = |tokens: u64| tokens.saturating_add(beside) <= context_tokens;
    // No text has more estimated tokens than bytes: most prompts are settled without a look at their characters.
    let bytes: usize = request.texts.iter().map(|text| text.len()).sum();
    fits(bytes as u64) || fits(request.texts.iter().map(|text| estimate_tokens(text)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates() {
        for (text, tokens) in [("", 0), ("hi", 1), ("four", 1), ("fives", 2), ("中文字", 3), ("ab中", 2)] {
            assert_eq!(estimate_tokens(text), tokens, "{text}");
        }
    }

    #[test]
    fn the_whole_conversation_the_answer_and_media_count() {
        let long = "word".repeat(100);
        let mut request = Request { texts: vec![&long, &long], max_output_tokens: 50, ..Request::default() };
        assert!(fits(&request, 250));
        assert!(!fits(&request, 249));
        assert!(fits(&request, 100_000));
        request.media = 2;
        assert!(fits(&request, 2250));
        assert!(!fits(&request, 2249));
    }
}
