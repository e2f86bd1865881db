//! What `evaluate` prints for people.

use comfy_table::{ContentArrangement, Table, presets::ASCII_MARKDOWN};

use super::found::{By, Found, Grouped};
use crate::lab::{
    figures::{
        carried::Carried,
        evaluate::{Baselines, Evaluation, Figure, Ranking},
        groups::LEAST,
    },
    pair::Pair,
};

/// What was measured, for people.
pub(super) fn text(found: &Found<'_>, pair: &Pair, baselines: bool) -> String {
    let Found { names, evaluation, groups, carried } = found;
    let mut text = figures(evaluation, names, pair, baselines);
    for key in By::ALL {
        let groups: Vec<&Grouped> = groups.iter().filter(|group| group.by == key).collect();
        if !groups.is_empty() {
            text.push_str(&format!(
                "\nby {} (groups of {LEAST} queries or more)\n{}\n",
                key.name(),
                group_table(&groups, names)
            ));
        }
    }
    for (other, carried) in carried {
        text.push_str(&carried_over(other, carried, names));
    }
    text
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

fn group_table(groups: &[&Grouped], names: &[&str]) -> Table {
    let mut table =
        table(&["", "routed by", "n", "small", "large", "APGR", "of oracle's gain", "AUC", "rank correlation"]);
    for Grouped { name, evaluation, .. } in groups {
        for (router, ranking) in names.iter().zip(&evaluation.routers) {
            let agreement = &ranking.agreement;
            table.add_row([
                name.clone(),
                (*router).to_owned(),
                evaluation.n.to_string(),
                format!("{:.3}", evaluation.quality_small.value),
                format!("{:.3}", evaluation.quality_large.value),
                cell(ranking.apgr, 1.0, 3, ""),
                cell(agreement.oracle_share, 100.0, 0, " %"),
                cell(agreement.auc, 1.0, 3, ""),
                cell(agreement.spearman, 1.0, 3, ""),
            ]);
        }
    }
    table
}

/// Routers on another pair, beside their own.
fn carried_over(pair: &Pair, carried: &Carried, names: &[&str]) -> String {
    let Carried { correlation, own, other } = carried;
    let mut table = table(&["routed by", "drop at 20 %", "own pair's", "drop at 40 %", "own pair's"]);
    let ways = |evaluation: &Evaluation| {
        [evaluation.routers.as_slice(), std::slice::from_ref(&evaluation.baselines.random)].concat()
    };
    for (name, (there, here)) in names.iter().chain(&["random"]).zip(ways(other).iter().zip(&ways(own))) {
        let drop = |ranking: &Ranking, at: usize| cell(ranking.drop_at.get(at).copied().flatten(), 100.0, 1, " %");
        table.add_row([(*name).to_owned(), drop(there, 1), drop(here, 1), drop(there, 2), drop(here, 2)]);
    }
    format!(
        "\ncarried over to {} and {}: {} queries have all four models; correlation of the quality gaps {}\n{table}\n",
        pair.small,
        pair.large,
        other.n,
        cell(*correlation, 1.0, 3, "")
    )
}

fn figures(evaluation: &Evaluation, names: &[&str], pair: &Pair, baselines: bool) -> String {
    let quality = |figure| cell(Some(figure), 1.0, 3, "");
    let mut text = format!(
        "{} queries; mean quality {} at {}, {} at {}; 95 % intervals in parentheses\n",
        evaluation.n,
        quality(evaluation.quality_small),
        pair.small,
        quality(evaluation.quality_large),
        pair.large,
    );
    let mut table = table(&[
        "routed by",
        "APGR",
        "of oracle's gain",
        "CPT50 %",
        "CPT80 %",
        "drop at 10 %",
        "at 20 %",
        "at 40 %",
        "AUC",
        "rank correlation",
    ]);
    let mut rows: Vec<(&str, &Ranking)> = names.iter().copied().zip(&evaluation.routers).collect();
    if baselines {
        let Baselines { random, length, oracle } = &evaluation.baselines;
        rows.extend([("random", random), ("length", length), ("oracle", oracle)]);
    }
    for (name, ranking) in rows {
        let mut cells = vec![
            name.to_owned(),
            cell(ranking.apgr, 1.0, 3, ""),
            cell(ranking.agreement.oracle_share, 100.0, 0, " %"),
            cell(ranking.cpt50, 1.0, 1, ""),
            cell(ranking.cpt80, 1.0, 1, ""),
        ];
        cells.extend(ranking.drop_at.map(|drop| cell(drop, 100.0, 1, " %")));
        cells.extend([ranking.agreement.auc, ranking.agreement.spearman].map(|figure| cell(figure, 1.0, 3, "")));
        table.add_row(cells);
    }
    text.push_str(&format!("{table}\n"));
    let differences = names.iter().zip(&evaluation.above_first).zip(&evaluation.above_length).enumerate();
    for (index, ((name, first), length)) in differences {
        if baselines {
            let above = cell(*length, 1.0, 3, "");
            text.push_str(&format!("{name}: APGR above length's {above}\n"));
        }
        if let (true, Some(first_name)) = (index > 0, names.first()) {
            let above = cell(*first, 1.0, 3, "");
            text.push_str(&format!("{name}: APGR above {first_name}'s {above}\n"));
        }
    }
    let figures = |ranking: &Ranking| [ranking.apgr, ranking.drop_at[0]];
    if evaluation.routers.iter().flat_map(figures).any(|figure| figure.is_none_or(|figure| figure.low.is_nan())) {
        text.push_str("- : not defined, or not in too many draws for an interval: on these queries the large model is not clearly better (APGR, CPT), or its mean quality is near 0 (drops)\n");
    }
    text
}

fn cell(figure: Option<Figure>, factor: f64, digits: usize, unit: &str) -> String {
    let Some(Figure { value, low, high }) = figure else { return "-".to_owned() };
    let [value, low_text, high] = [value, low, high].map(|number| format!("{:.digits$}", number * factor));
    if low.is_nan() { format!("{value} (-){unit}") } else { format!("{value} ({low_text} to {high}){unit}") }
}
