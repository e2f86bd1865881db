//! The plots of a set: the error–cost curves, the scores by outcome, the calibration curve, and promises against measurements.

use maud::{Markup, html};

use super::{
    CurvePoint, RouterReport, ScoreHistogram, SetReport,
    format::{self, percent_tick, tick},
    plot::{Axis, Layer, Plot, Series, drawable, legend},
    tables, words,
};

/// A plot with what it shows in words, and its legend.
pub(super) fn figure(caption: &str, plot: &Plot, entries: &[(Series, String)], below: &Markup) -> Markup {
    html! {
        figure {
            figcaption { strong { (plot.title) } " " (caption) }
            (plot.svg())
            @if !entries.is_empty() { (legend(entries)) }
            (below)
        }
    }
}

/// What stands where there is nothing to draw.
pub(super) fn nothing(title: &str, why: &str) -> Markup {
    html! { figure { figcaption { strong { (title) } } p.note { (why) } } }
}

/// Quality drop against cost advantage, as in the paper's figure 5.
pub(super) fn error_cost(set: &SetReport, id: &str) -> Markup {
    let title = "Quality drop against cost advantage.";
    let mut curves: Vec<(Series, &str, &[CurvePoint])> = Vec::new();
    if let Some(baselines) = &set.baselines {
        curves.push((Series::Random, "random", &baselines.random.curve));
        curves.push((Series::Length, "query length", &baselines.length.curve));
        curves.push((Series::Oracle, "oracle", &baselines.oracle.curve));
    }
    let routers = set.routers.iter().enumerate();
    curves.extend(
        routers.map(|(index, router)| (Series::Router(index), router.name.as_str(), router.ranking.curve.as_slice())),
    );
    let drops = || curves.iter().flat_map(|(_, _, curve)| curve.iter().map(|point| point.drop.value));
    if !drops().any(drawable) {
        return nothing(title, "There is no curve to draw: the quality drop is not defined on this set.");
    }
    let bands = || {
        curves.iter().filter_map(|(series, _, curve)| {
            let points = curve.iter().map(|point| (point.small_share, point.drop.low, point.drop.high));
            let points: Vec<_> = points.filter(|(_, low, high)| low < high).collect();
            (matches!(series, Series::Router(_)) && !points.is_empty()).then_some((*series, points))
        })
    };
    let ends = bands().flat_map(|(_, points)| points).flat_map(|(_, low, high)| [low, high]);
    let y = Axis::around("quality drop, %", drops().chain(ends).chain([0.0]), percent_tick);
    let mut layers: Vec<_> = bands().map(|(series, points)| Layer::Band(series, points)).collect();
    let banded = !layers.is_empty();
    layers.extend(curves.iter().map(|(series, _, curve)| {
        Layer::Line(*series, curve.iter().map(|point| (point.small_share, point.drop.value)).collect())
    }));
    // The routers come first in the legend, and last in the plot, on top.
    let (routers, others): (Vec<_>, Vec<_>) =
        curves.iter().partition::<Vec<_>, _>(|(series, ..)| matches!(series, Series::Router(_)));
    let entries: Vec<_> =
        routers.into_iter().chain(others).map(|(series, name, _)| (series, name.to_owned())).collect();
    let names: Vec<_> = entries.iter().map(|(_, name)| name.as_str()).collect();
    let plot = Plot {
        id: format!("{id}-curve"),
        title: title.to_owned(),
        description: format!(
            "Lines from 0 to 100\u{a0}% of queries at the small model, one each for {}. The table of figures has the drop at \
             10, 20 and 40\u{a0}%.",
            names.join(", ")
        ),
        x: Axis::share("cost advantage: queries at the small model, %"),
        y,
        layers,
    };
    let caption = if banded { "Lower is better; shaded: 95\u{a0}% interval." } else { "Lower is better." };
    figure(caption, &plot, &entries, &html! {})
}

