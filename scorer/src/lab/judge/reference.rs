//! Grading by a reference: 1 where the response agrees with it, else 0.
//!
//! Texts are compared without regard to case, blanks, and quotes and punctuation around them; where both are numbers, as
//! numbers, so that `1,000` agrees with `1000.0`. Where a reference is looked for in a longer text, it is looked for as a text,
//! but a number stands there only as a whole: `4` neither in `-4` nor in `3.4` or `4,500`.

use regex::Regex;

/// How a response must agree with its reference.
#[derive(Debug, Clone)]
pub enum Check {
    /// It is the reference.
    Exact,
    /// The reference stands in it, as whole words.
    Contains,
    /// What the pattern finds last in it is the reference: the first group of the match, or all of it without groups. If the
    /// pattern finds something in the reference, too, that is what counts there.
    Last(Regex),
}

/// What stands around a text without being a part of it.
const AROUND: [char; 12] = ['.', ',', ';', ':', '!', '?', '"', '\'', '`', '*', '“', '”'];
/// What can be a minus right before a number, in a normal text. A long dash is none.
const MINUSES: [char; 4] = ['-', '–', '‐', '‑'];
/// What can stand between a sign and its number.
const CURRENCIES: [char; 4] = ['$', '€', '£', '¥'];

impl Check {
    /// Whether the response agrees with the reference.
    pub fn agrees(&self, response: &str, reference: &str) -> bool {
        match self {
            Self::Exact => same(response, reference),
            Self::Contains => contains(&normal(response), &normal(reference)),
            Self::Last(pattern) => {
                let reference = last(pattern, reference).unwrap_or(reference);
                last(pattern, response).is_some_and(|found| same(found, reference))
            }
        }
    }
}

/// What a pattern finds last in a text.
fn last<'t>(pattern: &Regex, text: &'t str) -> Option<&'t str> {
    let found = pattern.captures_iter(text).last()?;
    found.get(1).or_else(|| found.get(0)).map(|group| group.as_str())
}

fn same(left: &str, right: &str) -> bool {
    let (left, right) = (normal(left), normal(right));
    match (number(&left), number(&right)) {
        (Some(left), Some(right)) => left == right || (left - right).abs() <= 1e-9 * left.abs().max(right.abs()),
        _ => left == right,
    }
}

/// A text in lower case, with single blanks, and nothing around it; a typographic minus is a plain one.
fn normal(text: &str) -> String {
    let lower = text.to_lowercase().replace('−', "-");
    let words: Vec<_> = lower.split_whitespace().collect();
    let words = words.join(" ");
    let around = |c: char| AROUND.contains(&c) || c.is_whitespace();
    let text = words.trim_end_matches(around);
    let bare = text.trim_start_matches(around);
    // The point of .5 is a part of it; the last one of ...5 is not.
    let cut = text.strip_suffix(bare).unwrap_or_default();
    let point = cut.ends_with('.') && !cut.ends_with("..") && bare.starts_with(|c: char| c.is_ascii_digit());
    if point { format!(".{bare}") } else { bare.to_owned() }
}

/// A normal text as a number: with commas between thousands, and a dollar or per cent sign.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_start_matches('$').trim_end_matches('%').trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let whole = digits.split('.').next().unwrap_or_default();
    // Other commas stay, and then this is no number.
    let commas = if thousands(whole) { whole.matches(',').count() } else { 0 };
    text.replacen(',', "", commas).parse().ok().filter(|number: &f64| plain && number.is_finite())
}

/// Whether the commas of a whole number stand between its thousands, as in 4,500: 3,5 and 0,500 have a decimal comma, or are two
/// numbers.
fn thousands(whole: &str) -> bool {
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let digits = |group: &str| group.chars().all(|c| c.is_ascii_digit());
    (1..=3).contains(&first.len())
        && !first.starts_with('0')
        && digits(first)
        && groups.all(|group| group.len() == 3 && digits(group))
}

