//! The page of a label report.

use maud::{Markup, html};

use super::{
    BINS, LabelReport,
    charts::{figure, nothing},
    format::{self, number, percent_tick, tick},
    page::frame,
    plot::{Axis, Layer, Plot, Series, drawable},
    tables::scrolling,
};

/// The most rows of the table of the curve.
const MAX_ROWS: usize = 60;

/// A label report as an HTML page that needs nothing else; it has no script.
pub fn label_page(report: &LabelReport) -> String {
    let body = html! {
        header {
            h1 { (report.title) }
            p.lead {
                "A query’s label y(t) is the share of pairs of responses in which " strong.name { (report.small) } " is at most t worse than "
                strong.name { (report.large) } ". The relaxation t* is the t at which the labels are furthest apart: r_prob learns from \
                y(0), r_trans from y(t*)."
            }
            p.reading { (report.reading()) }
        }
        main {
            div.plots.labels {
                (curve(report))
                (histogram(report, "before", "Labels before: r_prob.", &report.before, Series::Router(1)))
                (histogram(report, "after", "Labels after: r_trans.", &report.after, Series::Router(0)))
            }
            details open { summary { "The numbers" } (table(report)) }
        }
    };
    frame(&report.title, &body, None)
}

fn curve(report: &LabelReport) -> Markup {
    let title = "How far the labels are apart.";
    let points: Vec<_> = report.curve.iter().map(|point| (point.t, point.difference)).collect();
    if !points.iter().any(|point| drawable(point.0) && drawable(point.1)) {
        return nothing(title, "No t was tried, so there is no curve.");
    }
    let heights = points.iter().map(|point| point.1).chain([0.0]);
    let plot = Plot {
        id: "spread".to_owned(),
        title: title.to_owned(),
        description: format!(
            "A line over t, highest at t* = {}. The table below has the numbers.",
            tick(report.chosen)
        ),
        x: Axis::around("t, in units of quality", points.iter().map(|point| point.0), tick),
        y: Axis::around("mean abs. pairwise difference", heights, tick).with_headroom(0.12),
        layers: vec![
            Layer::Mark(Series::Reference, report.chosen, format!("t* = {}", tick(report.chosen))),
            Layer::Line(Series::Router(0), points),
        ],
    };
    figure("The highest point is t*.", &plot, &[], &html! {})
}

fn histogram(report: &LabelReport, id: &str, title: &str, counts: &[u64; BINS], series: Series) -> Markup {
    let total = |counts: &[u64; BINS]| counts.iter().sum::<u64>();
    let shares = |counts: &[u64; BINS]| -> Vec<f64> {
        counts.iter().map(|count| *count as f64 / total(counts).max(1) as f64).collect()
    };
    if total(counts) == 0 {
        return nothing(title, "There are no labels.");
    }
    // Both histograms have one scale, to be compared.
    let highest = shares(&report.before).into_iter().chain(shares(&report.after)).fold(0.05_f64, f64::max);
    let first = format::whole_percent(shares(counts).first().copied().unwrap_or_default());
    let last = format::whole_percent(shares(counts).last().copied().unwrap_or_default());
    let width = tick(1.0 / BINS as f64);
    let caption =
        format!("{first} of the labels are below {width}, {last} are {} or more.", tick(1.0 - 1.0 / BINS as f64));
    let plot = Plot {
        id: id.to_owned(),
        title: title.to_owned(),
        description: "A histogram of the labels from 0 to 1.".to_owned(),
        x: Axis { name: "label", range: 0.0..1.0, format: tick },
        y: Axis { name: "share of queries, %", range: 0.0..highest * 1.08, format: percent_tick },
        layers: vec![Layer::Steps(series, shares(counts))],
    };
    figure(&caption, &plot, &[], &html! {})
}

fn table(report: &LabelReport) -> Markup {
    let points = report.points(MAX_ROWS);
    let chosen = report.chosen_point();
    let table = html! {
        table.numbers {
            thead {
                tr {
                    th scope="col" { "t" }
                    th scope="col" { "Mean abs. pairwise difference" }
                }
            }
            tbody {
                @for point in &points {
                    tr.chosen[chosen == Some(*point)] {
                        th scope="row" { (tick(point.t)) @if chosen == Some(*point) { " = t*" } }
                        td { (number(point.difference, 4)) }
                    }
                }
            }
        }
    };
    html! {
        (scrolling("The curve", &table))
        @if points.len() < report.curve.len() {
            p.note { (points.len()) " of the " (report.curve.len()) " values of t that were tried." }
        }
    }
}
