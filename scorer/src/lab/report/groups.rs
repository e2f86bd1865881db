//! Results by kind and language: a table with a plot of each router's AUC.

use maud::{Markup, html};

use super::{
    Figure, GroupReport, Ranking, SetReport,
    format::{interval, number, percent, percent_interval},
    plot::{Series, hex},
    tables::{cell, scrolling},
};

/// Width and height of a drawn interval, in tenths of a unit of the view.
const STRIP: (f64, f64) = (1600.0, 120.0);

/// The groups of a set, a table for each thing they are grouped by.
pub(super) fn section(set: &SetReport) -> Markup {
    let mut by: Vec<&str> = set.groups.iter().map(|group| group.by).collect();
    by.dedup();
    html! {
        @for by in by {
            h3 { "By " (by) }
            (table(set, by))
        }
        @if !set.groups.is_empty() {
            p.note {
                "Of the oracle’s gain: how much of the APGR above chance that the oracle reaches. AUC: how often a query whose small \
                 response is as good as the large one’s scores above one whose is not; the line in its middle is chance. Rank \
                 correlation: Spearman’s. Groups of few queries are left out."
            }
        }
    }
}

fn table(set: &SetReport, by: &str) -> Markup {
    let groups = set.groups.iter().filter(|group| group.by == by);
    let several = set.routers.len() > 1;
    let table = html! {
        table.numbers {
            thead {
                tr {
                    th scope="col" { (by) }
                    @if several { th scope="col" { "Router" } }
                    th scope="col" { "Queries" }
                    th scope="col" { "Small, large" }
                    th scope="col" { "APGR" }
                    th scope="col" { "Of the oracle’s gain" }
                    th scope="col" { "AUC" }
                    th scope="col" { "0 to 1" }
                    th scope="col" { "Rank correlation" }
                }
            }
            tbody {
                @for group in groups {
                    @for ((router, ranking), place) in set.routers.iter().zip(&group.routers).zip(0_usize..) {
                        (row(group, several.then_some(router.name.as_str()), ranking, place))
                    }
                }
            }
        }
    };
    scrolling(&format!("By {by}"), &table)
}

fn row(group: &GroupReport, router: Option<&str>, ranking: &Ranking, place: usize) -> Markup {
    let agreement = &ranking.agreement;
    html! {
        tr {
            th scope="row" { (group.name) }
            @if let Some(router) = router { td { (router) } }
            td { (group.n) }
            td { (number(group.quality_small.value, 3)) ", " (number(group.quality_large.value, 3)) }
            td { (thousandths(ranking.apgr)) }
            td { (cell(agreement.oracle_share, percent, percent_interval)) }
            td { (thousandths(agreement.auc)) }
            td { (strip(agreement.auc, Series::Router(place))) }
            td { (thousandths(agreement.spearman)) }
        }
    }
}

/// A figure with three decimals, and its interval.
pub(super) fn thousandths(figure: Option<Figure>) -> Markup {
    let three = |value: f64| number(value, 3);
    cell(figure, three, |figure| interval(figure, |value| number(value, 3)))
}

/// An interval in `[0, 1]` with its value, and a line at a half.
fn strip(figure: Option<Figure>, series: Series) -> Markup {
    let (width, height) = STRIP;
    let middle = height / 2.0;
    let color = hex(series.color());
    let at = |value: f64| number(value.clamp(0.0, 1.0) * width, 0);
    let drawn = figure.filter(|figure| figure.value.is_finite());
    html! {
        svg.strip xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {height}")) aria-hidden="true" {
            line x1="0" y1=(middle) x2=(width) y2=(middle) stroke="#DDDDDD" stroke-width="8" {}
            line x1=(width / 2.0) y1="0" x2=(width / 2.0) y2=(height) stroke="#333333" stroke-width="8" {}
            @if let Some(figure) = drawn {
                @if figure.has_interval() {
                    line x1=(at(figure.low)) y1=(middle) x2=(at(figure.high)) y2=(middle) stroke=(color) stroke-width="22" {}
                }
                circle cx=(at(figure.value)) cy=(middle) r="40" fill=(color) {}
            }
        }
    }
}
