//! Whether a prompt fits a model's context window, by an estimate that needs no tokenizer.

use crate::request::api::Request;

/// What an image, a recording or a file is taken to cost. Providers count some 85 to 1,600 tokens for an image; a long
/// document costs more, and is better kept from a small model by its `capabilities`.
pub const MEDIUM_TOKENS: u64 = 1_000;

/// Texts over this many bytes are judged by a quarter of theirs.
const SAMPLED: usize = 4096;

/// Estimated tokens of text that stands in a JSON body: a quarter of the ASCII bytes, and one for every other character.
/// That is near the truth for English prose, high for scripts whose characters share tokens, and low for code and
/// numbers: leave some room in `context_tokens`. In long texts every fourth piece of 32 bytes speaks for its neighbours.
#[must_use]
pub fn estimate_tokens(text: &[u8]) -> u64 {
    let (blocks, rest) = text.as_chunks::<32>();
    if text.len() <= SAMPLED {
        let (ascii, others) = count_in_blocks(blocks.iter(), rest);
        return ascii.div_ceil(4) + others;
    }
    let (ascii, others) = count_in_blocks(blocks.iter().step_by(4), &[]);
    let seen = blocks.len().div_ceil(4) * 32;
    (ascii.div_ceil(4) + others) * text.len() as u64 / seen as u64
}

/// How many bytes are ASCII, and how many other characters begin.
fn count_in_blocks<'a>(blocks: impl Iterator<Item = &'a [u8; 32]>, rest: &[u8]) -> (u64, u64) {
    let (mut ascii, mut others) = (0_u64, 0_u64);
    // Mostly there is nothing but ASCII: four words at a time are seen to be so at once.
    for block in blocks {
        let words = block.as_chunks::<8>().0;
        if words.iter().fold(0, |upper, word| upper | u64::from_le_bytes(*word)) & (ONES << 7) == 0 {
            ascii += 32;
        } else {
            words.iter().for_each(|word| count(*word, &mut ascii, &mut others));
        }
    }
    let (words, rest) = rest.as_chunks::<8>();
    words.iter().for_each(|word| count(*word, &mut ascii, &mut others));
    // Padded with continuation bytes, which count for nothing.
    let mut last = [0x80; 8];
    last.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
    count(last, &mut ascii, &mut others);
    (ascii, others)
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// Counts eight bytes of UTF-8: those whose upper bit is clear are ASCII, and those that begin with the bits 10 continue a
/// character that is counted already.
fn count(bytes: [u8; 8], ascii: &mut u64, others: &mut u64) {
    let word = u64::from_le_bytes(bytes);
    let upper = (word >> 7) & ONES;
    let continuation = upper & !(word >> 6);
    *ascii += u64::from(8 - upper.count_ones());
    *others += u64::from(upper.count_ones() - continuation.count_ones());
}

/// Whether the whole prompt, tool schemas included, and the answer that the client allows fit `context_tokens`.
#[must_use]
pub fn fits(request: &Request<'_>, context_tokens: u64) -> bool {
    let media = request.media.saturating_mul(MEDIUM_TOKENS);
    let beside = media.saturating_add(request.max_output_tokens);
    let Some(room) = context_tokens.checked_sub(beside) else { return false };
    // A text has no more estimated tokens than bytes, and no less than a quarter of them: most prompts are settled without a
    // look at their characters, and most of the others before the last.
    let mut ahead: u64 = request.texts.iter().map(|text| text.len() as u64).sum();
    let mut counted = 0;
    for text in &request.texts {
        if counted + ahead <= room {
            return true;
        }
        if counted + ahead / 4 > room {
            return false;
        }
        counted += estimate_tokens(text);
        ahead -= text.len() as u64;
    }
    counted <= room
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn estimates() {
        for (text, tokens) in [("", 0), ("hi", 1), ("four", 1), ("fives", 2), ("中文字", 3), ("ab中", 2)] {
            assert_eq!(estimate_tokens(text.as_bytes()), tokens, "{text}");
        }
    }

    proptest! {
        #[test]
        fn estimates_count_characters(text in "[a-z0-9 \\n\u{e9}\u{7ff}\u{4e2d}\u{ffff}\u{1f600}]{0,200}") {
            let ascii = text.chars().filter(char::is_ascii).count();
            let tokens = ascii.div_ceil(4) + text.chars().count() - ascii;
            let text = text.as_str();
            prop_assert_eq!(estimate_tokens(text.as_bytes()), tokens as u64);
        }
    }

    proptest! {
        /// The short cuts change nothing.
        #[test]
        fn fitting_is_the_sum_compared(texts in prop::collection::vec("[a-z\u{e9}\u{4e2d}\u{1f600}]{0,40}", 0..8), room in 0..200_u64, answer in 0..50_u64) {
            let texts: Vec<_> = texts.iter().map(|text| text.as_bytes()).collect();
            let sum: u64 = texts.iter().map(|text| estimate_tokens(text)).sum();
            let request = Request { texts, max_output_tokens: answer, ..Request::default() };
            prop_assert_eq!(fits(&request, room), sum + answer <= room);
        }
    }

    #[test]
    fn long_texts_are_sampled_well() {
        let english = "It rained all day, and the crate of apples – the last one – stood by the door.\n".repeat(200);
        let chinese = "整天都在下雨, 最后一箱苹果放在门边。apples ".repeat(300);
        for text in [english, chinese] {
            let ascii = text.chars().filter(char::is_ascii).count();
            let exact = (ascii.div_ceil(4) + text.chars().count() - ascii) as f64;
            let estimate = estimate_tokens(text.as_bytes()) as f64;
            assert!((estimate / exact - 1.0).abs() < 0.02, "{estimate} {exact}");
        }
        assert_eq!(estimate_tokens(&[b'x'; 1 << 20]), 1 << 18);
    }

    #[test]
    fn the_whole_conversation_the_answer_and_media_count() {
        let long = "word".repeat(100);
        let mut request =
            Request { texts: vec![long.as_bytes(), long.as_bytes()], max_output_tokens: 50, ..Request::default() };
        assert!(fits(&request, 250));
        assert!(!fits(&request, 249));
        assert!(fits(&request, 100_000));
        request.media = 2;
        assert!(fits(&request, 2250));
        assert!(!fits(&request, 2249));
    }
}
