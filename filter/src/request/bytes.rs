//! Looks at texts eight bytes at a time: WebAssembly has no wider registers here, and the standard searches look at each byte.

const ONES: u64 = 0x0101_0101_0101_0101;
const UPPER: u64 = ONES << 7;

/// Where any of these bytes stand, in order. With none there is nothing to find.
pub(super) fn places<'a>(text: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let (words, rest) = text.as_chunks::<8>();
    let in_words = words.iter().enumerate().filter(|(_, word)| has_any(u64::from_le_bytes(**word), wanted));
    let in_words = in_words.flat_map(|(number, word)| (number * 8..).zip(word.iter()));
    let in_rest = (words.len() * 8..).zip(rest);
    in_words.chain(in_rest).filter(|(_, byte)| wanted.contains(byte)).map(|(at, _)| at)
}

/// Whether one of a word's bytes is wanted: a byte that is has no bit left when the wanted one is taken from it, and of such a word
/// less one in each byte the upper bit shows (Mycroft's test; bytes after a hit may show too, which costs a look).
fn has_any(word: u64, wanted: &[u8]) -> bool {
    let shows = |byte: &u8| {
        let rest = word ^ (u64::from(*byte) * ONES);
        rest.wrapping_sub(ONES) & !rest & UPPER
    };
    wanted.iter().fold(0, |shown, byte| shown | shows(byte)) != 0
}

/// How many bytes are more than blanks and control characters.
pub(crate) fn count_visible(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    let in_words = words.iter().map(|word| {
        let word = u64::from_le_bytes(*word);
        // From 0x21 on, 0x5f more reaches the upper bit, which bytes beyond ASCII have of their own.
        let visible = ((word & !UPPER) + 0x5f * ONES) | word;
        (visible & UPPER).count_ones() as usize
    });
    in_words.sum::<usize>() + rest.iter().filter(|byte| **byte > b' ').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_byte_by_byte(text in prop::collection::vec(prop::sample::select(b" <[#a\n\x00\x1f\x20\x21\x7f\x80\xbc\xff=;".to_vec()), 0..64), wanted in prop::collection::vec(prop::sample::select(b"<[#a\xff".to_vec()), 0..4)) {
            let plain: Vec<_> = (0..text.len()).filter(|at| wanted.contains(&text[*at])).collect();
            prop_assert_eq!(places(&text, &wanted).collect::<Vec<_>>(), plain);
            prop_assert_eq!(count_visible(&text), text.iter().filter(|byte| **byte > b' ').count());
        }
    }
}
