//! Looks at texts eight bytes at a time: WebAssembly has no wider registers here, and the standard searches look at each byte.

const ONES: u64 = 0x0101_0101_0101_0101;
const UPPER: u64 = ONES << 7;

/// How many bytes are looked for at a time.
const AT_ONCE: usize = 4;

/// Where any of these bytes stand, in order for each few of them.
pub(super) fn places(text: &[u8], wanted: &[u8]) -> Vec<usize> {
    let mut places = Vec::new();
    for wanted in wanted.chunks(AT_ONCE) {
        let Some(&first) = wanted.first() else { continue };
        let mut spread = [u64::from(first) * ONES; AT_ONCE];
        spread.iter_mut().zip(wanted).for_each(|(spread, byte)| *spread = u64::from(*byte) * ONES);
        let mut note = |start: usize, bytes: &[u8]| {
            places.extend((start..).zip(bytes).filter(|(_, byte)| wanted.contains(byte)).map(|(at, _)| at));
        };
        let (words, rest) = text.as_chunks::<8>();
        for (number, word) in words.iter().enumerate() {
            if has_any(u64::from_le_bytes(*word), spread) {
                note(number * 8, word);
            }
        }
        note(words.len() * 8, rest);
    }
    places
}

/// Whether one of a word's bytes is wanted, each of which is spread over a word: a byte that is has no bit left when the wanted one is
/// taken from it, and of such a word less one in each byte the upper bit shows (Mycroft's test; the bytes after a hit may show too, and
/// are looked at in vain).
#[inline]
fn has_any(word: u64, spread: [u64; AT_ONCE]) -> bool {
    let shows = |wanted: u64| {
        let rest = word ^ wanted;
        rest.wrapping_sub(ONES) & !rest
    };
    let [a, b, c, d] = spread.map(shows);
    (a | b | c | d) & UPPER != 0
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
        fn as_byte_by_byte(
            text in prop::collection::vec(prop::sample::select(b" <[#a\n\x00\x1f\x20\x21\x7f\x80\xbc\xff=;".to_vec()), 0..64),
            wanted in prop::sample::subsequence(b"<[#a=\xff".to_vec(), 0..=6),
        ) {
            let plain: Vec<_> = (0..text.len()).filter(|at| wanted.contains(&text[*at])).collect();
            let mut found = places(&text, &wanted);
            found.sort_unstable();
            prop_assert_eq!(found, plain);
            prop_assert_eq!(count_visible(&text), text.iter().filter(|byte| **byte > b' ').count());
        }
    }
}
