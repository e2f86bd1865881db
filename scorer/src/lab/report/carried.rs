//! Results on other pairs: a table, and plots of the drops against the correlation of the quality gaps.

use maud::{Markup, html};

use super::{
    CarriedReport, Figure, SetReport,
    charts::figure,
    format::{percent, percent_interval, percent_tick, tick},
    groups::thousandths,
    plot::{Axis, Layer, Plot, Series, drawable},
    tables::{cell, scrolling},
};

/// Where the drops are shown, with their places in a ranking's figures.
const DROPS: [(&str, usize); 2] = [("20", 1), ("40", 2)];
/// What the paper has in section 4.7: the correlation of the gaps, and the drops at 20 and at 40 %, which are upper ends.
const PAPER: (f64, [f64; 2]) = (0.76, [0.016, 0.041]);

/// The other pairs of a set, where there are any.
pub(super) fn section(set: &SetReport, id: &str) -> Markup {
    html! {
        @if !set.carried.is_empty() {
            h3 { "On other pairs of models" }
            div.wide {
                div.plots { @for (share, place) in DROPS { (plot(set, share, place, id)) } }
                (table(set))
            }
        }
    }
}

fn drop_at(rankings: &[super::Ranking], router: usize, place: usize) -> Option<Figure> {
    rankings.get(router)?.drop_at.get(place).copied().flatten()
}

fn plot(set: &SetReport, share: &str, place: usize, id: &str) -> Markup {
    let points = |router: usize| -> Vec<(f64, Figure)> {
        let point = |pair: &CarriedReport| Some((pair.correlation?.value, drop_at(&pair.other, router, place)?));
        set.carried.iter().filter_map(point).filter(|(_, drop)| drawable(drop.value)).collect()
    };
    let all: Vec<_> = (0..set.routers.len()).map(|router| (Series::Router(router), points(router))).collect();
    let paper = (PAPER.0, Figure::bare(PAPER.1.get(place - 1).copied().unwrap_or_default()));
    let ends = all.iter().flat_map(|(_, points)| points).flat_map(|(_, drop)| [drop.value, drop.low, drop.high]);
    let y = Axis::around("quality drop, %", ends.chain([0.0, paper.1.value]), percent_tick);
    let layers = all.into_iter().map(|(series, points)| Layer::Points(series, points));
    let plot = Plot {
        id: format!("{id}-carried{share}"),
        title: format!("Drop at {share} % against the correlation of the quality gaps."),
        description: "A point a pair; the table has the numbers.".to_owned(),
        x: Axis { name: "correlation of the quality gaps", range: -1.0..1.0, format: tick },
        y,
        layers: layers.chain([Layer::Points(Series::Reference, vec![paper])]).collect(),
    };
    let names = set.routers.iter().zip(0..).map(|(router, place)| (Series::Router(place), router.name.clone()));
    let legend: Vec<_> = names.chain([(Series::Reference, "the paper’s pair, at most".to_owned())]).collect();
    figure(
        "A router serves another pair as far as its quality gaps go with those of its own.",
        &plot,
        &legend,
        &html! {},
    )
}

fn table(set: &SetReport) -> Markup {
    let several = set.routers.len() > 1;
    let table = html! {
        table.numbers {
            thead {
                tr {
                    th scope="col" { "Pair" }
                    @if several { th scope="col" { "Router" } }
                    th scope="col" { "Queries" }
                    th scope="col" { "Correlation of the gaps" }
                    @for (share, _) in DROPS {
                        th scope="col" { "Drop at " (share) "\u{a0}%" }
                        th scope="col" { "own pair’s" }
                    }
                }
            }
            tbody {
                @for pair in &set.carried {
                    @for (router, at) in set.routers.iter().zip(0_usize..) {
                        tr {
                            th scope="row" { (pair.small) " → " (pair.large) }
                            @if several { td { (router.name) } }
                            td { (pair.n) }
                            td { (thousandths(pair.correlation)) }
                            @for (_, place) in DROPS {
                                td { (cell(drop_at(&pair.other, at, place), percent, percent_interval)) }
                                td { (cell(drop_at(&pair.own, at, place), percent, percent_interval)) }
                            }
                        }
                    }
                }
            }
        }
    };
    html! {
        div {
            (scrolling("Other pairs", &table))
            p.note { "On the queries that have all four models." }
        }
    }
}
