//! Labels of several pairs, and what rows teach.

use super::*;
use crate::lab::{
    data::{corpus::Source, query_data::Incomplete},
    pair::Pair,
};

/// The small and the large model's quality of a row.
type Quality = fn(usize) -> (f64, f64);

/// A corpus of `count` rows whose qualities `quality` gives.
fn corpus(count: usize, quality: impl Fn(usize) -> (f64, f64)) -> Corpus {
    let folder = tempfile::tempdir().unwrap();
    let line = |number| {
        let (small, large) = quality(number);
        format!("{{\"query\": \"query {number}\", \"quality\": {{\"s\": [{small}], \"l\": [{large}]}}}}\n")
    };
    let file = folder.path().join("data.jsonl");
    std::fs::write(&file, (0..count).map(line).collect::<String>()).unwrap();
    let pair = Pair { small: "s".to_owned(), large: "l".to_owned() };
    Corpus::read(&[Source { file, pair }], Incomplete::Refuse, 0).unwrap()
}

#[test]
fn gaps_are_centred_and_scaled_by_their_own_pair() {
    let all = |n: usize| (0..n).collect::<Vec<_>>();
    let labels = scaled(&[-2.0, 1.0, -0.5, 5.0, -10.0], &[0, 0, 0, 1, 1], &all(5));
    assert_eq!(labels, [0.0, 1.0, 0.5, 1.0, 0.0], "also where the small model is worse in the mean");
    assert_eq!(scaled(&[0.0, 0.0], &[0, 0], &all(2)), [0.5, 0.5], "models that never differ");
    assert_eq!(scaled(&[-3.0, -1.0, -9.0], &[0, 0, 0], &all(2)), [0.0, 1.0, 0.0], "what validates sets no scale");
    assert_eq!(scaled(&[-0.1, 0.2 - 0.3], &[0, 0], &all(2)), [0.5, 0.5], "equal but for rounding");
}

#[test]
fn a_small_model_that_is_always_a_little_worse_can_be_ranked() {
    // It loses 1 to 1.01 by a feature of the query.
    let lost = |n: usize| 1.0 + 0.01 * (n % 50) as f64 / 50.0;
    let corpus = corpus(400, |n| (5.0 - lost(n), 5.0));
    let task = labelled(&corpus, Label::Gap).unwrap();
    assert_eq!(task.warnings(), ["only 85 rows validate: the figures will be rough"], "no label is on a wrong side");
    let n = corpus.rows.len();
    let mut rng = fastrand::Rng::with_seed(1);
    let numbers = (0..n).flat_map(|n| [(n % 50) as f32 + 10.0 * rng.f32(), rng.f32(), rng.f32()]).collect();
    let trained = train(&task, &corpus, Embeddings { numbers, tokens: vec![5; n] }, 3, (1, 0), || {});
    let labels: Vec<f64> = task.of(&task.validation).collect();
    let ranking = auc(&trained.scores, &labels).unwrap();
    assert!(ranking > 0.9 && trained.validation.learnt(), "{ranking}, {:?}", trained.validation);
    // The scores are quantiles: a dial between 0 and 1 has something to part.
    let mut scores = trained.scores.clone();
    scores.sort_by(f64::total_cmp);
    for (at, quantile) in [(scores.len() / 10, 0.1), (scores.len() / 2, 0.5), (scores.len() * 9 / 10, 0.9)] {
        assert!((scores[at] - quantile).abs() < 0.1, "{} at {quantile}", scores[at]);
    }
}

/// A corpus of several pairs, each in a file of `count` rows.
fn corpus_of(pairs: &[Quality], count: usize, validation: Option<Quality>) -> Corpus {
    let folder = tempfile::tempdir().unwrap();
    let source = |at: usize, pair: usize, quality: Quality| {
        let line = |number| {
            let (small, large) = quality(number);
            let quality = format!("{{\"s{pair}\": [{small}], \"l{pair}\": [{large}]}}");
            format!("{{\"query\": \"query {at} {number}\", \"quality\": {quality}}}\n")
        };
        let file = folder.path().join(format!("{at}.jsonl"));
        std::fs::write(&file, (0..count).map(line).collect::<String>()).unwrap();
        Source { file, pair: Pair { small: format!("s{pair}"), large: format!("l{pair}") } }
    };
    let mut sources: Vec<Source> =
        pairs.iter().enumerate().map(|(pair, quality)| source(pair, pair, *quality)).collect();
    sources.extend(validation.map(|quality| source(pairs.len(), 0, quality)));
    Corpus::read(&sources, Incomplete::Refuse, 0).unwrap()
}

/// A fifth of the rows validates.
fn labelled(corpus: &Corpus, kind: Label) -> Result<Task, TaskError> {
    Task::new(corpus, &Sides::by_hash(corpus.hashes()), kind)
}

