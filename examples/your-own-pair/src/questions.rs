//! Questions with one right answer each, simple and hard, made by chance from a seed.

use std::collections::HashSet;

use fastrand::Rng;

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// What is asked.
    pub(crate) text: String,
    /// The answer: a number or a word.
    pub(crate) answer: String,
    /// How hard it is.
    pub(crate) difficulty: Difficulty,
}

/// How hard a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Difficulty {
    /// One step, or a fact.
    Simple,
    /// A few steps.
    Middling,
    /// Many steps, or large numbers.
    Hard,
}

const CAPITALS: [(&str, &str); 20] = [
    ("France", "Paris"),
    ("Spain", "Madrid"),
    ("Italy", "Rome"),
    ("Austria", "Vienna"),
    ("Norway", "Oslo"),
    ("Sweden", "Stockholm"),
    ("Finland", "Helsinki"),
    ("Denmark", "Copenhagen"),
    ("Poland", "Warsaw"),
    ("Hungary", "Budapest"),
    ("Greece", "Athens"),
    ("Portugal", "Lisbon"),
    ("Ireland", "Dublin"),
    ("Egypt", "Cairo"),
    ("Kenya", "Nairobi"),
    ("Peru", "Lima"),
    ("Cuba", "Havana"),
    ("Japan", "Tokyo"),
    ("Thailand", "Bangkok"),
    ("Iran", "Tehran"),
];

const OPPOSITES: [(&str, &str); 16] = [
    ("hot", "cold"),
    ("early", "late"),
    ("full", "empty"),
    ("rich", "poor"),
    ("wet", "dry"),
    ("open", "closed"),
    ("loud", "quiet"),
    ("young", "old"),
    ("heavy", "light"),
    ("deep", "shallow"),
    ("sharp", "blunt"),
    ("narrow", "wide"),
    ("asleep", "awake"),
    ("strong", "weak"),
    ("always", "never"),
    ("north", "south"),
];

const WORDS: [&str; 16] = [
    "river", "garden", "window", "planet", "bridge", "candle", "forest", "market", "silver", "pocket", "winter",
    "basket", "island", "puzzle", "thunder", "lantern",
];

const NAMES: [&str; 10] = ["Ada", "Bela", "Chen", "Dora", "Emil", "Femi", "Gita", "Hugo", "Ines", "Juri"];

const ANIMALS: [(&str, u64); 5] = [("spiders", 8), ("cats", 4), ("ants", 6), ("hens", 2), ("crabs", 10)];

/// Makes so many questions, of which no two are the same: four in ten simple, two middling, four hard, well mixed.
pub(crate) fn make(count: usize, seed: u64) -> Vec<Question> {
    let mut rng = Rng::with_seed(seed);
    let (mut known, mut questions) = (HashSet::new(), Vec::with_capacity(count));
    while questions.len() < count {
        let difficulty = match rng.u8(0..10) {
            0..4 => Difficulty::Simple,
            4..6 => Difficulty::Middling,
            _ => Difficulty::Hard,
        };
        let (text, answer) = match difficulty {
            Difficulty::Simple => simple(&mut rng),
            Difficulty::Middling => middling(&mut rng),
            Difficulty::Hard => hard(&mut rng),
        };
        if known.insert(text.clone()) {
            questions.push(Question { text, answer, difficulty });
        }
    }
    questions
}

fn pick<T: Copy>(rng: &mut Rng, all: &[T], otherwise: T) -> T {
    rng.choice(all.iter()).copied().unwrap_or(otherwise)
}

fn simple(rng: &mut Rng) -> (String, String) {
    match rng.u8(0..6) {
        0 => {
            let (a, b) = (rng.u64(2..60), rng.u64(2..60));
            (format!("What is {a} + {b}?"), (a + b).to_string())
        }
        1 => {
            let (country, capital) = pick(rng, &CAPITALS, ("France", "Paris"));
            (format!("What is the capital of {country}?"), capital.to_owned())
        }
        2 => {
            let (word, opposite) = pick(rng, &OPPOSITES, ("hot", "cold"));
            (format!("What is the opposite of {word}?"), opposite.to_owned())
        }
        3 => {
            let hours = rng.u64(2..25);
            (format!("How many minutes are there in {hours} hours?"), (hours * 60).to_string())
        }
        4 => {
            let ((animals, legs), count) = (pick(rng, &ANIMALS, ("cats", 4)), rng.u64(2..13));
            (format!("How many legs do {count} {animals} have together?"), (legs * count).to_string())
        }
        _ => {
            let (start, step) = (rng.u64(1..20), rng.u64(2..10));
            let [a, b, c, next] = [0, 1, 2, 3].map(|n| start + n * step);
            (format!("Which number comes next: {a}, {b}, {c}?"), next.to_string())
        }
    }
}

