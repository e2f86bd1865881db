//! The texts: log-normal lengths as chat queries have them, made of the tokenizer's own common words.

use bytes::Bytes;
use hybrid_llm::{encode::Encoder, router::Router};
use tokenizers::Tokenizer;

use crate::Failure;

/// Tokens of the median text.
const MEDIAN: f64 = 48.0;
/// Of the lengths' logarithm; gives a mean of 74 and a 95th percentile of 222 tokens.
const SIGMA: f64 = 0.93;
const SHORTEST: usize = 4;
/// Words are taken from the most common ones, which vocabularies list first.
const WORDS: usize = 4000;
const SEED: u64 = 2404_14618;

/// A text, as the bare loop and as the server get it.
pub(crate) struct Text {
    pub(crate) ids: Vec<i64>,
    pub(crate) body: Bytes,
}

/// Distinct texts, the same in every run.
pub(crate) struct Mix(Vec<Text>);

impl Mix {
    pub(crate) fn new(router: &Router, encoder: &Encoder, count: usize) -> Result<Self, Failure> {
        let words = common_words(&Tokenizer::from_file(router.tokenizer_path())?);
        if words.is_empty() {
            return Err("the tokenizer's vocabulary has no plain words".into());
        }
        let mut random = Random(SEED);
        let longest = router.manifest().max_tokens;
        let text = |_| {
            let length = (MEDIAN * (SIGMA * random.normal()).exp()).round() as usize;
            let length = length.clamp(SHORTEST, longest);
            // Two special tokens, and a token a word.
            let words: Vec<&str> = (2..length).filter_map(|_| random.pick(&words)).collect();
            let text = words.join(" ");
            Ok(Text { ids: encoder.encode(&text)?, body: serde_json::json!({"query": text}).to_string().into() })
        };
        (0..count).map(text).collect::<Result<_, _>>().map(Self)
    }

    /// `count` texts from `start` on, and round again at the end.
    pub(crate) fn slice(&self, start: usize, count: usize) -> Vec<&Text> {
        let texts = self.0.iter().cycle();
        texts.skip(start % self.0.len().max(1)).take(count).collect()
    }

    pub(crate) fn describe(&self) -> String {
        let mut lengths: Vec<usize> = self.0.iter().map(|text| text.ids.len()).collect();
        lengths.sort_unstable();
        let at = |q: f64| lengths.get((lengths.len() as f64 * q) as usize).copied().unwrap_or(0);
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        format!(
            "{} texts; tokens: median {}, mean {mean:.0}, p95 {}, max {}",
            lengths.len(),
            at(0.5),
            at(0.95),
            lengths.last().copied().unwrap_or(0)
        )
    }
}

/// Whole words of a vocabulary, without its marks for a word's beginning.
fn common_words(tokenizer: &Tokenizer) -> Vec<String> {
    let mut vocabulary: Vec<(String, u32)> = tokenizer.get_vocab(false).into_iter().collect();
    vocabulary.sort_by_key(|(_, id)| *id);
    let words = vocabulary.into_iter().map(|(word, _)| word.trim_start_matches(['Ġ', '▁']).to_owned());
    let plain = |word: &String| word.len() > 2 && word.chars().all(|c| c.is_ascii_lowercase());
    words.filter(plain).take(WORDS).collect()
}

/// SplitMix64: enough for a mix, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1).
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn pick<'a>(&mut self, words: &'a [String]) -> Option<&'a str> {
        let at = (self.uniform() * words.len() as f64) as usize;
        words.get(at).map(String::as_str)
    }
}