/// Whether `part` stands in `whole` with no letter or digit at either end, and if it begins or ends with a number, with all of
/// that number.
fn contains(whole: &str, part: &str) -> bool {
    if part.is_empty() {
        return false;
    }
    whole.match_indices(part).any(|(start, found)| {
        let (before, after) = whole.split_at(start);
        let after = after.get(found.len()..).unwrap_or_default();
        let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let inside = word(before.chars().next_back()) || word(after.chars().next());
        let number = found.trim_start_matches(MINUSES).trim_start_matches(CURRENCIES).trim_start_matches('.');
        let begins_before = number.starts_with(|c: char| c.is_ascii_digit()) && begins_in(before);
        let ends_behind = found.ends_with(|c: char| c.is_ascii_digit()) && continues_in(after);
        !(inside || begins_before || ends_behind)
    })
}

/// Whether a number's sign, or the digits before its point or comma, are the end of this text.
///
/// A minus touches the number, and nothing that could be its left side: in `x = -4` it is one. In `10-4`, `GPT-4` and `(x)-4` the
/// dash stands between two things, and each of them stands there as a whole, be it a range, a name or a difference. In `it is – 4`,
/// in a list, and in `is--4` it is a dash.
fn begins_in(before: &str) -> bool {
    let mut backwards = before.chars().rev();
    match (backwards.next(), backwards.next()) {
        (Some(','), second) => second.is_some_and(|c| c.is_ascii_digit()),
        // A point without digits before it is a part of .4, but not of No.4 and ...4; nor are those of a date, 24.12.1980.
        (Some('.'), second) => {
            let digits = before.trim_end_matches('.').trim_end_matches(|c: char| c.is_ascii_digit());
            let date = digits.len() + 1 < before.len() && digits.ends_with('.');
            !date && !second.is_some_and(|c| c.is_alphabetic() || c == '.')
        }
        _ => {
            let mut backwards = before.trim_end_matches(CURRENCIES).chars().rev();
            let minus = backwards.next().is_some_and(|c| MINUSES.contains(&c) || c == '±');
            let left_side = |c: char| c.is_alphanumeric() || MINUSES.contains(&c) || matches!(c, ')' | ']' | '}' | '%');
            minus && !backwards.next().is_some_and(left_side)
        }
    }
}

