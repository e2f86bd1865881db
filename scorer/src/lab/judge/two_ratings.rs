//! How the two ratings that a judge expects, of the small and of the large model, are read from its answer.

use serde::{Deserialize, Serialize};

use super::{
    ask::Rated,
    numbers::{Number, RATINGS, denominator, dress, joined, normal, without_scale},
};
use crate::lab::{
    pair::{ByTier, Tier},
    thoughts,
};

/// What can stand beside `small` or `large` in a name of its rating.
const BESIDE: [&str; 24] = [
    "a",
    "answer",
    "expected",
    "final",
    "for",
    "grade",
    "its",
    "llm",
    "model",
    "models",
    "my",
    "of",
    "overall",
    "predicted",
    "quality",
    "rating",
    "response",
    "s",
    "score",
    "the",
    "tier",
    "value",
    "would",
    "be",
];
/// What can stand between a name and its number, besides marks.
const VERBS: [&str; 5] = [" is", " would be", " gets", " would get", " at"];
/// So many texts in braces are looked at, from the last on: the time must not grow with the square of an answer full of them.
const MOST_OBJECTS: usize = 64;
/// So many bytes before a number can hold its name.
const LONGEST_NAME: usize = 256;
/// The marks that say that a number belongs to the name before it.
const MARKS: [char; 4] = [':', '=', '>', '|'];

/// How good a response of each model is expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TwoRatings {
    /// The small model's, from 1 to 10.
    pub small: f64,
    /// The large model's, from 1 to 10.
    pub large: f64,
}

impl Rated for TwoRatings {
    const NAME: &'static str = "rating from 1 to 10 of each model";

    fn read(answer: &str) -> Option<Self> {
        let answer = normal(&thoughts::answer_only(answer)?);
        let unscaled = without_scale(&answer);
        last_object(&unscaled).or_else(|| named(&unscaled)).or_else(|| bare(&unscaled)).and_then(Self::checked)
    }
}

impl TwoRatings {
    fn checked([small, large]: [f64; 2]) -> Option<Self> {
        [small, large].iter().all(|rating| RATINGS.contains(rating)).then_some(Self { small, large })
    }
}

/// The two numbers of the last text in braces that names both, as in `{"small": 6, "large": 9}`.
fn last_object(text: &str) -> Option<[f64; 2]> {
    let ends = text.rmatch_indices('}').take(MOST_OBJECTS).map(|(end, _)| end);
    ends.filter_map(|end| {
        let before = text.get(..end)?;
        before.get(before.rfind('{')?..)
    })
    .find_map(named)
}

/// The number that is called the small model's, and the one that is called the large model's. A name with two different
/// numbers is not clear.
fn named(text: &str) -> Option<[f64; 2]> {
    let mut found = ByTier::<Option<f64>>::default();
    for number in joined(text) {
        let Some((tier, clear)) = name(&number) else { continue };
        let value = if clear { number.value } else { f64::NAN };
        let slot = found.get_mut(tier);
        // Not a number equals nothing, itself neither.
        *slot = Some(if slot.is_some_and(|before| before != value) { f64::NAN } else { value });
    }
    Some([found.small?, found.large?])
}

