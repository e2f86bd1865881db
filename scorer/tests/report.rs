//! The pages of a report, from outside: whole, well formed, with every figure, safe whatever the names are.
//!
//! The pages are left in `target/tmp`, to be looked at in a browser.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test is a panic")]

#[path = "report/sample.rs"]
mod sample;

use std::{fs, path::Path};

use hybrid_llm::lab::report::{
    Agreement, BINS, Baselines, Figure, GroupReport, Ranking, ScoreHistogram, calibration_curve, label_page, page,
};

/// Keeps a page for the eye.
fn keep(name: &str, page: &str) {
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), page).unwrap();
}

/// A page as an XML document: HTML's void elements are closed, what stands in `style` and `script` is left out.
fn well_formed(page: &str) -> String {
    let mut text = page.replacen("<!DOCTYPE html>", "", 1);
    for name in ["style", "script"] {
        while let Some(start) = text.find(&format!("<{name}>")) {
            let end = start + text[start..].find(&format!("</{name}>")).unwrap() + name.len() + 3;
            text.replace_range(start..end, "");
        }
    }
    for name in ["meta", "input"] {
        let mut from = 0;
        while let Some(start) = text[from..].find(&format!("<{name} ")).map(|at| at + from) {
            from = start + text[start..].find('>').unwrap();
            text.insert(from, '/');
        }
    }
    for flag in ["hidden", "open"] {
        text = text.replace(&format!(" {flag}>"), &format!(" {flag}=\"\">"));
    }
    roxmltree::Document::parse(&text).map(|_| ()).unwrap_or_else(|error| panic!("not well formed: {error}"));
    text
}

/// The text of every cell of a table's body, row by row.
fn cells(document: &roxmltree::Document<'_>, caption: &str) -> Vec<Vec<String>> {
    let is = |node: &roxmltree::Node<'_, '_>, name: &str| node.tag_name().name() == name;
    let table = document
        .descendants()
        .find(|node| is(node, "div") && node.attribute("aria-label") == Some(caption))
        .unwrap_or_else(|| panic!("no table {caption}"));
    let rows = table.descendants().filter(|node| is(node, "tr") && is(&node.parent().unwrap(), "tbody"));
    let text = |node: roxmltree::Node<'_, '_>| {
        node.descendants().filter(|node| node.is_text()).filter_map(|node| node.text()).collect::<String>()
    };
    rows.map(|row| row.children().filter(roxmltree::Node::is_element).map(text).collect()).collect()
}

/// What must hold of every page; the page is kept as `name`.
fn check(name: &str, page: &str) -> String {
    keep(name, page);
    assert!(page.len() < 300 << 10, "{name}: {} bytes", page.len());
    for outside in ["http://", "https://", "url(", "@import", "src=", "style=", "onclick"] {
        assert!(!page.replace("http://www.w3.org/2000/svg", "").contains(outside), "{name} has {outside}");
    }
    let text = well_formed(page);
    let document = roxmltree::Document::parse(&text).unwrap();
    let shown = document.descendants().filter(|node| node.is_text()).filter_map(|node| node.text());
    for undefined in ["NaN", "inf", "None", "Some("] {
        assert!(!shown.clone().any(|text| text.contains(undefined)), "{name} says {undefined}");
    }
    let mut ids = std::collections::BTreeSet::new();
    for id in document.descendants().filter_map(|node| node.attribute("id")) {
        assert!(ids.insert(id), "{name} has two of {id}");
    }
    text
}

#[test]
fn pages_are_small_well_formed_and_need_nothing_else() {
    check("report.html", &page(&sample::report()));
    check("labels.html", &label_page(&sample::labels()));
}

/// A figure as a cell of a table shows it.
fn shown(figure: Option<Figure>, scale: f64, decimals: usize, unit: &str) -> String {
    let number = |value: f64| {
        let text = format!("{:.decimals$}", value * scale);
        // A rounded zero has no sign.
        text.strip_prefix('-').map_or(text.clone(), |digits| {
            if digits.parse() == Ok(0.0) { digits.to_owned() } else { format!("−{digits}") }
        })
    };
    figure.map_or("–".to_owned(), |Figure { value, low, high }| {
        let interval = if low < high { format!(" ({} to {})", number(low), number(high)) } else { String::new() };
        format!("{}{unit}{interval}", number(value))
    })
}