/// The scores of both outcomes: apart, where the router can tell them.
pub(super) fn scores(router: &RouterReport, id: &str) -> Markup {
    let title = "Scores by outcome.";
    let ScoreHistogram { good, poor } = &router.scores;
    let (good_n, poor_n) = (good.iter().sum::<u64>(), poor.iter().sum::<u64>());
    if good_n + poor_n == 0 {
        return nothing(title, "There are no scores.");
    }
    let shares = |counts: &[u64], total: u64| -> Vec<f64> {
        counts.iter().map(|count| *count as f64 / total.max(1) as f64).collect()
    };
    let mut layers = Vec::new();
    let mut entries = Vec::new();
    for (series, counts, total, name) in
        [(Series::Good, good, good_n, "small good enough"), (Series::Poor, poor, poor_n, "large better")]
    {
        if total > 0 {
            layers.push(Layer::Steps(series, shares(counts, total)));
        }
        entries.push((series, format!("{name}: {}", format::queries(usize::try_from(total).unwrap_or(usize::MAX)))));
    }
    let highest = shares(good, good_n).into_iter().chain(shares(poor, poor_n)).fold(0.05_f64, f64::max);
    let plot = Plot {
        id: format!("{id}-scores"),
        title: title.to_owned(),
        description:
            "Two histograms over scores from 0 to 1: queries whose small response is good enough, and the others."
                .to_owned(),
        x: Axis { name: "score", range: 0.0..1.0, format: tick },
        y: Axis { name: "share of the outcome’s queries, %", range: 0.0..highest * 1.08, format: percent_tick },
        layers,
    };
    figure(
        "The further apart, the better the router tells them.",
        &plot,
        &entries,
        &html! {
            p.reading { (words::separation(&router.scores)) }
        },
    )
}

/// The score against what came true.
pub(super) fn calibration(router: &RouterReport, id: &str) -> Markup {
    let title = "Calibration curve.";
    let bins = &router.calibration;
    if bins.is_empty() {
        return nothing(title, "There are no scores.");
    }
    let plot = Plot {
        id: format!("{id}-calibration"),
        title: title.to_owned(),
        description: format!(
            "{} points, each a bin of queries by score, against the diagonal on which a score is the true share. The table \
             below has the numbers.",
            bins.len()
        ),
        x: Axis { name: "mean score", range: 0.0..1.0, format: tick },
        y: Axis::share("small good enough, %"),
        layers: vec![
            Layer::Line(Series::Reference, vec![(0.0, 0.0), (1.0, 1.0)]),
            Layer::Points(Series::Good, bins.iter().map(|bin| (bin.predicted, bin.observed)).collect()),
        ],
    };
    let entries = [
        (Series::Good, "observed, with 95\u{a0}% interval".to_owned()),
        (Series::Reference, "score = share".to_owned()),
    ];
    figure(
        "On the line, a score is the share that is good enough.",
        &plot,
        &entries,
        &html! {
            p.reading { (words::calibration(bins)) }
            details {
                summary { "The numbers" }
                (tables::calibration(bins))
            }
        },
    )
}

/// What the router's calibration table promises, and what came of it.
pub(super) fn promises(router: &RouterReport, id: &str) -> Markup {
    let title = "Promise and measurement.";
    let promises = &router.promises;
    if promises.is_empty() {
        return nothing(title, "The router has no calibration table, so it promises no quality drop.");
    }
    let mut promises = promises.clone();
    promises.sort_by(|a, b| a.measured_share.total_cmp(&b.measured_share));
    let measured: Vec<_> = promises.iter().filter_map(|row| Some((row.measured_share, row.measured_drop?))).collect();
    let promised: Vec<_> = promises
        .iter()
        .filter_map(|row| Some((row.measured_share, row.promised_upper.or(row.promised_drop)?)))
        .collect();
    let banded = measured.iter().filter(|(_, drop)| drop.has_interval());
    let band: Vec<_> = banded.map(|(share, drop)| (*share, drop.low, drop.high)).collect();
    let caption = if band.is_empty() {
        "Kept where the measured line is below."
    } else {
        "Kept where the measured line is below; shaded: 95\u{a0}% interval."
    };
    let line: Vec<_> = measured.iter().map(|(share, drop)| (*share, drop.value)).collect();
    let values = band.iter().flat_map(|(_, low, high)| [*low, *high]).chain(promised.iter().map(|point| point.1));
    let values: Vec<_> = values.chain(line.iter().map(|point| point.1)).collect();
    if line.is_empty() || !values.iter().any(|value| drawable(*value)) {
        return nothing(title, &words::promises(&router.promises));
    }
    let plot = Plot {
        id: format!("{id}-promises"),
        title: title.to_owned(),
        description:
            "The drop that the router’s calibration table promises not to exceed, and the drop measured on this set, \
                      over the share of queries at the small model. The table below has the numbers."
                .to_owned(),
        x: Axis::share("queries at the small model on this set, %"),
        y: Axis::around("quality drop, %", values.into_iter().chain([0.0]), percent_tick),
        layers: vec![
            Layer::Band(Series::Good, band),
            Layer::Line(Series::Reference, promised),
            Layer::Line(Series::Good, line),
        ],
    };
    let entries = [(Series::Good, "measured here".to_owned()), (Series::Reference, "promised at most".to_owned())];
    figure(
        caption,
        &plot,
        &entries,
        &html! {
            p.reading { (words::promises(&router.promises)) }
            details {
                summary { "The numbers" }
                (tables::promises(&router.promises))
            }
        },
    )
}
