//! Reads a judge's rating from its answer.

use serde::{Deserialize, Serialize};

use super::{
    ask::Rated,
    numbers::{Number, RATINGS, denominator, dress, joined, names_more, normal, numbers, without_scale},
};
use crate::lab::thoughts;

/// How good a response is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rating {
    /// From 1 to 10.
    pub rating: f64,
}

impl Rated for Rating {
    const NAME: &'static str = "rating from 1 to 10";

    fn read(answer: &str) -> Option<Self> {
        Some(Self { rating: read_rating(answer)? })
    }
}

/// What a rating is called. Words that also introduce a remark, such as the French `note`, are none.
const NAMES: [&str; 22] = [
    "rating",
    "score",
    "grade",
    "评分",
    "分数",
    "得分",
    "打分",
    "評分",
    "評価",
    "スコア",
    "点数",
    "평점",
    "점수",
    "bewertung",
    "punktzahl",
    "puntuación",
    "calificación",
    "valutazione",
    "punteggio",
    "pontuação",
    "оценка",
    "рейтинг",
];
/// What makes a name that of the rating as a whole.
const WHOLE: [&str; 6] = ["final", "overall", "total", "总", "最终", "総合"];
/// What makes a name that of the scale.
const SCALE: [&str; 5] = ["max", "min", "scale", "best", "worst"];
/// What can stand before a name that says nothing of which rating it is.
const ARTICLES: [&str; 8] = ["the", "my", "a", "its", "this", "response", "answer", "assigned"];
/// What says that a number is a rating, though it is not called one.
const CUES: [&str; 9] = ["rate", "rating", "score", "grade", "give", "deserve", "earn", "award", "assign"];
/// What can follow a rating in its sentence. Anything else is what the number counts.
const FOLLOWING: [&str; 10] = ["because", "since", "as", "for", "but", "and", "overall", "point", "points", "分"];

/// How sure it is that a number is called a rating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    /// As in "a rating of 8".
    Loose,
    /// As in "Clarity score: 8".
    OfPart,
    /// As in "Rating: 8".
    Plain,
    /// As in "Final rating: 8".
    Whole,
}

/// Reads a rating from 1 to 10. Thoughts are cut off first. Then, in this order: the last number in double brackets (`[[7]]`) or
/// in a box (`\\boxed{7}`); the number that is called rating, score or grade (that of the whole before those of parts, and the
/// last of several); a number that stands alone on a line; one out of ten (`7/10`) that the answer begins or ends with, or gives
/// in so many words; and the only number there is, where it counts nothing. The scale may stand between the word and its rating,
/// as in `Rating (1-10): 7`, and a decimal comma is a point.
///
/// Where it is not clear which number is the rating, or what it is out of, there is none: asking again is better than a wrong one.
pub fn read_rating(answer: &str) -> Option<f64> {
    let answer = normal(&thoughts::answer_only(answer)?);
    let unscaled = without_scale(&answer);
    let all = joined(&unscaled);
    let rating = bracketed(&all)
        .or_else(|| labelled(&all))
        .or_else(|| alone(&unscaled))
        .or_else(|| out_of_ten(&all))
        .or_else(|| only(&answer))?;
    RATINGS.contains(&rating).then_some(rating)
}

fn bracketed(all: &[Number<'_>]) -> Option<f64> {
    let brackets = [("[[", "]]"), ("boxed{", "}")];
    let is = |number: &&Number<'_>| {
        brackets.iter().any(|(open, close)| number.before.ends_with(open) && number.after.starts_with(close))
    };
    Some(all.iter().rev().find(is)?.value)
}