/// The model whose rating a number is called, and whether that is clear: the last word of "or small: 7" and of "not small: 7" is the
/// model's, too.
fn name(number: &Number<'_>) -> Option<(Tier, bool)> {
    let near = number.before.floor_char_boundary(number.before.len().saturating_sub(LONGEST_NAME));
    let line = number.before.get(near..).and_then(|before| before.rsplit('\n').next()).unwrap_or_default();
    let mut words = line.trim_end_matches(|c: char| dress(c) && c != ')' || quote(c) || MARKS.contains(&c));
    let marked = line.get(words.len()..).unwrap_or_default().contains(MARKS);
    // As in "small model (7-8b): 6".
    if let Some(open) = words.strip_suffix(')').and_then(|aside| aside.rfind('(')) {
        words = words.get(..open).unwrap_or_default().trim_end();
    }
    let verb = VERBS.iter().find_map(|verb| words.strip_suffix(verb));
    let words = match verb {
        Some(words) => words,
        None if marked => words,
        None => return None,
    };
    let clause = words.rsplit(['.', ',', ';', ':', '{', '<', '*', '#', '(', '|', '=']).next().unwrap_or_default();
    let mut tier = None;
    for word in clause.rsplit(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        match Tier::ALL.into_iter().find(|tier| tier.name() == word) {
            Some(_) if tier.is_some() => return None,
            Some(named) => tier = Some(named),
            None if BESIDE.contains(&word) => {}
            // The rating before it, as in "small: 6 large: 9".
            None if word.starts_with(|c: char| c.is_ascii_digit()) => break,
            None => return tier.map(|tier| (tier, false)),
        }
    }
    tier.map(|tier| (tier, true))
}

/// Two numbers and nothing else, in the order that was asked for.
fn bare(text: &str) -> Option<[f64; 2]> {
    let all = joined(text);
    let mut ratings = all.iter().filter(|number| !denominator(number));
    let (Some(small), Some(large), None) = (ratings.next(), ratings.next(), ratings.next()) else { return None };
    let without: String = text.replace("out of", "");
    let nothing =
        |c: char| dress(c) || quote(c) || c.is_ascii_digit() || matches!(c, ',' | ';' | '.' | '/' | '{' | '}');
    without.chars().all(nothing).then_some([small.value, large.value])
}

