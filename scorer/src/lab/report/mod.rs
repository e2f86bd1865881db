//! Reports: what `evaluate` and `label` measured, as self-contained pages; what goes into the first is here.
//!
//! Nothing is computed from queries here and nothing is read or written: plain figures in, text out.

mod bins;
mod carried;
mod charts;
mod cost;
mod format;
mod groups;
mod label;
mod label_page;
mod page;
mod plot;
mod tables;
mod text_plot;
mod words;

pub use crate::lab::figures::evaluate::{Agreement, Baselines, CurvePoint, Figure, Ranking};
pub use crate::lab::figures::shares::BINS;
pub use crate::lab::figures::sweep::SHARES as DROP_SHARES;
pub use crate::lab::price::Price;
pub use bins::{CalibrationBin, ScoreHistogram, calibration_curve};
pub use label::LabelReport;
pub use label_page::label_page;
pub use page::page;
pub use text_plot::label_text;

impl Figure {
    /// Whether there is an interval that says something: one with a width.
    fn has_interval(&self) -> bool {
        self.low < self.high
    }
}

/// All that the page shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The page's title.
    pub title: String,
    /// The small model's name.
    pub small: String,
    /// The large model's name.
    pub large: String,
    /// What the models cost; `None`: the page shows costs relative to all-at-large = 100.
    pub prices: Option<Prices>,
    /// The sets of query data, in the order they are shown.
    pub sets: Vec<SetReport>,
}

/// What the models of the pair cost. The page lets its reader change every number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// The small model's price.
    pub small: Price,
    /// The large model's price.
    pub large: Price,
    /// The mean length of a query with its context, in tokens.
    pub input_tokens: f64,
    /// The mean length of a response, in tokens.
    pub output_tokens: f64,
}

/// One set of query data, with one or several routers side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct SetReport {
    /// The set's name, such as its file's.
    pub name: String,
    /// The number of queries.
    pub n: usize,
    /// The mean quality of the small model's responses.
    pub quality_small: Figure,
    /// The mean quality of the large model's responses.
    pub quality_large: Figure,
    /// The routers, in the order they are shown; the first is the one the reading in words is about.
    pub routers: Vec<RouterReport>,
    /// What the routers are compared with; `None`: not asked for.
    pub baselines: Option<Baselines>,
    /// Parts of the queries, in the order they are shown.
    pub groups: Vec<GroupReport>,
    /// What became of the routers on other pairs.
    pub carried: Vec<CarriedReport>,
}

/// The queries of one kind or language.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupReport {
    /// What they are grouped by, such as `kind`.
    pub by: &'static str,
    /// What these have in common.
    pub name: String,
    /// How many they are.
    pub n: usize,
    /// The mean quality of the small model's responses.
    pub quality_small: Figure,
    /// The mean quality of the large model's responses.
    pub quality_large: Figure,
    /// The routers' figures, in the set's order.
    pub routers: Vec<Ranking>,
}

/// Routers on a pair that they were not made for.
#[derive(Debug, Clone, PartialEq)]
pub struct CarriedReport {
    /// The other pair's small model.
    pub small: String,
    /// The other pair's large model.
    pub large: String,
    /// How many queries have all four models.
    pub n: usize,
    /// Pearson's correlation of the quality gaps of the two pairs.
    pub correlation: Option<Figure>,
    /// The routers on their own pair, on these queries, in the set's order.
    pub own: Vec<Ranking>,
    /// The routers on the other pair.
    pub other: Vec<Ranking>,
}

/// What one router did on one set.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterReport {
    /// The router's name.
    pub name: String,
    /// Its figures and its error–cost curve.
    pub ranking: Ranking,
    /// Its scores, by outcome.
    pub scores: ScoreHistogram,
    /// Mean score against the observed share of queries whose small response is good enough, in bins of equal count by
    /// ascending score; [`calibration_curve`] makes it.
    pub calibration: Vec<CalibrationBin>,
    /// What the router's calibration table promises at its thresholds, and what came of it here; empty without a table.
    pub promises: Vec<Promise>,
    /// What an operator can choose from: ascending small shares, such as 0 % to 100 % by 5 %.
    pub operating_points: Vec<OperatingPoint>,
}

/// A row of the router's calibration table beside what was measured on this set at the same threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Promise {
    /// Queries that score at least this much go to small.
    pub threshold: f64,
    /// The share of queries that the table says go to small.
    pub promised_share: f64,
    /// The drop on the calibration queries, as a fraction.
    pub promised_drop: Option<f64>,
    /// The table's upper bound of the drop (95 % confidence), as a fraction.
    pub promised_upper: Option<f64>,
    /// The share of this set's queries that went to small.
    pub measured_share: f64,
    /// The drop measured on this set.
    pub measured_drop: Option<Figure>,
}

/// What routing does at one small share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatingPoint {
    /// The share of queries sent to small, in [0, 1].
    pub small_share: f64,
    /// The threshold that gives this share on this set; `None`: none does (no query goes to small).
    pub threshold: Option<f64>,
    /// The quality drop, as a fraction.
    pub quality_drop: Option<Figure>,
}
