//! Whether a prompt fits a model's context window, by an estimate that needs no tokenizer.

use crate::api::{Prompt, text_pieces};

/// Estimated tokens of text that stands as JSON string contents: a quarter of the ASCII bytes, and one for every other
/// character. That is near the truth for English prose, high for scripts whose characters share tokens, and low for code
/// and numbers: leave some room in `context_tokens`.
#[must_use]
pub fn estimate_tokens(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().count() - ascii;
    (ascii.div_ceil(4) + others) as u64
}

/// Whether the whole prompt and the answer that the client allows fit `context_tokens`.
#[must_use]
pub fn fits(prompt: &Prompt<'_>, context_tokens: u64) -> bool {
    // No text has more estimated tokens than bytes: most prompts are settled without a look at their characters.
    let bytes: usize = prompt.contents.iter().map(|content| content.len()).sum();
    let fits = |tokens: u64| tokens.saturating_add(prompt.max_output_tokens) <= context_tokens;
    fits(bytes as u64) || {
        let pieces = prompt.contents.iter().flat_map(|content| text_pieces(content));
        fits(pieces.map(estimate_tokens).sum())
    }
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
    fn the_whole_conversation_and_the_answer_count() {
        let long = format!("\"{}\"", "word".repeat(100));
        let prompt = Prompt { model: None, query: vec![], contents: vec![&long, &long], max_output_tokens: 50 };
        assert!(fits(&prompt, 250));
        assert!(!fits(&prompt, 249));
        assert!(fits(&prompt, 100_000));
    }

    #[test]
    fn an_image_is_no_text() {
        let image = format!(r#"[{{"type":"image_url","image_url":{{"url":"data:{}"}}}}]"#, "A".repeat(10_000));
        let prompt = Prompt { model: None, query: vec![], contents: vec![&image], max_output_tokens: 0 };
        assert!(fits(&prompt, 10));
    }
}