#[test]
fn each_pair_has_its_own_relaxation_from_its_training_rows() {
    // The small model is a little behind in one half, and far behind in the other; the second pair's scale is 100 times
    // the first one's.
    let own = |n: usize| (if n.is_multiple_of(2) { 0.75 } else { 0.0 }, 1.0);
    let other = |n: usize| (if n.is_multiple_of(2) { 75.0 } else { 0.0 }, 100.0);
    let task = labelled(&corpus_of(&[own, other], 100, None), Label::Trans).unwrap();
    assert_eq!((task.relaxation, task.same), (Some(0.25), None));
    let expected: Vec<f64> = (0..200).map(|n: usize| f64::from(n.is_multiple_of(2))).collect();
    assert_eq!(task.labels, expected, "each pair's rows are parted by its own t*");

    // Validation rows would call for another t*: all the same label at 0.25, parted at 0.5.
    let apart = |n: usize| (if n.is_multiple_of(2) { 0.5 } else { 0.0 }, 1.0);
    let corpus = corpus_of(&[own], 60, Some(apart));
    let task = Task::new(&corpus, &Sides::apart(corpus.hashes(), 60), Label::Trans).unwrap();
    assert_eq!(task.relaxation, Some(0.25));
    assert_eq!(task.labels[60..], [0.0; 60]);
    let binary = |n: usize| (f64::from(n.is_multiple_of(2)), 1.0);
    let task = labelled(&corpus_of(&[binary, own], 100, None), Label::Trans).unwrap();
    assert_eq!((task.relaxation, task.same), (Some(0.0), None), "the other pair's labels are relaxed");
    let task = labelled(&corpus_of(&[binary, binary], 100, None), Label::Trans).unwrap();
    assert_eq!(task.same, Some(Same::TwoQualities));
}

#[test]
fn the_constant_to_beat_is_the_own_pairs() {
    // The own pair's small model keeps up with every fourth query, the other's with all but every fourth.
    let own = |n: usize| (f64::from(n.is_multiple_of(4)), 1.0);
    let other = |n: usize| (f64::from(!n.is_multiple_of(4)), 1.0);
    let corpus = corpus_of(&[own, other], 400, None);
    let task = labelled(&corpus, Label::Det).unwrap();
    let n = corpus.rows.len();
    let embeddings = Embeddings { numbers: vec![0.0; n], tokens: vec![5; n] };
    let trained = train(&task, &corpus, embeddings, 1, (1, 0), || {});
    let of_own: Vec<f64> =
        task.of(&task.train).zip(&task.train).filter(|(_, row)| **row < 400).map(|(y, _)| y).collect();
    let rate = of_own.iter().sum::<f64>() / of_own.len() as f64;
    assert!(rate < 0.3, "{rate}");
    for score in &trained.scores {
        assert!((score - rate).abs() < 1e-6, "an embedding that says nothing leaves the base rate: {score}");
    }
    let Validation { bce, bce_constant, .. } = trained.validation;
    assert!((bce - bce_constant).abs() < 1e-6, "{bce} and {bce_constant}");
}

#[test]
fn rows_that_teach_nothing_are_an_error_before_any_work() {
    let fault = |corpus: &Corpus, kind| labelled(corpus, kind).unwrap_err();
    assert!(matches!(fault(&corpus(20, |n| ((n % 2) as f64, 1.0)), Label::Det), TaskError::Few { .. }));
    let better = corpus(60, |n| (0.5 + n as f64, 0.0));
    assert_eq!(fault(&better, Label::Det), TaskError::Alike { label: 1.0 });
    assert!(labelled(&better, Label::Gap).is_ok(), "the gaps differ");
    let trained_on = corpus(60, |n| ((n % 2) as f64, 1.0));
    let found = Task::new(&trained_on, &Sides(vec![Side::Train; 60]), Label::Det);
    assert_eq!(found.unwrap_err(), TaskError::NoValidation);
}

#[test]
fn what_is_scarce_or_the_same_is_told() {
    let warnings = |kind| labelled(&corpus(200, |n| (f64::from(n % 10 != 0), 1.0)), kind).unwrap().warnings();
    insta::assert_snapshot!(warnings(Label::Det).join("\n"), @"
    only 14 of 156 rows have a label below 0.5: there is little to learn from
    only 44 rows validate: the figures will be rough
    ");
    insta::assert_snapshot!(warnings(Label::Prob).join("\n"), @"
    each model has one response a query, so prob is the same as det here
    only 14 of 156 rows have a label below 0.5: there is little to learn from
    only 44 rows validate: the figures will be rough
    ");
    insta::assert_snapshot!(warnings(Label::Trans).join("\n"), @"
    qualities have only two values, so trans is the same as prob here
    only 14 of 156 rows have a label below 0.5: there is little to learn from
    only 44 rows validate: the figures will be rough
    ");
    let rich = corpus(1000, |n| ((n % 2) as f64, 0.5));
    assert!(labelled(&rich, Label::Det).unwrap().warnings().is_empty());
}
