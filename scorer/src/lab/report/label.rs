//! The label report: how the relaxation t* was chosen, and what it does to the labels.

use super::{
    BINS,
    format::{self, tick},
};
use crate::lab::training::label::Spread;

/// All that the label page and its plain-text form show.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelReport {
    /// The page's title.
    pub title: String,
    /// The small model's name.
    pub small: String,
    /// The large model's name.
    pub large: String,
    /// The number of queries.
    pub n: usize,
    /// Whether every quality is 0 or 1, so that relaxing by less than 1 changes no label.
    pub binary: bool,
    /// The mean absolute pairwise difference of the labels at every t of the grid, by ascending t.
    pub curve: Vec<Spread>,
    /// t*, the t that was chosen.
    pub chosen: f64,
    /// How many labels y(0), those of r_prob, are in each of [`BINS`] bins over [0, 1]; [`crate::lab::figures::shares::counts`] counts
    /// them.
    pub before: [u64; BINS],
    /// How many labels y(t*), those of r_trans, are in each bin.
    pub after: [u64; BINS],
}

impl LabelReport {
    /// The point at t*, or else the nearest.
    pub(super) fn chosen_point(&self) -> Option<Spread> {
        let far = |point: &Spread| (point.t - self.chosen).abs();
        self.curve.iter().copied().min_by(|a, b| far(a).total_cmp(&far(b)))
    }

    /// What the curve says, in a paragraph.
    pub(super) fn reading(&self) -> String {
        let mut text = format!("{}.", format::queries(self.n));
        let highest = self.curve.iter().map(|point| point.difference).fold(f64::NEG_INFINITY, f64::max);
        let (Some(first), Some(chosen)) = (self.curve.first(), self.chosen_point()) else {
            return text + " No t was tried, so there is no curve.";
        };
        if highest <= 0.0 {
            text.push_str(" All queries have the same label at every t, so there is nothing to learn from them.");
        } else if self.binary {
            text.push_str(
                " There are only two qualities, so a label is the same for every t that does not make all of them 1, and relaxing changes nothing: r_trans equals r_prob.",
            );
        } else if self.chosen == 0.0 {
            text.push_str(
                " No relaxation spreads the labels further than none does: t* = 0, and r_trans equals r_prob.",
            );
        } else {
            text.push_str(&format!(
                " Two labels differ by {} on average at t = {}, and by {} at t* = {}, the most of all t tried.",
                format::number(first.difference, 3),
                tick(first.t),
                format::number(chosen.difference, 3),
                tick(chosen.t),
            ));
        }
        text
    }

    /// No more than `most` points of the curve, evenly, the chosen one among them.
    pub(super) fn points(&self, most: usize) -> Vec<Spread> {
        let step = self.curve.len().div_ceil(most.max(1)).max(1);
        let chosen = self.chosen_point();
        let rows = self.curve.iter().zip(0_usize..);
        rows.filter(|(point, index)| index % step == 0 || chosen == Some(**point)).map(|(point, _)| *point).collect()
    }
}