#[test]
fn tables_hold_the_figures_that_were_given() {
    let report = sample::report();
    let text = well_formed(&page(&report));
    let document = roxmltree::Document::parse(&text).unwrap();
    let set = &report.sets[0];
    let row = |name: &str, ranking: &Ranking| {
        let percent = |figure| shown(figure, 100.0, 1, "\u{a0}%");
        let calls = |figure| shown(figure, 1.0, 1, "\u{a0}%");
        let [ten, twenty, forty] = ranking.drop_at.map(percent);
        let apgr = shown(ranking.apgr, 1.0, 3, "");
        let Agreement { oracle_share, auc, spearman } = ranking.agreement;
        let (gain, [auc, spearman]) = (percent(oracle_share), [auc, spearman].map(|figure| shown(figure, 1.0, 3, "")));
        let calls = [calls(ranking.cpt50), calls(ranking.cpt80)];
        [&[name.to_owned(), apgr, gain][..], &calls, &[ten, twenty, forty, auc, spearman]].concat()
    };
    let baselines = set.baselines.as_ref().unwrap();
    let mut expected: Vec<_> = set.routers.iter().map(|router| row(&router.name, &router.ranking)).collect();
    expected.push(row("random", &baselines.random));
    expected.push(row("query length", &baselines.length));
    expected.push(row("oracle", &baselines.oracle));
    assert_eq!(cells(&document, "Figures"), expected);

    let router = &set.routers[0];
    let operating = cells(&document, "Operating points");
    assert_eq!(operating.len(), 21);
    for (row, point) in operating.iter().zip(&router.operating_points) {
        assert_eq!(row[0], format!("{:.0}\u{a0}%", point.small_share * 100.0));
        assert_eq!(row[1], point.threshold.map_or("–".to_owned(), |threshold| format!("{threshold:.3}")));
        assert_eq!(row[2], shown(point.quality_drop, 100.0, 1, "\u{a0}%"));
    }
    // 1,000 queries at large: 0.412 million tokens at $2 and 0.268 at $8; at small: at $0.05 and $0.08.
    assert_eq!((operating[0][3].as_str(), operating[0][4].as_str()), ("$2.968", "0.0\u{a0}%"));
    assert_eq!((operating[20][3].as_str(), operating[20][4].as_str()), ("$0.042", "98.6\u{a0}%"));

    for (row, bin) in cells(&document, "Calibration curve").iter().zip(&router.calibration) {
        let expected =
            [format!("{:.3}", bin.predicted), shown(Some(bin.observed), 100.0, 1, "\u{a0}%"), bin.n.to_string()];
        assert_eq!(row, &expected);
    }
}

#[test]
fn groups_and_other_pairs_are_told_and_drawn() {
    let report = sample::report();
    let text = well_formed(&page(&report));
    let document = roxmltree::Document::parse(&text).unwrap();
    let set = &report.sets[0];
    let three = |figure| shown(figure, 1.0, 3, "");
    let percent = |figure| shown(figure, 100.0, 1, "\u{a0}%");
    let row = |group: &GroupReport, router: usize| {
        let Ranking { apgr, agreement, .. } = &group.routers[router];
        let start = [&group.name, &set.routers[router].name].map(Clone::clone);
        let figures = [three(*apgr), percent(agreement.oracle_share), three(agreement.auc), String::new()];
        let quality = format!("{:.3}, {:.3}", group.quality_small.value, group.quality_large.value);
        [&start[..], &[group.n.to_string(), quality], &figures, &[three(agreement.spearman)]].concat()
    };
    let [code, chat, english] = set.groups.as_slice() else { panic!("three groups") };
    assert_eq!(cells(&document, "By kind"), [row(code, 0), row(code, 1), row(chat, 0), row(chat, 1)]);
    assert_eq!(cells(&document, "By language"), [row(english, 0), row(english, 1)]);
    let strips = document.descendants().filter(|node| node.attribute("class") == Some("strip"));
    assert_eq!(strips.count(), 2 * 2 * set.groups.len(), "two sets, two routers");

    let pair = &set.carried[0];
    let drops = |router: usize| {
        [1, 2].map(|place| [&pair.other, &pair.own].map(|rankings| percent(rankings[router].drop_at[place]))).concat()
    };
    let first = [
        format!("{} → {}", pair.small, pair.large),
        set.routers[0].name.clone(),
        pair.n.to_string(),
        three(pair.correlation),
    ];
    assert_eq!(cells(&document, "Other pairs")[0], [&first[..], &drops(0)].concat());
    for plot in ["Drop at 20 % against the correlation", "Drop at 40 % against the correlation"] {
        assert!(text.contains(plot), "{plot}");
    }
    let mut none = report;
    none.sets.iter_mut().for_each(|set| (set.groups, set.carried) = (Vec::new(), Vec::new()));
    let page = page(&none);
    assert!(!page.contains("By kind") && !page.contains("other pairs"), "what was not measured is not told");
}

