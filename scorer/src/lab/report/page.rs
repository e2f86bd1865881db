//! The page of a report, and the frame that every page has.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::{
    Report, RouterReport, SetReport, carried, charts, cost, groups,
    plot::{Series, swatch},
    tables, words,
};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("cost.js");

/// The report as an HTML page that needs nothing else: no network, no other file.
///
/// Its script only lets the reader change prices and move the cost slider; without it the page is complete. Names are
/// escaped, and a content security policy allows the page's own style and script alone.
pub fn page(report: &Report) -> String {
    let body = html! {
        header {
            h1 { (report.title) }
            p.lead {
                "Queries go to the small model " strong.name { (report.small) } " where the router’s score reaches a threshold, and to \
                 the large model " strong.name { (report.large) } " otherwise. The cost advantage is the share of queries at the small \
                 model; the quality drop is what is lost against all queries at the large model, relative to its mean quality. \
                 Intervals are 95\u{a0}%."
            }
            @if report.sets.is_empty() { p.note { "There is no query data to report on." } }
            @else { (contents(report)) }
        }
        main {
            @for (set, index) in report.sets.iter().zip(0_usize..) {
                (section(report, set, &format!("set{index}")))
            }
            @if report.sets.iter().any(|set| !set.routers.is_empty()) { (cost::section(report)) }
        }
    };
    frame(&report.title, &body, Some(SCRIPT))
}

fn contents(report: &Report) -> Markup {
    html! {
        nav aria-label="Contents" {
            ul {
                @for (set, index) in report.sets.iter().zip(0_usize..) {
                    li { a href=(format!("#set{index}")) { (set.name) } }
                }
                @if report.sets.iter().any(|set| !set.routers.is_empty()) { li { a href="#cost" { "What it costs" } } }
            }
        }
    }
}

fn section(report: &Report, set: &SetReport, id: &str) -> Markup {
    html! {
        section #(id) {
            h2.name { (set.name) }
            p.reading { (words::reading(set, &report.small, &report.large)) }
            div.wide {
                (charts::error_cost(set, id))
                (tables::figures(set))
            }
            @for (router, place) in set.routers.iter().zip(0_usize..) {
                (router_section(router, place, &format!("{id}-router{place}")))
            }
            (groups::section(set))
            (carried::section(set, id))
        }
    }
}

fn router_section(router: &RouterReport, place: usize, id: &str) -> Markup {
    html! {
        h3.name { (swatch(Series::Router(place))) " " (router.name) }
        div.plots {
            (charts::scores(router, id))
            (charts::calibration(router, id))
            (charts::promises(router, id))
        }
    }
}

/// A whole page around its body.
pub(super) fn frame(title: &str, body: &Markup, script: Option<&str>) -> String {
    let script_source = script.map_or("'none'".to_owned(), source);
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {script_source}; base-uri 'none'; form-action 'none'",
        source(STYLE)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                footer { p { "Made by hybrid-llm " (env!("CARGO_PKG_VERSION")) "." } }
                @if let Some(script) = script { script { (PreEscaped(script)) } }
            }
        }
    };
    page.into_string()
}

/// An inline style or script by its hash, as a content security policy names it.
fn source(text: &str) -> String {
    format!("'sha256-{}'", base64::encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_the_pages_own_style_and_script_alone() {
        // The digest of nothing, from FIPS 180-4's example values.
        assert_eq!(source(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
        let page = frame("T", &html! { p { "text" } }, Some(SCRIPT));
        for (tag, text) in [("style", STYLE), ("script", SCRIPT)] {
            assert!(page.contains(&format!("{tag}-src {}", source(text))), "{tag}");
            // A browser digests what stands between the tags, with line feeds alone.
            assert!(page.contains(&format!("<{tag}>{text}</{tag}>")) && !text.contains('\r'), "{tag}");
        }
        assert!(frame("T", &html! {}, None).contains("script-src 'none'"));
    }
}
