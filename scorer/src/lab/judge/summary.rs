//! The summary of grading.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Graded;
use crate::lab::pair::Tier;

/// From so many different qualities on they are told by their quantiles, not one by one.
const FEW: usize = 11;

/// What grading came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Queries with grades of every model.
    pub queries: usize,
    /// Queries that were left out, since a response or a grade is missing.
    pub left_out: usize,
    /// The models, small first where the responses say which is which, else by name.
    pub models: Vec<ModelSummary>,
    /// How the models compare, where there are two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairSummary>,
}

/// The qualities of one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelSummary {
    /// The model's name.
    pub model: String,
    /// Graded responses.
    pub responses: usize,
    /// Their mean quality.
    pub mean: f64,
    /// The quality, and how many responses have it; or, where there are many qualities, minimum, quartiles and maximum.
    pub distribution: Distribution,
}

/// How qualities are spread.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Each quality, and how many responses have it.
    Counts(Vec<(f64, usize)>),
    /// Minimum, quartiles and maximum.
    Quartiles([f64; 5]),
}

/// How the mean qualities of two models compare, in shares of the queries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairSummary {
    /// Where the first one's is higher.
    pub first_better: f64,
    /// Where they are the same.
    pub equal: f64,
    /// Where the second one's is higher.
    pub second_better: f64,
}

impl Graded {
    /// What it came to.
    pub fn summary(&self) -> Summary {
        let mut names: Vec<&String> = self.rows.first().map(|row| row.quality.keys().collect()).unwrap_or_default();
        // The sort is stable: models that are no tier stay in the order of their names.
        names.sort_by_key(|model| self.tiers.get(*model) == Some(&Tier::Large));
        let qualities = |model: &str| -> Vec<f64> {
            self.rows.iter().filter_map(|row| row.quality.get(model)).flatten().copied().collect()
        };
        let models = names.iter().map(|model| ModelSummary::of(model, qualities(model))).collect();
        let pair = match names.as_slice() {
            [first, second] => Some(self.pair(first, second)),
            _ => None,
        };
        Summary { queries: self.rows.len(), left_out: self.left_out, models, pair }
    }

    /// The grade that all responses have, where it is one and the same.
    pub fn only_grade(&self) -> Option<f64> {
        let mut grades = self.rows.iter().flat_map(|row| row.quality.values()).flatten();
        let first = *grades.next()?;
        grades.all(|grade| *grade == first).then_some(first)
    }

    fn pair(&self, first: &str, second: &str) -> PairSummary {
        let mean = |quality: &BTreeMap<String, Vec<f64>>, model: &str| quality.get(model).map_or(0.0, |all| mean(all));
        let [mut first_better, mut second_better] = [0.0; 2];
        for row in &self.rows {
            let (first, second) = (mean(&row.quality, first), mean(&row.quality, second));
            first_better += f64::from(u8::from(first > second));
            second_better += f64::from(u8::from(second > first));
        }
        let all = self.rows.len() as f64;
        let (first_better, second_better) = (first_better / all, second_better / all);
        PairSummary { first_better, equal: 1.0 - first_better - second_better, second_better }
    }
}

impl ModelSummary {
    fn of(model: &str, mut qualities: Vec<f64>) -> Self {
        qualities.sort_by(f64::total_cmp);
        let mut counts: Vec<(f64, usize)> = Vec::new();
        for quality in &qualities {
            match counts.last_mut() {
                Some((last, count)) if last == quality => *count += 1,
                _ => counts.push((*quality, 1)),
            }
        }
        let quantile = |share: f64| {
            let place = (share * (qualities.len().saturating_sub(1)) as f64).round() as usize;
            qualities.get(place).copied().unwrap_or_default()
        };
        let distribution = if counts.len() <= FEW {
            Distribution::Counts(counts)
        } else {
            Distribution::Quartiles([0.0, 0.25, 0.5, 0.75, 1.0].map(quantile))
        };
        Self { model: model.to_owned(), responses: qualities.len(), mean: mean(&qualities), distribution }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::judge::GradedRow;

    fn graded(rows: &[(&[f64], &[f64])]) -> Graded {
        let row = |(index, (big, tiny)): (usize, &(&[f64], &[f64]))| {
            let quality = BTreeMap::from([("a-big".to_owned(), big.to_vec()), ("b-tiny".to_owned(), tiny.to_vec())]);
            GradedRow { id: index.to_string(), source: "s".to_owned(), query: "q".to_owned(), quality }
        };
        let tiers = BTreeMap::from([("a-big".to_owned(), Tier::Large), ("b-tiny".to_owned(), Tier::Small)]);
        Graded { rows: rows.iter().enumerate().map(row).collect(), left_out: 2, tiers }
    }

    #[test]
    fn the_small_model_comes_first_and_means_are_compared() {
        let graded = graded(&[
            (&[1.0, 1.0], &[1.0, 0.0]),
            (&[0.0, 1.0], &[1.0, 0.0]),
            (&[1.0, 1.0], &[0.0, 0.0]),
            (&[0.0, 0.0], &[1.0, 1.0]),
        ]);
        let summary = graded.summary();
        assert_eq!((summary.queries, summary.left_out), (4, 2));
        let [tiny, big] = summary.models.as_slice() else { panic!("two models") };
        assert_eq!((tiny.model.as_str(), tiny.responses, tiny.mean), ("b-tiny", 8, 0.5));
        assert_eq!((big.model.as_str(), big.mean), ("a-big", 0.625));
        assert_eq!(big.distribution, Distribution::Counts(vec![(0.0, 3), (1.0, 5)]));
        assert_eq!(summary.pair, Some(PairSummary { first_better: 0.25, equal: 0.25, second_better: 0.5 }));
        assert_eq!(graded.only_grade(), None);
    }

    #[test]
    fn many_qualities_are_told_by_quartiles() {
        let many: Vec<f64> = (0..101).map(f64::from).collect();
        let graded = graded(&[(&many, &[3.0])]);
        let summary = graded.summary();
        assert_eq!(summary.models[1].distribution, Distribution::Quartiles([0.0, 25.0, 50.0, 75.0, 100.0]));
    }

    #[test]
    fn one_and_the_same_grade_is_noticed() {
        assert_eq!(graded(&[(&[1.0], &[1.0]), (&[1.0], &[1.0])]).only_grade(), Some(1.0));
    }
}
