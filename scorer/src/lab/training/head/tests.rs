//! Heads against known solutions, and the gradient against differences.

use proptest::prelude::*;

use super::*;
use crate::lab::{data::split::FOLDS, figures::measure::auc};

fn examples(dim: usize, rows: &[(Vec<f32>, u32, f64, usize)]) -> Examples {
    Examples {
        dim,
        embeddings: rows.iter().flat_map(|row| row.0.clone()).collect(),
        tokens: rows.iter().map(|row| row.1).collect(),
        labels: rows.iter().map(|row| row.2).collect(),
        sources: rows.iter().map(|row| row.3).collect(),
    }
}

fn all(examples: &Examples) -> Vec<usize> {
    (0..examples.len()).collect()
}

/// Rows whose label's expectation is the sigmoid of 3·x₀ − 2·x₁; the other numbers are noise.
fn generated(n: usize, dim: usize, seed: u64) -> Examples {
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    let rows: Vec<_> = (0..n)
        .map(|_| {
            let x: Vec<f32> = (0..dim).map(|_| 4.0 * random() - 2.0).collect();
            let label = f64::from(f64::from(random()) < sigmoid(f64::from(3.0 * x[0] - 2.0 * x[1])));
            (x, 8 + (random() * 100.0) as u32, label, 0)
        })
        .collect();
    examples(dim, &rows)
}

#[test]
fn a_feature_of_two_values_gets_the_log_odds() {
    // With next to no penalty the scores are the mean labels: 0.25 where x is 0, 0.9 where it is 1.
    let rows: Vec<_> = [(0.0, 0.2), (0.0, 0.3), (1.0, 0.8), (1.0, 1.0)].map(|(x, y)| (vec![x], 5, y, 0)).to_vec();
    let examples = examples(1, &rows);
    let (head, converged) = train(&examples, &all(&examples), Setting { strength: 1e-9, length: false });
    assert!(converged);
    let logit = |p: f64| (p / (1.0 - p)).ln();
    assert!((head.bias - logit(0.25)).abs() < 1e-3, "{}", head.bias);
    assert!((head.weights[0] - (logit(0.9) - logit(0.25))).abs() < 1e-3, "{:?}", head.weights);
}

#[test]
fn weights_are_found_again_and_stronger_penalties_make_them_smaller() {
    let examples = generated(4000, 3, 7);
    let heads =
        [1e-6, 0.1, 10.0].map(|strength| train(&examples, &all(&examples), Setting { strength, length: false }).0);
    let [free, held, crushed] = &heads;
    assert!((free.weights[0] - 3.0).abs() < 0.3 && (free.weights[1] + 2.0).abs() < 0.3, "{:?}", free.weights);
    assert!(free.weights[2].abs() < 0.2);
    let size = |head: &Head| head.weights.iter().map(|w| w * w).sum::<f64>();
    assert!(size(free) > size(held) && size(held) > size(crushed));
}

#[test]
fn length_alone_can_be_learnt() {
    let rows: Vec<_> =
        (1..200).map(|tokens| (vec![0.0], tokens, sigmoid(2.0 - f64::from(tokens).ln_1p()), 0)).collect();
    let examples = examples(1, &rows);
    let (head, _) = train(&examples, &all(&examples), Setting { strength: 1.0, length: true });
    assert!((head.log_tokens.unwrap() + 1.0).abs() < 1e-2 && (head.bias - 2.0).abs() < 5e-2, "{head:?}");
    assert_eq!(head.weights, [0.0], "a number that never varies has no say");
}

#[test]
fn sources_have_their_own_intercepts_and_the_first_one_is_served() {
    // In both sources the label grows with x; the second is easier throughout, and its queries have lower x.
    let of = |x: f32, source: usize| {
        let label = sigmoid(f64::from(x) + if source == 1 { 4.0 } else { -1.0 });
        (vec![x - 2.0 * source as f32], 9, label, source)
    };
    let rows: Vec<_> = (-20..=20).flat_map(|x| [of(x as f32 / 10.0, 0), of(x as f32 / 10.0, 1)]).collect();
    let examples = examples(1, &rows);
    let rows = all(&examples);
    let (head, _) = train(&examples, &rows, Setting { strength: 1e-6, length: false });
    assert!(head.weights[0] > 0.9, "inside a source the label grows: {head:?}");
    assert!(head.intercepts[1] > head.intercepts[0] + 3.0);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let scores = |head: &Head, rows: &[usize]| -> Vec<f64> {
        examples.iter(rows).map(|example| sigmoid(head.logit(&example))).collect()
    };
    let (own, other): (Vec<usize>, Vec<usize>) = rows.iter().partition(|row| examples.sources[**row] == 0);
    let labels = |rows: &[usize]| -> Vec<f64> { examples.iter(rows).map(|example| example.label).collect() };
    assert!((mean(&scores(&head, &own)) - mean(&labels(&own))).abs() < 1e-9, "the score is the own pair's probability");
    assert!((head.bias - head.intercepts[0]).abs() < 1e-3, "{head:?}");
    let (head, _) = train(&examples, &other, Setting { strength: 1e-6, length: false });
    assert!(
        (mean(&scores(&head, &other)) - mean(&labels(&other))).abs() < 1e-9,
        "where there is no other, all rows count"
    );
}