/// The last of the numbers with the surest label.
fn labelled(all: &[Number<'_>]) -> Option<f64> {
    let labels = all.iter().filter_map(|number| Some((label(number)?, number.value)));
    Some(labels.max_by_key(|(label, _)| *label)?.1)
}

/// What a number is called, if that is a rating.
fn label(number: &Number<'_>) -> Option<Label> {
    let word = number.before.trim_end_matches(|c: char| !c.is_alphanumeric());
    let between = number.before.get(word.len()..).unwrap_or_default();
    let (named, verb) = [" is", " would be", "为", "是"]
        .iter()
        .find_map(|verb| word.strip_suffix(verb))
        .map_or((word, false), |word| (word, true));
    let (named, of) = named.strip_suffix(" of").map_or((named, false), |word| (word, true));
    let name = NAMES.iter().find(|name| named.ends_with(**name))?;
    // The 1 of "rating 1: 5" and of "rating (1 is worst): 5" says what the rating is of, or means.
    let opened = number.before.trim_end().ends_with(['(', '[']);
    let aside = opened && !number.after.trim_start().starts_with([')', ']']);
    if aside || names_more(number.after) || denominator(number) {
        return None;
    }
    let line = named.rsplit('\n').next().unwrap_or_default();
    let before = line.strip_suffix(name)?;
    let before = before.rsplit(['.', ',', ';', ':', '{', '"', '<', '*', '#', '(']).next().unwrap_or_default();
    let words: Vec<&str> = before.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    if words.iter().any(|word| SCALE.contains(word)) {
        return None;
    }
    let whole = words.iter().any(|word| WHOLE.iter().any(|whole| word.ends_with(whole)));
    let plain = words.iter().all(|word| ARTICLES.contains(word));
    Some(match between.contains([':', '=', '>']) || verb {
        _ if of => Label::Loose,
        false => Label::Loose,
        true if whole => Label::Whole,
        true if plain => Label::Plain,
        true => Label::OfPart,
    })
}

/// The number on a line with nothing else, but for what it is out of; none where several lines have different ones.
fn alone(text: &str) -> Option<f64> {
    let mark = |c: char| {
        dress(c) || matches!(c, '#' | '>' | '`' | '"' | '\'' | '{' | '}' | '$' | '!' | '.' | ',' | '分' | '점' | '点')
    };
    let mut lines = text.lines().filter_map(|line| {
        let all = joined(line);
        let number = all.first()?;
        let rest = if of_ten(number) { all.last()?.after } else { number.after };
        let lone = all.len() == 1 || of_ten(number) && all.len() == 2;
        let before = number.before.trim_end_matches(['-', '−']);
        (lone && before.trim_matches(mark).is_empty() && rest.trim_matches(mark).is_empty()).then_some(number.value)
    });
    let first = lines.next()?;
    lines.all(|value| value == first).then_some(first)
}

/// Whether a number is out of ten. What is out of another number, such as 100, is one with it.
fn of_ten(number: &Number<'_>) -> bool {
    let after = number.after.trim_start_matches(dress);
    ["/10", "/ 10", "out of 10"].iter().any(|of_ten| after.starts_with(of_ten))
}

/// What follows a number and what it is out of.
fn behind<'t>(number: &Number<'t>) -> &'t str {
    let after = number.after.trim_start_matches(dress);
    let found = ["/10", "/ 10", "out of 10"].iter().find_map(|of_ten| after.strip_prefix(of_ten));
    found.unwrap_or(after).trim_start_matches(dress)
}

/// A rating out of ten that the answer begins with, ends with behind a colon or on a line of its own, or gives in so many words.
fn out_of_ten(all: &[Number<'_>]) -> Option<f64> {
    let is = |number: &&Number<'_>| {
        let before = number.before.trim_end_matches(|c: char| dress(c) && c != '\n');
        let starts = before.trim().is_empty();
        let ends = before.ends_with([':', '=', '\n']) && !behind(number).contains(char::is_alphanumeric);
        of_ten(number) && ends_clause(number) && (starts || ends || cued(number))
    };
    Some(all.iter().rev().find(is)?.value)
}

/// Whether the sentence ends behind a number, or goes on with a reason: then the number counts nothing.
fn ends_clause(number: &Number<'_>) -> bool {
    let after = behind(number);
    let word = after.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    word.is_empty() || FOLLOWING.contains(&word)
}

/// Whether the words before a number, in its sentence, say that it is a rating.
fn cued(number: &Number<'_>) -> bool {
    let sentence = number.before.rsplit(['.', '!', '?', '\n']).next().unwrap_or_default();
    let words = sentence.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let last: Vec<&str> = words.collect();
    let near = last.len().saturating_sub(7);
    last.iter().skip(near).any(|word| CUES.iter().any(|cue| word.starts_with(cue)))
}

