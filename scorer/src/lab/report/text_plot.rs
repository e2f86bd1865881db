//! The label report for a terminal: numbers with bars of Unicode blocks, no colour, no escape codes.

use super::{
    BINS, LabelReport,
    format::{number, tick},
};

/// The most rows of the curve.
const MAX_ROWS: usize = 30;
/// The narrowest bars, in columns.
const MIN_BAR: usize = 8;
/// Blocks from one to eight eighths of a column.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// The label report as plain text, for a terminal so many columns wide; below about 50 it is as narrow as it can be.
pub fn label_text(report: &LabelReport, width: usize) -> String {
    format!("{}\n\n{}\n{}", report.reading(), curve(report, width), histograms(report, width))
}

/// The curve, a row for each t.
fn curve(report: &LabelReport, width: usize) -> String {
    let points = report.points(MAX_ROWS);
    let chosen = report.chosen_point();
    let highest = points.iter().map(|point| point.difference).fold(0.0, f64::max);
    let names: Vec<_> = points.iter().map(|point| tick(point.t)).collect();
    let column = names.iter().map(|name| name.chars().count()).max().unwrap_or_default().max(1);
    let room = width.saturating_sub(column + "  0.0000  ".len() + " ← t*".len()).max(MIN_BAR);
    let mut text = format!("{:>column$}  mean abs. pairwise difference of the labels\n", "t");
    for (point, name) in points.iter().zip(names) {
        let mark = if chosen == Some(*point) { " ← t*" } else { "" };
        let drawn = bar(point.difference, highest, room);
        let row = format!("{name:>column$}  {:>6}  {drawn}{mark}", number(point.difference, 4));
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// Both histograms side by side, a row for each bin.
fn histograms(report: &LabelReport, width: usize) -> String {
    let highest = report.before.iter().chain(&report.after).copied().max().unwrap_or_default();
    let digits = highest.to_string().len();
    let room = (width.saturating_sub("0.00–0.05".chars().count() + 2 * (digits + 4)) / 2).max(MIN_BAR);
    let cell = |count: u64| format!("{count:>digits$}  {:<room$}", bar(count as f64, highest as f64, room));
    let column = digits + 2 + room;
    let mut text = format!("label      {:<column$}  {}\n", "queries, r_prob", "queries, r_trans");
    for ((before, after), bin) in report.before.iter().zip(&report.after).zip(0_u32..) {
        let edge = |bin: u32| f64::from(bin) / BINS as f64;
        let row = format!("{:.2}–{:.2}  {}  {}", edge(bin), edge(bin + 1), cell(*before), cell(*after));
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// A bar as long as a value's part of the highest, in eighths of a column; what is not nothing shows.
fn bar(value: f64, highest: f64, room: usize) -> String {
    let part = value / highest;
    if part.is_nan() || part <= 0.0 {
        return String::new();
    }
    let eighths = ((part.min(1.0) * room as f64 * 8.0).round() as usize).max(1);
    let mut drawn = "█".repeat(eighths / 8);
    drawn.extend((eighths % 8).checked_sub(1).and_then(|rest| EIGHTHS.get(rest)));
    drawn
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lab::training::label::Spread;

    fn report(curve: &[(f64, f64)], chosen: f64) -> LabelReport {
        let mut before = [0; BINS];
        let mut after = [0; BINS];
        (before[0], before[3], after[0], after[10], after[19]) = (900, 100, 400, 5, 595);
        LabelReport {
            title: "Labels".to_owned(),
            small: "s".to_owned(),
            large: "l".to_owned(),
            n: 1000,
            binary: false,
            curve: curve.iter().map(|(t, difference)| Spread { t: *t, difference: *difference }).collect(),
            chosen,
            before,
            after,
        }
    }

    #[test]
    fn the_text_has_the_curve_and_both_histograms() {
        let curve = [(0.0, 0.05), (0.25, 0.2), (0.5, 0.4), (0.75, 0.3), (1.0, 0.0)];
        insta::assert_snapshot!(label_text(&report(&curve, 0.5), 72), @"
        1000 queries. Two labels differ by 0.050 on average at t = 0, and by 0.400 at t* = 0.5, the most of all t tried.

           t  mean abs. pairwise difference of the labels
           0  0.0500  ██████▍
        0.25  0.2000  █████████████████████████▌
         0.5  0.4000  ███████████████████████████████████████████████████ ← t*
        0.75  0.3000  ██████████████████████████████████████▎
           1  0.0000

        label      queries, r_prob                queries, r_trans
        0.00–0.05  900  ████████████████████████  400  ██████████▋
        0.05–0.10    0                              0
        0.10–0.15    0                              0
        0.15–0.20  100  ██▋                         0
        0.20–0.25    0                              0
        0.25–0.30    0                              0
        0.30–0.35    0                              0
        0.35–0.40    0                              0
        0.40–0.45    0                              0
        0.45–0.50    0                              0
        0.50–0.55    0                              5  ▏
        0.55–0.60    0                              0
        0.60–0.65    0                              0
        0.65–0.70    0                              0
        0.70–0.75    0                              0
        0.75–0.80    0                              0
        0.80–0.85    0                              0
        0.85–0.90    0                              0
        0.90–0.95    0                              0
        0.95–1.00    0                            595  ███████████████▉
        ");
    }

    #[test]
    fn a_long_curve_is_thinned_but_keeps_the_chosen_t() {
        let points: Vec<_> = (0..1000).map(|step| (f64::from(step) / 1000.0, 0.1)).collect();
        let text = curve(&report(&points, 0.777), 80);
        assert!(text.lines().count() <= MAX_ROWS + 2, "{text}");
        assert!(text.contains("0.777") && text.matches("t*").count() == 1, "{text}");
    }

    #[test]
    fn readings_explain_what_relaxing_does_not_change() {
        let mut flat = report(&[(0.0, 0.3), (0.5, 0.3)], 0.0);
        flat.binary = true;
        insta::assert_snapshot!(flat.reading(), @"1000 queries. There are only two qualities, so a label is the same for every t that does not make all of them 1, and relaxing changes nothing: r_trans equals r_prob.");
        insta::assert_snapshot!(report(&[(0.0, 0.3), (0.5, 0.2)], 0.0).reading(), @"1000 queries. No relaxation spreads the labels further than none does: t* = 0, and r_trans equals r_prob.");
        insta::assert_snapshot!(report(&[(0.0, 0.0), (0.5, 0.0)], 0.0).reading(), @"1000 queries. All queries have the same label at every t, so there is nothing to learn from them.");
        insta::assert_snapshot!(report(&[], 0.0).reading(), @"1000 queries. No t was tried, so there is no curve.");
    }

    proptest! {
        #[test]
        fn bars_grow_with_the_value_and_stay_in_their_room(a in 0.0..2.0_f64, b in 0.0..2.0_f64, room in 1_usize..100) {
            let (low, high) = (a.min(b), a.max(b));
            let eighths = |value: f64| -> usize {
                bar(value, 1.0, room).chars().map(|block| EIGHTHS.iter().position(|known| *known == block).unwrap() + 1).sum()
            };
            prop_assert!(eighths(low) <= eighths(high));
            prop_assert!(bar(high, 1.0, room).chars().count() <= room);
            prop_assert!(low == 0.0 || eighths(low) > 0);
        }

        #[test]
        fn no_width_and_no_value_breaks_the_text(
            curve in proptest::collection::vec((any::<f64>(), -0.1..0.6_f64), 0..50), chosen: f64, width in 0_usize..200,
        ) {
            let text = label_text(&report(&curve, chosen), width);
            prop_assert!(text.lines().skip(1).all(|line| line.chars().count() <= width.max(60)), "{text}");
        }
    }
}
