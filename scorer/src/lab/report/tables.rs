//! The tables of figures.

use maud::{Markup, html};

use super::{
    CalibrationBin, DROP_SHARES, Figure, Promise, Ranking, SetReport,
    format::{UNDEFINED, interval, number, part, percent, percent_interval, whole_percent},
    words::Outcome,
};

/// The most rows of the promises' table: a calibration table can have a row for every score.
const MAX_PROMISES: usize = 21;

/// A table in a box of its own, which scrolls sideways where the page is narrow.
pub(super) fn scrolling(label: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(label) tabindex="0" { (table) } }
}

/// A value with its interval, if it has one, below it.
pub(super) fn cell(figure: Option<Figure>, value: fn(f64) -> String, range: fn(Figure) -> String) -> Markup {
    match figure.filter(|figure| figure.value.is_finite()) {
        Some(figure) => html! {
            (value(figure.value))
            @if figure.has_interval() { " " span.interval { "(" (range(figure)) ")" } }
        },
        None => html! { (UNDEFINED) },
    }
}

fn thousandths(value: f64) -> String {
    number(value, 3)
}

/// The figures of a set: a row for each router and each baseline.
pub(super) fn figures(set: &SetReport) -> Markup {
    let routers = set.routers.iter().map(|router| (router.name.as_str(), &router.ranking));
    let baselines = set.baselines.iter().flat_map(|baselines| {
        [("random", &baselines.random), ("query length", &baselines.length), ("oracle", &baselines.oracle)]
    });
    let rows: Vec<(&str, &Ranking)> = routers.chain(baselines).collect();
    let drops = DROP_SHARES.map(|share| format!("Drop at {}", whole_percent(share)));
    let table = html! {
        table.cards {
            thead {
                tr {
                    th scope="col" { "Ranked by" }
                    th scope="col" { "APGR" }
                    th scope="col" { "Of the oracle’s gain" }
                    th scope="col" { "CPT50" }
                    th scope="col" { "CPT80" }
                    @for name in &drops { th scope="col" { (name) } }
                    th scope="col" { "AUC" }
                    th scope="col" { "Rank correlation" }
                }
            }
            tbody {
                @for (name, ranking) in rows {
                    tr {
                        th scope="row" { (name) }
                        td data-label="APGR" { (cell(ranking.apgr, thousandths, |figure| interval(figure, thousandths))) }
                        td data-label="Of the oracle’s gain" { (cell(ranking.agreement.oracle_share, percent, percent_interval)) }
                        td data-label="CPT50" { (cell(ranking.cpt50.map(part), percent, percent_interval)) }
                        td data-label="CPT80" { (cell(ranking.cpt80.map(part), percent, percent_interval)) }
                        @for (name, drop) in drops.iter().zip(ranking.drop_at) {
                            td data-label=(name) { (cell(drop, percent, percent_interval)) }
                        }
                        td data-label="AUC" { (cell(ranking.agreement.auc, thousandths, |figure| interval(figure, thousandths))) }
                        td data-label="Rank correlation" {
                            (cell(ranking.agreement.spearman, thousandths, |figure| interval(figure, thousandths)))
                        }
                    }
                }
            }
        }
    };
    html! {
        div {
            (scrolling("Figures", &table))
            p.note {
                "APGR: average performance gap recovered; 1 is all of it, chance recovers about half. CPT50, CPT80: the share of \
                 calls to the large model that recovers 50 or 80\u{a0}% of the gap; lower is better. Drop: at so much cost advantage. AUC: \
                 how often a query whose small response is as good as the large one’s scores above one whose is not. Rank \
                 correlation: Spearman’s, of the score with the quality gap, or the column that was named. \
                 In brackets: 95\u{a0}% intervals."
            }
        }
    }
}

/// The bins of a calibration curve.
pub(super) fn calibration(bins: &[CalibrationBin]) -> Markup {
    let table = html! {
        table.numbers {
            thead {
                tr {
                    th scope="col" { "Mean score" }
                    th scope="col" { "Good enough" }
                    th scope="col" { "Queries" }
                }
            }
            tbody {
                @for bin in bins {
                    tr {
                        th scope="row" { (number(bin.predicted, 3)) }
                        td { (cell(Some(bin.observed), percent, percent_interval)) }
                        td { (bin.n) }
                    }
                }
            }
        }
    };
    scrolling("Calibration curve", &table)
}

/// What was promised at each threshold, and what was measured.
pub(super) fn promises(promises: &[Promise]) -> Markup {
    let step = promises.len().div_ceil(MAX_PROMISES).max(1);
    let table = html! {
        table.numbers {
            thead {
                tr {
                    th scope="col" { "Threshold" }
                    th scope="col" { "At small, here " span.interval { "(promised)" } }
                    th scope="col" { "Drop, here " span.interval { "(interval)" } }
                    th scope="col" { "Drop, at most " span.interval { "(calibrated)" } }
                    th scope="col" { "Promise" }
                }
            }
            tbody {
                @for promise in promises.iter().step_by(step) {
                    tr {
                        th scope="row" { (number(promise.threshold, 3)) }
                        td { (beside(Some(promise.measured_share), Some(promise.promised_share))) }
                        td { (cell(promise.measured_drop, percent, percent_interval)) }
                        td { (beside(promise.promised_upper, promise.promised_drop)) }
                        td { (Outcome::of(promise).name()) }
                    }
                }
            }
        }
    };
    html! {
        (scrolling("Promise and measurement", &table))
        @if step > 1 { p.note { "One row in " (step) " of the calibration table’s " (promises.len()) "." } }
    }
}

/// A share, and below it another to compare it with.
fn beside(value: Option<f64>, other: Option<f64>) -> Markup {
    html! {
        (value.map_or(UNDEFINED.to_owned(), percent))
        @if let Some(other) = other { " " span.interval { "(" (number(other * 100.0, 1)) ")" } }
    }
}