/// The only number in the text, where it counts nothing. Those of a scale count, too: beside them another number can be anything.
fn only(text: &str) -> Option<f64> {
    let all = numbers(text);
    let mut all = all.iter().filter(|number| !denominator(number));
    let number = all.next().filter(|number| ends_clause(number))?;
    let fraction = of_ten(number) && !cued(number) && !number.before.trim_matches(dress).is_empty();
    (all.next().is_none() && !fraction).then_some(number.value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ratings_are_read_from_what_judges_say() {
        for (answer, rating) in [
            ("7", Some(7.0)),
            (" 10\n", Some(10.0)),
            ("8.5", Some(8.5)),
            ("7.", Some(7.0)),
            ("**8**", Some(8.0)),
            ("Rating: 9", Some(9.0)),
            ("**Rating:** 9. It covers 3 of 4 points.", Some(9.0)),
            ("I compared 3 points.\nScore: 6", Some(6.0)),
            ("The score is 4, for 2 reasons.", Some(4.0)),
            ("7/10", Some(7.0)),
            ("7 out of 10, since 2 facts are wrong", Some(7.0)),
            ("Of 5 facts 4 are right: [[8]]", Some(8.0)),
            ("[[2]] at first, then [[3]]", Some(3.0)),
            ("Rating: 3/10. A better rating would need 8/10 of them.", Some(3.0)),
            ("10/10", Some(10.0)),
            ("", None),
            ("good", None),
            ("0", None),
            ("11", None),
            ("-3", None),
            ("85", None),
            ("7-8", None),
            ("7 or 8", None),
            ("GPT4 is an H100", None),
            ("99999999999999999999999999", None),
            // Thoughts.
            ("<think>\nIt seems to miss a case, perhaps 4/10.\n</think>\n\n9", Some(9.0)),
            ("<think>Rating: 3 at first sight.</think>\n8", Some(8.0)),
            ("<think>At least 8/10, let me check the", None),
            ("First <think>3/10</think> 9", Some(9.0)),
            ("Perhaps 4/10.\n</think>\n9", Some(9.0)),
            ("[THINK]4/10[/THINK]Score: 7 out of 10", Some(7.0)),
            ("<reasoning>Score: 4</reasoning><score>7</score>", Some(7.0)),
            // What is called a rating comes first, and what stands alone after it.
            ("Rating: 8/10. It is right, though it shows only 3/10 of the steps.", Some(8.0)),
            ("It shows only 3/10 of the steps. **Rating:** 8/10", Some(8.0)),
            ("**Rating: 8/10**\n\nOnly 3/10 steps are shown, and 2/10 are wrong.", Some(8.0)),
            ("8/10\n\nExplanation: only 3/10 of the steps are shown.", Some(8.0)),
            ("8\n\nIt covers 3/10 of the steps.", Some(8.0)),
            ("It covers 3/10 of the steps.\n\n**8**", Some(8.0)),
            ("### 8", Some(8.0)),
            ("Correctness score: 9\nClarity score: 3\nOverall score: 7", Some(7.0)),
            ("Overall score: 7\nCorrectness score: 9\nClarity score: 3", Some(7.0)),
            ("Rating: 7\n\nClarity score: 3", Some(7.0)),
            ("I would give it a rating of 8, since 3 facts are right", Some(8.0)),
            ("Rating: 8. A rating of 9 needs more.", Some(8.0)),
            ("\\boxed{8}", Some(8.0)),
            ("7.5", Some(7.5)),
            ("4\n\n9", None),
            // A fraction in an explanation is none.
            ("It covers 3/10 of the steps.", None),
            ("It is mostly right, though the steps are only 3/10.", None),
            ("Only 3/10 points are made.", None),
            ("It gives 3/10 of the reasons", None),
            ("I would rate this response 7/10, as it misses 3 facts.", Some(7.0)),
            ("I would give it 7/10 because it is short.", Some(7.0)),
            ("It misses 3 facts.", None),
            ("I would say 8.", Some(8.0)),
            // JSON.
            ("{\"rating\": 8, \"reason\": \"only 3/10 of the steps\"}", Some(8.0)),
            ("{\"reason\": \"only 3/10 of the steps\", \"score\": \"8/10\"}", Some(8.0)),
            ("```json\n{\n  \"overall_rating\": 7.5,\n  \"max_rating\": 10\n}\n```", Some(7.5)),
            ("{\"clarity_score\": 3, \"overall_score\": 7}", Some(7.0)),
            ("{\"value\": 8}", Some(8.0)),
            // Other scripts and languages.
            ("８", Some(8.0)),
            ("评分：8/10", Some(8.0)),
            ("评分为８分（满分10分）", Some(8.0)),
            ("8分", Some(8.0)),
            ("評価: ８", Some(8.0)),
            ("Bewertung: 8,5", Some(8.5)),
            ("Оценка: 8 из 10", Some(8.0)),
            ("التقييم ٨", Some(8.0)),
            ("Rating: 80%", None),
            // Scales.
            ("Rating (1-10): 6", Some(6.0)),
            ("Rating (1–10): 6. It misses 3 facts.", Some(6.0)),
            ("**Rating (1 - 10):** 6", Some(6.0)),
            ("Rating (1 to 10): 6", Some(6.0)),
            ("Rating (out of 10): 6", Some(6.0)),
            ("Rating (on a scale from 1 to 10): 6, for 3 reasons", Some(6.0)),
            ("Rating between 1 and 10: 6", Some(6.0)),
            ("Rating: 6 (1-10)", Some(6.0)),
            ("Rating: 6 on a scale of 1 to 10", Some(6.0)),
            ("Rating (1-5): 4", None),
            ("Rating (1-100): 8", None),
            ("Rating (1 is worst, 10 is best): 6", None),
            ("Rating (1 = worst, 10 = best): 6", None),
            ("Rating (6)", Some(6.0)),
            ("I rate nothing from 1 to 10 that has 3 mistakes", None),
            // Ranges.
            ("Rating: 1-10", None),
            ("Rating: 7-8. It misses 3 facts.", None),
            ("Rating: 7 to 8", None),
            ("Rating: between 7 and 8", None),
            ("[[7]]-[[8]]", None),
            ("8/10-9/10", None),
            ("Rating: 7-8. Final rating: 7", Some(7.0)),
            ("Rating: 8-1-10", None),
            ("Rating: 8 - 2 facts are wrong", Some(8.0)),
            ("Score: 2\n\n- 3 facts are wrong", Some(2.0)),
            // Which of several ratings it is.
            ("rating 1 of 2: 5", Some(5.0)),
            ("Rating 1 of 10: 5", Some(5.0)),
            ("Rating 1: 5, rating 2: 7", None),
            // Out of ten, and out of something else.
            ("7/10: right", Some(7.0)),
            ("7/10.", Some(7.0)),
            ("**7**/10", Some(7.0)),
            ("7 (out of 10)", Some(7.0)),
            ("7 OUT OF 10", Some(7.0)),
            ("Rating: 8 of 10", Some(8.0)),
            ("3 of 4 facts are right: 7/10", Some(7.0)),
            ("7/100", None),
            ("70/100. It misses 3 facts.", None),
            ("8 out of 100", None),
            ("8 out of 100, since it misses 3 facts", None),
            ("Rating: 8 out of 100", None),
            ("Rating: **4** / 5", None),
            ("Rating: 4 (out of 5)", None),
            ("7/10.5", None),
            // Commas.
            ("Rating: 8,5", Some(8.5)),
            ("8,5/10", Some(8.5)),
            ("Rating: 8, since 3 facts are wrong", Some(8.0)),
            ("Rating: 1,000", None),
            ("1,2,3", None),
            ("1.2.3", None),
        ] {
            assert_eq!(read_rating(answer), rating, "{answer:?}");
        }
    }

    proptest! {
        #[test]
        fn a_rating_is_never_out_of_range(answer in "\\PC{0,30}") {
            prop_assert!(read_rating(&answer).is_none_or(|rating| RATINGS.contains(&rating)));
        }

        #[test]
        fn a_lone_rating_is_read_in_any_dress(rating in 1_u8..=10, before in "[ *#\n]{0,3}", after in "[ *.\n]{0,3}") {
            prop_assert_eq!(read_rating(&format!("{before}{rating}{after}")), Some(f64::from(rating)));
        }
    }
}