#[test]
fn own_labels_that_are_all_the_same_leave_scores_that_differ() {
    let other = |x: f32| (vec![x], 5, sigmoid(f64::from(x)), 1);
    let rows: Vec<_> = (-20..=20).map(|x| x as f32 / 10.0).flat_map(|x| [(vec![x], 5, 1.0, 0), other(x)]).collect();
    let examples = examples(1, &rows);
    let (head, _) = train(&examples, &all(&examples), Setting { strength: 1e-6, length: false });
    let scores: Vec<f32> = examples.iter(&all(&examples)).map(|example| sigmoid(head.logit(&example)) as f32).collect();
    assert!(scores[0] < scores[scores.len() - 1] && scores[0] > 0.9, "{scores:?}");
    assert!((base_rate(&examples, &all(&examples)).1 - 40.5 / 41.0).abs() < 1e-12);
}

#[test]
fn labels_that_are_all_the_same_stay_finite() {
    let rows: Vec<_> = (0..30).map(|x| (vec![x as f32], 5, 1.0, 0)).collect();
    let examples = examples(1, &rows);
    let (head, _) = train(&examples, &all(&examples), Setting { strength: 0.1, length: true });
    assert!(
        examples.iter(&all(&examples)).all(|example| head.logit(&example).is_finite() && head.logit(&example) > 2.0)
    );
}

#[test]
fn validation_prefers_what_holds_on_rows_not_seen() {
    // More noise than rows can tell apart: the weakest penalty learns it by heart.
    let examples = generated(120, 60, 3);
    let rows = all(&examples);
    let done = std::sync::atomic::AtomicUsize::new(0);
    let count = || {
        done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let choice = choose(&examples, &rows, |row| row % FOLDS, 2, count);
    assert_eq!(done.into_inner(), fits());
    let of = |strength: f64| choice.path.iter().find(|tried| tried.strength == strength && !tried.length).unwrap();
    let best = of(choice.setting.strength);
    assert!(of(0.01).bce > best.bce && of(30.0).bce > best.bce, "{:?}", choice.path);
    assert!(best.auc.unwrap() > 0.75);
    assert_eq!(choose(&examples, &rows, |row| row % FOLDS, 1, || {}), choice, "threads do not change it");
}

#[test]
fn telling_sources_apart_is_no_ranking() {
    let (scores, labels) = ([0.1, 0.2, 0.9, 0.8], [0.0, 0.1, 0.9, 1.0]);
    assert!(auc(&scores, &labels).unwrap() > 0.9);
    assert_eq!(ranking(&scores, &labels, &[0, 0, 1, 1]), Some(0.5));
    assert_eq!(ranking(&[], &[], &[]), None);
}

proptest! {
    #[test]
    fn the_gradient_is_that_of_the_loss(
        point in prop::collection::vec(-1.0..1.0_f64, 6),
        strength in 1e-3..10.0_f64,
        seed in any::<u64>(),
    ) {
        let mut examples = generated(12, 3, seed);
        examples.sources = (0..12).map(|row| row % 2).collect();
        examples.labels = (0..12).map(|row| f64::from(row) / 11.0).collect();
        let rows = all(&examples);
        let problem = Problem::new(&examples, &rows, true);
        let mut gradient = vec![0.0; 6];
        problem.loss(strength, &point, &mut gradient);
        for at in 0..point.len() {
            let moved = |by: f64| {
                let mut moved = point.clone();
                moved[at] += by;
                problem.loss(strength, &moved, &mut [0.0; 6])
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            prop_assert!((slope - gradient[at]).abs() < 1e-6 * (1.0 + slope.abs()), "{at}: {slope} and {}", gradient[at]);
        }
    }

    #[test]
    fn at_the_minimum_the_gradient_vanishes(seed in any::<u64>(), strength in 1e-3..10.0_f64) {
        let examples = generated(60, 4, seed);
        let rows = all(&examples);
        let (_, minimum) = Problem::new(&examples, &rows, false).fit(strength, KEPT, None);
        prop_assert!(minimum.converged);
    }
}