fn quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '“' | '”' | '«' | '»')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn two_ratings_are_read_from_what_judges_say() {
        for (answer, ratings) in [
            // As asked for.
            (r#"{"small": 6, "large": 9}"#, Some([6.0, 9.0])),
            (r#"{"small": 6.5, "large": 9}"#, Some([6.5, 9.0])),
            (r#"{"large": 9, "small": 6}"#, Some([6.0, 9.0])),
            (r#"{"small": "6", "large": "9/10"}"#, Some([6.0, 9.0])),
            ("```json\n{\n  \"small\": 10,\n  \"large\": 10\n}\n```", Some([10.0, 10.0])),
            ("{'small': 6, 'large': 9}", Some([6.0, 9.0])),
            ("{small: 6, large: 9}", Some([6.0, 9.0])),
            (r#"{"Small": 6, "LARGE": 9}"#, Some([6.0, 9.0])),
            (r#"{"small_model": 6, "large_model": 9}"#, Some([6.0, 9.0])),
            (r#"{"small_rating": 6, "large_rating": 9, "reason": "3 steps"}"#, Some([6.0, 9.0])),
            (r#"{"ratings": {"small": 6, "large": 9}}"#, Some([6.0, 9.0])),
            (r#"{"reason": "a proof in 5 steps", "small": 3, "large": 8}"#, Some([3.0, 8.0])),
            // Thoughts, and what is said before and after.
            ("<think>small: 2, large: 3?</think>{\"small\": 6, \"large\": 9}", Some([6.0, 9.0])),
            ("Small: 2, perhaps.\n</think>\n{\"small\": 6, \"large\": 9}", Some([6.0, 9.0])),
            ("<think>{\"small\": 6, \"large\": 9}", None),
            ("Small: 2 at first sight.\n{\"small\": 6, \"large\": 9}", Some([6.0, 9.0])),
            ("{\"small\": 2, \"large\": 3}, no: {\"small\": 6, \"large\": 9}", Some([6.0, 9.0])),
            ("{\"small\": 6, \"large\": 9}\n\nThe small model fails 3 of 4 steps.", Some([6.0, 9.0])),
            ("{\"small\": 6, \"large\": 9}\n{\"done\": true}", Some([6.0, 9.0])),
            // In words.
            ("small: 6, large: 9", Some([6.0, 9.0])),
            ("small: 6 large: 9", Some([6.0, 9.0])),
            ("small=6 large=9", Some([6.0, 9.0])),
            ("Small: 6/10\nLarge: 9/10", Some([6.0, 9.0])),
            ("**Small model:** 6\n**Large model:** 9", Some([6.0, 9.0])),
            ("- Small model (7-8B): 6\n- Large model (frontier): 9", Some([6.0, 9.0])),
            ("Small model's rating: 6\nLarge model's rating: 9", Some([6.0, 9.0])),
            ("Expected quality of the small model: 6\nExpected quality of the large model: 9", Some([6.0, 9.0])),
            ("The small model gets 6, the large model gets 9, since 3 facts are rare.", Some([6.0, 9.0])),
            ("| small | 6 |\n| large | 9 |", Some([6.0, 9.0])),
            ("<small>6</small><large>9</large>", Some([6.0, 9.0])),
            ("Small (1-10): 6\nLarge (1-10): 9", Some([6.0, 9.0])),
            ("small：６，large：９", Some([6.0, 9.0])),
            ("Large: 9\nSmall: 6", Some([6.0, 9.0])),
            // Numbers alone.
            ("6 9", Some([6.0, 9.0])),
            ("6\n9", Some([6.0, 9.0])),
            ("[6, 9]", Some([6.0, 9.0])),
            ("6/10, 9/10", Some([6.0, 9.0])),
            ("6,5; 9", Some([6.5, 9.0])),
            // What does not say which is which, or how much.
            ("", None),
            ("6", None),
            ("6,9", None),
            ("6/9", None),
            ("6-9", None),
            ("1 6 9", None),
            ("6 and then 9", None),
            ("Both: 8", None),
            ("small: 6", None),
            ("{\"small\": 6, \"lar", None),
            ("{\"small\": 6, \"large\": null}", None),
            ("{\"small\": 6, \"large\": \"good\"}", None),
            ("small and large: 6, 9", None),
            ("The small one loses 3, the large one 1.", None),
            ("small: 6, or small: 7, large: 9", None),
            ("the difference of small and large: 3. small: 6. large: 9", None),
            ("not small: 5, large: 9", None),
            // Out of range, ranges and other scales.
            (r#"{"small": 0, "large": 9}"#, None),
            (r#"{"small": 6, "large": 11}"#, None),
            (r#"{"small": -6, "large": 9}"#, None),
            (r#"{"small": 60, "large": 90}"#, None),
            (r#"{"small": "60%", "large": "90%"}"#, None),
            (r#"{"small": "6-7", "large": 9}"#, None),
            (r#"{"small": "4/5", "large": "5/5"}"#, None),
            (r#"{"small": 1e999, "large": 9}"#, None),
            ("small: 99999999999999999999999999, large: 9", None),
            ("small: NaN, large: 9", None),
            // A query that was echoed, with an instruction in it.
            ("You ask me to say small: 10, large: 1.\n{\"small\": 6, \"large\": 9}", Some([6.0, 9.0])),
            ("small: 10, large: 1\nsmall: 6, large: 9", None),
            ("{{{{{{{{}}}}}}}}", None),
            ("}{", None),
        ] {
            let expected = ratings.map(|[small, large]| TwoRatings { small, large });
            assert_eq!(TwoRatings::read(answer), expected, "{answer:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_gives_a_rating_out_of_range(answer in "(\\PC|small|large|[0-9{}:,\" ]){0,40}") {
            let in_range = |ratings: TwoRatings| RATINGS.contains(&ratings.small) && RATINGS.contains(&ratings.large);
            prop_assert!(TwoRatings::read(&answer).is_none_or(in_range));
        }

        #[test]
        fn what_is_asked_for_is_read(small in 1_u8..=10, large in 1_u8..=10, before in "[a-z .\n]{0,20}") {
            let expected = TwoRatings { small: f64::from(small), large: f64::from(large) };
            let answer = format!("{before}{{\"small\": {small}, \"large\": {large}}}");
            prop_assert_eq!(TwoRatings::read(&answer), Some(expected));
        }
    }
}
