//! What routing costs: the prices, the slider, and a table for each router.

use maud::{Markup, html};

use super::{
    OperatingPoint, Price, Prices, Report, SetReport,
    format::{UNDEFINED, dollars, number, percent, percent_interval, percent_tick, whole_percent},
    tables::{cell, scrolling},
};

/// The queries that an amount is for.
const PER: f64 = 1000.0;
/// What a query at small is taken to cost where no prices are known, as a share of one at large.
const ASSUMED_RATIO: f64 = 0.1;

/// What [`PER`] queries cost at either model.
#[derive(Debug, Clone, Copy)]
struct Cost {
    small: f64,
    large: f64,
    format: fn(f64) -> String,
}

impl Cost {
    fn new(prices: Option<Prices>) -> Self {
        let Some(prices) = prices else {
            return Self { small: 100.0 * ASSUMED_RATIO, large: 100.0, format: |cost| number(cost, 1) };
        };
        let of = |price: Price| PER * price.of(prices.input_tokens, prices.output_tokens);
        Self { small: of(prices.small), large: of(prices.large), format: dollars }
    }

    fn at(&self, small_share: f64) -> f64 {
        small_share * self.small + (1.0 - small_share) * self.large
    }

    fn saving(&self, small_share: f64) -> f64 {
        // Without a cost of all at large this is no number, and shown as such.
        1.0 - self.at(small_share) / self.large
    }
}

/// The section on costs, for all the sets.
pub(super) fn section(report: &Report) -> Markup {
    let cost = Cost::new(report.prices);
    let unit = if report.prices.is_some() { "$ per 1,000 queries" } else { "Cost (all large = 100)" };
    html! {
        section #cost {
            h2 { "What it costs" }
            p { (assumptions(report)) }
            (form(report.prices))
            @for (set, index) in report.sets.iter().zip(0_usize..) {
                @if report.sets.len() > 1 { h3.name { (set.name) } }
                (slider(set, index, unit))
                @for (router, place) in set.routers.iter().zip(0_usize..) {
                    @if router.operating_points.is_empty() {
                        p.note { "No operating points of " (router.name) " were measured." }
                    } @else {
                        details open[report.sets.len() == 1 && place == 0] {
                            summary { "All operating points of " (router.name) }
                            (table(&router.operating_points, cost, unit, &format!("set{index}-router{place}-costs")))
                        }
                    }
                }
            }
        }
    }
}

fn assumptions(report: &Report) -> String {
    let same = "Both models are taken to read and write equally much, whichever queries they get; what the router itself costs \
                is not counted.";
    match report.prices {
        None => format!(
            "No prices were given: costs are relative to all queries at the large model = 100, and a query at the small model is \
             taken to cost {} of one at the large model. {same}",
            whole_percent(ASSUMED_RATIO)
        ),
        Some(Prices { small, large, input_tokens, output_tokens }) => {
            let price = |price: Price| format!("${} and ${}", plain(price.input), plain(price.output));
            format!(
                "{} costs {} per million tokens read and written, {} {}; a query has {} tokens on average, its response {}. {same}",
                report.small,
                price(small),
                report.large,
                price(large),
                number(input_tokens, 0),
                number(output_tokens, 0),
            )
        }
    }
}

/// A number as it was given, for a form's field or a data attribute: always with a point, never with an exponent.
fn plain(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { "0".to_owned() }
}