/// Whether a number that ends before this text continues in it: the 4 of 4.5 or 4,500 is no 4.
fn continues_in(after: &str) -> bool {
    after.strip_prefix(['.', ',']).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exact_disregards_what_does_not_matter() {
        for (response, reference, agrees) in [
            ("Paris", "paris", true),
            (" \"PARIS\".\n", "Paris", true),
            ("**New   York**!", "new york", true),
            ("Paris, France", "Paris", false),
            ("", "Paris", false),
            ("1,234.50", "1234.5", true),
            ("$12", "12", true),
            ("-3", "3", false),
            ("0.1", "0.10", true),
            ("nan", "NaN", true),
            ("inf", "infinity", false),
            ("12 apples", "12", false),
            ("ÉCOLE", "école", true),
            ("4,500", "4500", true),
            ("$4,500.", "4500", true),
            ("-1,234,567.5", "-1234567.50", true),
            ("−3", "-3", true),
            (".5", "0.5", true),
            ("\"-.5\"", "-0.50", true),
            (".5", "5", false),
            ("...5", "5", true),
            ("3,5", "35", false),
            ("1,2", "12", false),
            ("3,5", "3,5", true),
            ("1,2,3", "123", false),
            ("1234,567", "1234567", false),
            ("1,0000", "10000", false),
            ("0,500", "500", false),
            (",500", "500", true),
            ("1.234,500", "1.2345", false),
        ] {
            assert_eq!(Check::Exact.agrees(response, reference), agrees, "{response:?} {reference:?}");
        }
    }

    #[test]
    fn contains_looks_for_whole_words() {
        for (response, reference, agrees) in [
            ("It is Paris, of course.", "paris", true),
            ("The answer is 14.", "4", false),
            ("The answer is 4.", "4", true),
            ("It is 4.5 in all", "4", false),
            ("4,500 people", "4", false),
            ("one, two,\n three", "two, three", true),
            ("category", "cat", false),
            ("a cat, or a category", "cat", true),
            ("anything", "", false),
            ("well-known", "known", true),
        ] {
            assert_eq!(Check::Contains.agrees(response, reference), agrees, "{response:?} {reference:?}");
        }
    }

    #[test]
    fn contains_takes_numbers_as_a_whole() {
        for (response, reference, agrees) in [
            // What stands before.
            ("The answer is 3.4", "4", false),
            ("4,500 people", "500", false),
            ("0.500", "500", false),
            ("It is .4 in all", "4", false),
            ("It is ($.4)", "4", false),
            ("It is 0.4 kg", "4 kg", false),
            ("See No.4 of these", "4", true),
            ("Born 24.12.1980.", "1980", true),
            ("It is 12.1980", "1980", false),
            ("It is ...4", "4", true),
            ("It is,4", "4", true),
            // What stands behind.
            ("It is $500", "500", true),
            ("It is 500.", "500", true),
            ("It is 500. That", "500", true),
            ("It is (500)", "500", true),
            ("500, and no more", "500", true),
            ("$300, $500", "500", true),
            ("$300,$500", "500", true),
            ("**500**", "500", true),
            ("500.5", "500", false),
            // Minuses.
            ("The answer is -4.", "4", false),
            ("The answer is −4.", "4", false),
            ("The answer is –4.", "4", false),
            ("-4", "4", false),
            ("x = -4", "4", false),
            ("x=-4", "4", false),
            ("(-4)", "4", false),
            ("It loses -$4", "4", false),
            ("It loses -$4", "$4", false),
            ("It loses $-4", "4", false),
            ("It is ±4", "4", false),
            ("It is -4 kg", "4 kg", false),
            ("The answer is -4.", "-4", true),
            ("The answer is −4.", "-4", true),
            ("The answer is 4.", "-4", false),
            ("The answer is +4.", "4", true),
            ("10-4", "-4", false),
            ("4 or -0.4", "-0", false),
            // Dashes.
            ("10-4 = 6", "4", true),
            ("10-4 = 6", "10", true),
            ("10 - 4", "4", true),
            ("10%–20%", "20%", true),
            ("GPT-4", "4", true),
            ("(x)-4", "4", true),
            ("on 2024-05-04", "04", true),
            ("The answer – 4", "4", true),
            ("It is – 4 – here", "4", true),
            ("The answer—4", "4", true),
            ("The answer--4", "4", true),
            ("- 4\n- 5", "4", true),
        ] {
            assert_eq!(Check::Contains.agrees(response, reference), agrees, "{response:?} {reference:?}");
        }
    }

    #[test]
    fn a_pattern_takes_the_last_of_what_it_finds() {
        let number = Check::Last(Regex::new(r"-?\d[\d,]*(?:\.\d+)?").unwrap());
        for (response, reference, agrees) in [
            ("3 + 4 = 7. So the answer is $1,007.", "1007", true),
            ("First 5, then 6.", "5", false),
            ("I cannot say.", "5", false),
            ("It is 18", "6 * 3 = 18\n#### 18", true),
            ("It is 3,5", "35", false),
            ("It is 3,500", "3500", true),
        ] {
            assert_eq!(number.agrees(response, reference), agrees, "{response:?} {reference:?}");
        }
        let letter = Check::Last(Regex::new(r"(?i)answer is \(?([A-D])\b").unwrap());
        assert!(letter.agrees("A is wrong. The answer is (b).", "B"));
        assert!(!letter.agrees("B", "B"), "the response must say it in the form of the pattern");
    }

    proptest! {
        #[test]
        fn every_text_agrees_with_itself(text in "\\PC{1,20}") {
            prop_assert!(Check::Exact.agrees(&text, &text));
            prop_assert_eq!(Check::Contains.agrees(&text, &text), !normal(&text).is_empty());
            prop_assert!(Check::Last(Regex::new("(?s)^.*$").unwrap()).agrees(&text, &text));
        }
    }
}
