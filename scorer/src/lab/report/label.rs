//! The label report: how the relaxation t* was chosen, and what it does to the labels.

use super::BINS;

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
    pub curve: Vec<SpreadPoint>,
    /// t*, the t that was chosen.
    pub chosen: f64,
    /// How many labels y(0), those of r_prob, are in each of [`BINS`] bins over [0, 1]; [`label_histogram`] counts them.
    pub before: [u64; BINS],
    /// How many labels y(t*), those of r_trans, are in each bin.
    pub after: [u64; BINS],
}

/// How far the labels are apart at one t.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpreadPoint {
    /// The relaxation t, in units of quality.
    pub t: f64,
    /// (1/N²) Σᵢ Σⱼ abs(yᵢ(t) − yⱼ(t)), in [0, 0.5].
    pub mean_difference: f64,
}

/// Counts labels in [`BINS`] bins of equal width over [0, 1]; one that is no number counts nowhere.
pub fn label_histogram(labels: impl IntoIterator<Item = f64>) -> [u64; BINS] {
    let mut counts = [0; BINS];
    for label in labels.into_iter().filter(|label| !label.is_nan()) {
        if let Some(count) = counts.get_mut(super::bins::bin(label)) {
            *count += 1;
        }
    }
    counts
}