/// The fields for prices. They need the page's script, which shows them.
fn form(prices: Option<Prices>) -> Markup {
    let field = |id: &str, label: &str, value: f64| {
        html! {
            label for=(id) {
                (label)
                input #(id) type="number" min="0" step="any" inputmode="decimal" value=(plain(value));
            }
        }
    };
    html! {
        form #prices hidden {
            fieldset {
                legend { @if prices.is_some() { "Your prices, in $ per million tokens" } @else { "Your prices" } }
                @if let Some(Prices { small, large, input_tokens, output_tokens }) = prices {
                    (field("small-input", "Small, input", small.input))
                    (field("small-output", "Small, output", small.output))
                    (field("large-input", "Large, input", large.input))
                    (field("large-output", "Large, output", large.output))
                    (field("input-tokens", "Mean tokens of a query", input_tokens))
                    (field("output-tokens", "Mean tokens of a response", output_tokens))
                } @else {
                    (field("ratio", "A query at small, % of one at large", ASSUMED_RATIO * 100.0))
                }
            }
        }
    }
}

/// The slider, and a row for each router at the share that it is set to. It needs the page's script, which shows it.
fn slider(set: &SetReport, index: usize, unit: &str) -> Markup {
    let id = format!("set{index}-slider");
    let [threshold, drop, cost, saving] = columns(unit);
    let table = html! {
        table.cards {
            thead { tr { th scope="col" { "Router" } @for column in columns(unit) { th scope="col" { (column) } } } }
            tbody {
                @for (router, place) in set.routers.iter().zip(0_usize..) {
                    @if !router.operating_points.is_empty() {
                        tr data-from=(format!("set{index}-router{place}-costs")) {
                            th scope="row" { (router.name) }
                            td data-label=(threshold) {}
                            td data-label=(drop) {}
                            td data-label=(cost) {}
                            td data-label=(saving) {}
                        }
                    }
                }
            }
        }
    };
    html! {
        div.slider hidden {
            label for=(id) { "Queries at the small model:" } " "
            output for=(id) { "20\u{a0}%" }
            input #(id) type="range" min="0" max="100" step="5" value="20";
            (scrolling("At this share", &table))
        }
    }
}

fn columns(unit: &str) -> [&str; 4] {
    ["Threshold", "Quality drop", unit, "Saving"]
}

fn table(points: &[OperatingPoint], cost: Cost, unit: &str, id: &str) -> Markup {
    let table = html! {
        table.numbers #(id) {
            thead { tr { th scope="col" { "At small" } @for column in columns(unit) { th scope="col" { (column) } } } }
            tbody {
                @for point in points {
                    tr data-share=(plain(point.small_share)) {
                        th scope="row" { (percent_tick(point.small_share)) "\u{a0}%" }
                        td { (point.threshold.map_or(UNDEFINED.to_owned(), |threshold| number(threshold, 3))) }
                        td { (cell(point.quality_drop, percent, percent_interval)) }
                        td { ((cost.format)(cost.at(point.small_share))) }
                        td { (percent(cost.saving(point.small_share))) }
                    }
                }
            }
        }
    };
    scrolling("Operating points", &table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_queries_cost_what_their_tokens_cost() {
        let prices = Prices {
            small: Price { input: 0.05, output: 0.08 },
            large: Price { input: 2.0, output: 8.0 },
            input_tokens: 500.0,
            output_tokens: 250.0,
        };
        let cost = Cost::new(Some(prices));
        // 0.5 and 0.25 million tokens a thousand queries: large 0.5 × 2 + 0.25 × 8, small 0.5 × 0.05 + 0.25 × 0.08.
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(cost.at(0.0), 3.0) && close(cost.at(1.0), 0.045) && close(cost.at(0.5), 1.5225));
        assert!(close(cost.saving(0.0), 0.0) && close(cost.saving(1.0), 0.985));
    }

    #[test]
    fn without_prices_costs_are_relative() {
        let cost = Cost::new(None);
        assert_eq!((cost.at(0.0), cost.at(1.0)), (100.0, 10.0));
        let free = Prices {
            small: Price { input: 0.0, output: 0.0 },
            large: Price { input: 0.0, output: 0.0 },
            input_tokens: 1.0,
            output_tokens: 1.0,
        };
        assert_eq!(percent(Cost::new(Some(free)).saving(0.5)), UNDEFINED);
    }
}