fn middling(rng: &mut Rng) -> (String, String) {
    match rng.u8(0..3) {
        0 => {
            let (a, b) = (rng.u64(12..100), rng.u64(12..30));
            (format!("What is {a} times {b}?"), (a * b).to_string())
        }
        1 => {
            let word = pick(rng, &WORDS, "river");
            (format!("Spell the word \"{word}\" backwards."), word.chars().rev().collect())
        }
        _ => {
            let (name, pens, price) = (pick(rng, &NAMES, "Ada"), rng.u64(3..9), rng.u64(15..60));
            let text = format!(
                "{name} buys {pens} pens at {price} cents each and pays with a 10 dollar note. How many cents does {name} get back?"
            );
            (text, (1000 - pens * price).to_string())
        }
    }
}

fn hard(rng: &mut Rng) -> (String, String) {
    match rng.u8(0..6) {
        0 => {
            let (a, b) = (rng.u64(120..1000), rng.u64(120..1000));
            (format!("Work out {a} times {b} exactly, without rounding."), (a * b).to_string())
        }
        1 => {
            let (base, exponent, modulus) = (rng.u64(3..20), rng.u64(7..40), rng.u64(7..30));
            let rest = (0..exponent).fold(1, |rest, _| rest * base % modulus);
            (
                format!("What is the remainder when {base} to the power of {exponent} is divided by {modulus}?"),
                rest.to_string(),
            )
        }
        2 => {
            let (people, seats) = (rng.u64(6..12), rng.u64(3..6));
            let ways: u64 = (people - seats + 1..=people).product();
            let text = format!(
                "In how many different ways can {seats} of {people} guests be seated in a row of {seats} chairs?"
            );
            (text, ways.to_string())
        }
        3 => {
            let (slow, more, minutes) = (rng.u64(4..10) * 10, rng.u64(1..4) * 10, rng.u64(2..7) * 6);
            let (fast, late) = (slow + more, minutes * more / 10);
            let text = format!(
                "A train leaves a station at {slow} kilometres an hour. {late} minutes later a second one follows on the next \
                 track at {fast} kilometres an hour. How many minutes after its own departure has the second train caught up \
                 with the first?"
            );
            (text, (slow * late / more).to_string())
        }
        4 => {
            let (name, other) = (pick(rng, &NAMES[..5], "Ada"), pick(rng, &NAMES[5..], "Juri"));
            let (age, times, years) = (rng.u64(4..13), rng.u64(2..5), rng.u64(3..15));
            let sum = age + age * times + 2 * years;
            let text = format!(
                "{name} is {times} times as old as {other}. In {years} years the sum of their ages will be {sum}. How old is \
                 {name} now?"
            );
            (text, (age * times).to_string())
        }
        _ => {
            let number = rng.u64(30..400) * 6;
            let divisors = (1..=number).filter(|divisor| number.is_multiple_of(*divisor)).count();
            (format!("How many positive whole numbers divide {number} without a remainder?"), divisors.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_seed_makes_the_same_questions_again_and_no_question_twice() {
        let questions = make(300, 1);
        assert_eq!(questions, make(300, 1));
        assert_ne!(questions, make(300, 2));
        let texts: HashSet<_> = questions.iter().map(|question| &question.text).collect();
        assert_eq!(texts.len(), 300);
        for difficulty in [Difficulty::Simple, Difficulty::Middling, Difficulty::Hard] {
            assert!(questions.iter().filter(|question| question.difficulty == difficulty).count() > 30);
        }
    }

    #[test]
    fn the_answers_to_word_problems_are_right() {
        for question in make(2000, 3) {
            let numbers: Vec<u64> =
                question.text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect();
            let answer: Option<u64> = question.answer.parse().ok();
            match (question.text.split(' ').nth(1), numbers.as_slice()) {
                (Some("train"), [slow, late, fast]) => {
                    let after = answer.unwrap();
                    assert_eq!(slow * (late + after), fast * after, "{question:?}");
                }
                (Some("is"), [times, years, sum]) if question.text.contains("times as old") => {
                    let (age, other) = (answer.unwrap(), answer.unwrap() / times);
                    assert_eq!((age % times, age + other + 2 * years), (0, *sum), "{question:?}");
                }
                (Some("buys"), [pens, price, 10]) => assert_eq!(pens * price + answer.unwrap(), 1000, "{question:?}"),
                _ => {}
            }
        }
    }
}
