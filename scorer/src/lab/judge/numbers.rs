//! The numbers in a judge's answer: their values, and what joins them to scales, ranges and fractions.

use std::ops::RangeInclusive;

/// The ratings there are (the paper, section 4.6, has GPT-4 rate from 1 to 10).
pub(super) const RATINGS: RangeInclusive<f64> = 1.0..=10.0;

/// A number in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'t> {
    /// Not a number where it is not clear which, as in 1,2,3 and 7-8.
    pub(super) value: f64,
    /// The text before it.
    pub(super) before: &'t str,
    /// The text after it.
    pub(super) after: &'t str,
}

/// A text in lower case, with the digits and marks of ASCII in the place of other scripts'.
pub(super) fn normal(text: &str) -> String {
    let zeros = ['\u{ff10}', '\u{660}', '\u{6f0}', '\u{966}'];
    let ascii = |c: char| match c {
        '：' => ':',
        '／' => '/',
        '．' => '.',
        '（' => '(',
        '）' => ')',
        '％' => '%',
        _ => {
            let digits = zeros.iter().map(|zero| u32::from(c).wrapping_sub(u32::from(*zero)));
            digits.filter_map(|digit| char::from_digit(digit, 10)).next().unwrap_or(c)
        }
    };
    text.to_lowercase().chars().map(ascii).collect()
}

/// Whether it is the ten that a rating is out of.
pub(super) fn denominator(number: &Number<'_>) -> bool {
    let before = number.before.trim_end();
    number.value == 10.0 && (before.ends_with('/') || before.ends_with("out of"))
}

/// Blanks and the marks that stand around a number without being a part of what is said of it.
pub(super) fn dress(c: char) -> bool {
    c.is_whitespace() || matches!(c, '*' | '_' | '(' | ')' | '[' | ']')
}

/// Whether what stands before this text is a name for what follows.
pub(super) fn names_more(after: &str) -> bool {
    after.trim_start_matches(dress).starts_with([':', '='])
}

/// Takes out the numbers that stand between a word and its rating: the scale from 1 to 10, with the words before it, and which of
/// several ratings it is, as in "rating 1 of 2: 6".
pub(super) fn without_scale(text: &str) -> String {
    let (all, mut kept, mut from) = (numbers(text), String::new(), 0);
    for joined in all.chunk_by(|left, right| joint(text, left, right).is_some()) {
        let [left, right] = joined else { continue };
        let scale = match joint(text, left, right) {
            Some("of") => names_more(right.after),
            Some("/" | "out of") | None => false,
            Some(_) => *RATINGS.start() == left.value && *RATINGS.end() == right.value,
        };
        if let Some(before) = text.get(from..left.before.len()).filter(|_| scale) {
            kept.push_str(before);
            while let Some(before) = ["on", "a", "scale", "of", "from", "between"].iter().find_map(|word| {
                let before = kept.trim_end().strip_suffix(word)?;
                before.ends_with(|c: char| !c.is_alphanumeric()).then_some(before.len())
            }) {
                kept.truncate(before);
            }
            from = text.len() - right.after.len();
        }
    }
    kept.push_str(text.get(from..).unwrap_or_default());
    kept
}

/// The numbers in a text; those that are joined to a range, or to parts of anything but ten, are one whose value is not clear.
pub(super) fn joined(text: &str) -> Vec<Number<'_>> {
    let all = numbers(text);
    let joined = all.chunk_by(|left, right| joint(text, left, right).is_some());
    let one = joined.flat_map(|joined| {
        let [first, .., last] = joined else { return joined.to_vec() };
        // Where there are more than two, digits stand between these.
        let of_ten = matches!(joint(text, first, last), Some("/" | "of" | "out of")) && last.value == 10.0;
        if of_ten { joined.to_vec() } else { vec![Number { value: f64::NAN, before: first.before, after: last.after }] }
    });
    one.collect()
}

/// What joins two neighbouring numbers to a range or to parts of a whole, if they are one.
fn joint<'t>(text: &'t str, left: &Number<'_>, right: &Number<'_>) -> Option<&'t str> {
    let between = text.get(text.len() - left.after.len()..right.before.len())?;
    let joint = between.trim_matches(dress);
    let joined = match joint {
        "/" | "of" | "out of" | "to" | "through" => true,
        "and" => left.before.trim_end().ends_with("between"),
        // In "8 - 2 facts are wrong", and before what is listed, it is a dash.
        "-" | "–" | "—" | "−" | ".." | "..." | "…" => {
            let apart = between.contains(char::is_whitespace);
            !apart || left.value < right.value && !between.contains('\n')
        }
        _ => false,
    };
    joined.then_some(joint)
}

/// The numbers in a text. Digits that belong to a word are none; a minus makes one negative.
pub(super) fn numbers(text: &str) -> Vec<Number<'_>> {
    let mut numbers = Vec::new();
    let mut from = 0;
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    while let Some(start) =
        text.get(from..).and_then(|rest| rest.find(|c: char| c.is_ascii_digit())).map(|at| from + at)
    {
        let (before, rest) = text.split_at(start);
        let mut length = digits(rest);
        while let Some(more) = rest.get(length..).and_then(|behind| behind.strip_prefix(['.', ','])) {
            match digits(more) {
                0 => break,
                more => length += 1 + more,
            }
        }
        let (number, after) = rest.split_at(length);
        from = start + length;
        if before.ends_with(in_word) || after.starts_with(in_word) {
            continue;
        }
        let value = if after.trim_start().starts_with('%') { f64::NAN } else { value(number) };
        let negative =
            before.ends_with(['-', '−']) && !before.trim_end_matches(['-', '−']).ends_with(char::is_alphanumeric);
        numbers.push(Number { value: if negative { -value } else { value }, before, after });
    }
    numbers
}

/// A letter that makes a word with the digits beside it. Those of scripts without blanks between words do not.
fn in_word(c: char) -> bool {
    let unspaced = matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}');
    c.is_alphabetic() && !unspaced
}

/// The value of digits with points and commas. A comma is a point, unless three digits follow: those may be thousands.
fn value(digits: &str) -> f64 {
    let thousands = digits.split_once(',').is_some_and(|(_, behind)| behind.len() == 3);
    let number = digits.replace(',', ".").parse().ok().filter(|_| !thousands);
    number.unwrap_or(f64::NAN)
}
