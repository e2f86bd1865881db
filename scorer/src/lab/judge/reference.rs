//! Grading by a reference: 1 where the response agrees with it, else 0.
//!
//! Texts are compared without regard to case, blanks, and quotes and punctuation around them; where both are numbers, as
//! numbers, so that `1,000` agrees with `1000.0`.

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

/// A text in lower case, with single blanks, and nothing around it.
fn normal(text: &str) -> String {
    let lower = text.to_lowercase();
    let words: Vec<_> = lower.split_whitespace().collect();
    words.join(" ").trim_matches(|c: char| AROUND.contains(&c) || c.is_whitespace()).to_owned()
}

/// A normal text as a number: with commas between thousands, and a dollar or per cent sign.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_start_matches('$').trim_end_matches('%').trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let number = text.replace(',', "").parse().ok().filter(|number: &f64| number.is_finite());
    number.filter(|_| plain)
}

/// Whether `part` stands in `whole` with no letter or digit at either end.
fn contains(whole: &str, part: &str) -> bool {
    if part.is_empty() {
        return false;
    }
    whole.match_indices(part).any(|(start, found)| {
        let (before, after) = whole.split_at(start);
        let before = before.chars().next_back();
        let mut after = after.get(found.len()..).unwrap_or_default().chars();
        let (next, second) = (after.next(), after.next());
        // The 4 in 4.5 or 4,500 is no 4.
        let goes_on = matches!(next, Some('.' | ',')) && second.is_some_and(|c| c.is_ascii_digit());
        let ends_in_digit = found.ends_with(|c: char| c.is_ascii_digit());
        let inside = before.is_some_and(char::is_alphanumeric) || next.is_some_and(char::is_alphanumeric);
        !(inside || goes_on && ends_in_digit)
    })
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
