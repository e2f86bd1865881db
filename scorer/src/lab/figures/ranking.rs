//! The figures of one way to rank queries.

use super::{figure::Figure, sweep::SHARES};

/// The figures of one way to rank queries; see [`Figures`](super::sweep::Figures) for what each means. `None`: not defined on these queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// Average performance gap recovered: 0.5 is random, more is better.
    pub apgr: Option<Figure>,
    /// Per cent of calls to the large model that recover half of the gap; less is better.
    pub cpt50: Option<Figure>,
    /// Per cent of calls to the large model that recover 80 % of the gap; less is better.
    pub cpt80: Option<Figure>,
    /// The quality drop at each of [`SHARES`], as a part of the large model's mean quality.
    pub drop_at: [Option<Figure>; SHARES.len()],
    /// How well its order agrees with the outcomes.
    pub agreement: Agreement,
    /// The error–cost curve, by ascending small share; empty where drops are not defined.
    pub curve: Vec<CurvePoint>,
}

/// How well an order of the queries agrees with their outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Agreement {
    /// The share of the oracle's gain over chance: (APGR − 0.5) ÷ (the oracle's − 0.5); 0 is random, 1 the oracle. `None` where
    /// the oracle gains nothing.
    pub oracle_share: Option<Figure>,
    /// The area under the ROC curve: the chance that a query whose small response is as good as the large one's scores above one
    /// whose is not. 0.5 is random.
    pub auc: Option<Figure>,
    /// Spearman's rank correlation of the score with E[H(x)], or with the column that was given; 0 is random.
    pub spearman: Option<Figure>,
}

/// A point of an error–cost curve: the paper's figure 5.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// The cost advantage: the share of queries sent to the small model, in `[0, 1]`.
    pub small_share: f64,
    /// The quality drop there.
    pub drop: Figure,
}