#[test]
fn promises_stand_beside_what_came_of_them() {
    let mut report = sample::report();
    let promises = &mut report.sets[0].routers[0].promises;
    promises.truncate(3);
    let outcomes = [(0.02, 0.01, "kept"), (0.02, 0.03, "exceeded, within chance"), (0.02, 0.05, "broken")];
    let mut expected = Vec::new();
    for ((promise, (upper, drop, outcome)), text) in promises.iter_mut().zip(outcomes).zip(["1.0", "3.0", "5.0"]) {
        promise.promised_upper = Some(upper);
        promise.promised_drop = Some(0.015);
        promise.measured_drop = Some(Figure { value: drop, low: drop - 0.02, high: drop + 0.02 });
        let share = format!("{:.1}\u{a0}% ({:.1})", promise.measured_share * 100.0, promise.promised_share * 100.0);
        let drop = shown(promise.measured_drop, 100.0, 1, "\u{a0}%");
        assert!(drop.starts_with(text), "{drop}");
        let upper = "2.0\u{a0}% (1.5)".to_owned();
        expected.push(vec![format!("{:.3}", promise.threshold), share, drop, upper, outcome.to_owned()]);
    }
    let text = well_formed(&page(&report));
    let document = roxmltree::Document::parse(&text).unwrap();
    assert_eq!(cells(&document, "Promise and measurement"), expected);
    assert!(text.contains("The promise is kept at 1 of 3 thresholds, exceeded within chance at 1, broken at 1."));
}

#[test]
fn names_are_text_and_nothing_else() {
    let name = "<script>alert('x')</script>\"&<b>".to_owned();
    let mut report = sample::report();
    report.title.clone_from(&name);
    report.small.clone_from(&name);
    report.large.clone_from(&name);
    report.sets.iter_mut().for_each(|set| set.name.clone_from(&name));
    report.sets.iter_mut().flat_map(|set| &mut set.groups).for_each(|group| group.name.clone_from(&name));
    report.sets.iter_mut().flat_map(|set| &mut set.carried).for_each(|pair| pair.small.clone_from(&name));
    report.sets.iter_mut().flat_map(|set| &mut set.routers).for_each(|router| router.name.clone_from(&name));
    let page = page(&report);
    assert_eq!(page.matches("<script>").count(), 1, "the page's own script alone");
    assert!(!page.contains("<b>") && !page.contains("alert('x')</script>\""));
    check("escaped.html", &page);

    let mut labels = sample::labels();
    labels.title.clone_from(&name);
    labels.small.clone_from(&name);
    labels.large.clone_from(&name);
    let page = label_page(&labels);
    assert_eq!(page.matches("<script>").count(), 0);
    check("escaped-labels.html", &page);
}

#[test]
fn what_is_not_defined_is_explained() {
    let none = Ranking {
        apgr: None,
        cpt50: None,
        cpt80: None,
        drop_at: [None; 3],
        agreement: Agreement::default(),
        curve: Vec::new(),
    };
    let zero = Figure { value: 0.0, low: 0.0, high: 0.0 };
    let mut report = sample::report();
    report.prices = None;
    report.sets.truncate(1);
    let set = &mut report.sets[0];
    (set.n, set.quality_small, set.quality_large) = (1, zero, zero);
    set.routers.truncate(1);
    let router = &mut set.routers[0];
    router.ranking = none.clone();
    // One query, or any number with the same score.
    router.scores = [(0.5, true)].into_iter().collect();
    router.calibration = calibration_curve(&[(0.5, 1.0)], 10);
    router.promises.iter_mut().for_each(|promise| promise.measured_drop = None);
    router.operating_points.iter_mut().for_each(|point| point.quality_drop = None);
    set.groups.iter_mut().for_each(|group| group.routers = vec![none.clone()]);
    for pair in &mut set.carried {
        (pair.correlation, pair.own, pair.other) = (None, vec![none.clone()], vec![none.clone()]);
    }
    set.baselines = Some(Baselines { random: none.clone(), length: none.clone(), oracle: none });
    let text = check("undefined.html", &page(&report));
    for explanation in [
        "1 query:",
        "mean quality is 0",
        "There is no curve to draw",
        "All queries have the same outcome",
        "No prices were given",
        "No row of the calibration table can be compared",
    ] {
        assert!(text.contains(explanation), "no word of {explanation:?}");
    }

    report.sets[0].quality_large.value = 0.5;
    report.sets[0].quality_small.value = 0.5;
    assert!(page(&report).contains("Both are the same"));

    let router = &mut report.sets[0].routers[0];
    (router.promises, router.operating_points, router.calibration) = (Vec::new(), Vec::new(), Vec::new());
    router.scores = ScoreHistogram::default();
    let text = check("empty.html", &page(&report));
    assert!(text.contains("has no calibration table") && text.contains("There are no scores"));
    report.sets.clear();
    assert!(check("no-sets.html", &page(&report)).contains("There is no query data"));

    let mut labels = sample::labels();
    labels.curve.clear();
    (labels.before, labels.after) = ([0; BINS], [0; BINS]);
    assert!(check("no-labels.html", &label_page(&labels)).contains("No t was tried"));
}

#[test]
fn drops_that_are_no_numbers_are_not_drawn() {
    let mut report = sample::report();
    for set in &mut report.sets {
        for router in &mut set.routers {
            for (index, point) in router.ranking.curve.iter_mut().enumerate() {
                let value = [f64::NAN, f64::INFINITY, 1e300, 0.1][index % 4];
                point.drop = Figure { value, low: f64::NEG_INFINITY, high: f64::NAN };
            }
        }
    }
    check("not-numbers.html", &page(&report));
}
