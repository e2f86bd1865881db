//! What `hybrid-llm train` prints.

use std::{
    io::{self, Write},
    path::Path,
};

use serde::Serialize;

use crate::{
    cli::graded::Speed,
    lab::{
        figures::evaluate::Figure,
        training::{
            head::{Setting, Tried},
            publish::Router,
            train::{Trained, Validation},
        },
    },
    router::{Label, Manifest},
};

/// What was done, for people and as JSON.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report<'a> {
    out: &'a Path,
    name: &'a str,
    version: &'a str,
    label: Label,
    relaxation: Option<f64>,
    rows: RowCounts,
    encoder: EncoderReport<'a>,
    embedding: Speed,
    /// What choosing and training the head took.
    head_seconds: f64,
    folds: &'a [Tried],
    chosen: Chosen,
    validation: &'a Validation,
    learnt: bool,
    checked: usize,
    warnings: &'a [String],
}

#[derive(Debug, Clone, Serialize)]
struct RowCounts {
    train: usize,
    validation: usize,
    /// In the validation file too, so not learnt from.
    left_out: usize,
    /// Without one of the models.
    skipped: usize,
}

#[derive(Debug, Clone, Serialize)]
struct EncoderReport<'a> {
    name: &'a str,
    dim: usize,
    max_tokens: usize,
}

#[derive(Debug, Clone, Serialize)]
struct Chosen {
    strength: f64,
    length: bool,
}

impl<'a> Report<'a> {
    /// Of what was made, in `out`.
    pub(super) fn new(
        out: &'a Path,
        router: Router<'a>,
        manifest: &'a Manifest,
        (embedding, head_seconds): (Speed, f64),
        (checked, warnings): (usize, &'a [String]),
    ) -> Self {
        let Router { task, corpus, encoder, trained, .. } = router;
        let Setting { strength, length } = trained.choice.setting;
        Self {
            out,
            name: &manifest.name,
            version: &manifest.version,
            label: manifest.label,
            relaxation: manifest.relaxation,
            rows: RowCounts {
                train: task.train.len(),
                validation: task.validation.len(),
                left_out: task.left_out,
                skipped: corpus.skipped(),
            },
            encoder: EncoderReport {
                name: &encoder.files.name,
                dim: encoder.dim,
                max_tokens: encoder.files.max_tokens,
            },
            embedding,
            head_seconds,
            folds: &trained.choice.path,
            chosen: Chosen { strength, length },
            validation: &trained.validation,
            learnt: trained.validation.learnt(),
            checked,
            warnings,
        }
    }
}

/// What a user should know before the router is used.
pub(super) fn after(trained: &Trained) -> Vec<String> {
    let mut warnings = Vec::new();
    let Validation { bce, bce_constant, .. } = trained.validation;
    if !trained.validation.learnt() {
        warnings.push(format!(
            "nothing was learnt: on the validation rows the router's cross-entropy is {bce:.4}, and that of giving every query \
             the mean label {bce_constant:.4}. More or other data may help; do not expect this router to do better than chance"
        ));
    }
    if !trained.converged {
        warnings.push("the search for the weights stopped short of the minimum: please report it".to_owned());
    }
    warnings
}

/// Prints it.
pub(super) fn print(mut out: impl Write, json: bool, report: &Report<'_>) -> io::Result<()> {
    if json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
        return out.flush();
    }
    let RowCounts { train, validation, left_out, skipped } = report.rows;
    write!(out, "rows      {train} to learn from, {validation} to validate on")?;
    for (count, why) in [(left_out, "in both, left out"), (skipped, "without both models, left out")] {
        if count > 0 {
            write!(out, ", {count} {why}")?;
        }
    }
    let EncoderReport { name, dim, max_tokens } = report.encoder;
    writeln!(out, "\nencoder   {name}: {dim} numbers a query, of {max_tokens} tokens at most")?;
    let Speed { queries, seconds, per_second, .. } = report.embedding;
    writeln!(out, "embedded  {queries} queries in {seconds:.1} s, {per_second:.1} a second")?;
    if let Some(relaxation) = report.relaxation {
        writeln!(out, "label     trans with t* = {relaxation}")?;
    }
    writeln!(out, "\nChosen by cross-validation on the rows to learn from:\n\nstrength  length     BCE    AUC")?;
    for tried in report.folds {
        let length = if tried.length { "yes" } else { "no" };
        let chosen = tried.strength == report.chosen.strength && tried.length == report.chosen.length;
        let mark = if chosen { "  <- chosen" } else { "" };
        let auc = number(tried.auc);
        writeln!(out, "{:>8}  {length:>6}  {:.4}  {auc}{mark}", tried.strength, tried.bce)?;
    }
    print_validation(&mut out, report.validation)?;
    let Report { name, version, checked, .. } = report;
    let folder = report.out.display();
    writeln!(out, "\n{folder}: router {name}, version {version}; {checked} of its scores checked against the head's")?;
    writeln!(out, "Next: hybrid-llm calibrate --router {folder}")?;
    out.flush()
}

fn print_validation(out: &mut impl Write, validation: &Validation) -> io::Result<()> {
    let Validation { n, bce, bce_constant, auc, apgr, apgr_length, .. } = *validation;
    writeln!(out, "\nOn the {n} validation rows:\n")?;
    writeln!(out, "BCE   {bce:.4}, against {bce_constant:.4} of giving every query the mean label")?;
    writeln!(out, "AUC   {}, against 0.500 at random", number(auc))?;
    writeln!(out, "APGR  {}, against {} by length, 0.500 at random", figure(apgr), figure(apgr_length))
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn figure(figure: Option<Figure>) -> String {
    match figure {
        Some(Figure { value, low, .. }) if low.is_nan() => format!("{value:.3} (too few rows for an interval)"),
        Some(Figure { value, low, high }) => format!("{value:.3} ({low:.3} to {high:.3})"),
        None => "none (the large model is no better on these rows)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::training::head::{Choice, Head};

    fn validation(bce: f64) -> Validation {
        Validation {
            n: 333,
            bce,
            bce_constant: 0.6808,
            auc: Some(0.629),
            quality_small: 0.7,
            quality_large: 0.8,
            apgr: Some(Figure { value: 0.677, low: 0.569, high: 0.775 }),
            apgr_length: None,
        }
    }

    #[test]
    fn people_see_the_choice_and_the_baselines() {
        let tried = |strength, length| Tried { strength, length, bce: 0.68 + strength / 100.0, auc: None };
        let (folds, validation) = ([tried(3.0, false), tried(0.1, false), tried(0.1, true)], validation(0.6755));
        let warnings = ["only 3 rows".to_owned()];
        let report = Report {
            out: Path::new("routers/mine"),
            name: "mine",
            version: "2cf372c77282",
            label: Label::Trans,
            relaxation: Some(0.25),
            rows: RowCounts { train: 1258, validation: 333, left_out: 2, skipped: 0 },
            encoder: EncoderReport { name: "all-MiniLM-L6-v2", dim: 384, max_tokens: 256 },
            embedding: Speed { queries: 1593, seconds: 20.0, per_second: 79.65, peak_memory_mib: None },
            head_seconds: 1.25,
            folds: &folds,
            chosen: Chosen { strength: 0.1, length: true },
            validation: &validation,
            learnt: true,
            checked: 200,
            warnings: &warnings,
        };
        let mut text = Vec::new();
        print(&mut text, false, &report).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap(), @"
        rows      1258 to learn from, 333 to validate on, 2 in both, left out
        encoder   all-MiniLM-L6-v2: 384 numbers a query, of 256 tokens at most
        embedded  1593 queries in 20.0 s, 79.7 a second
        label     trans with t* = 0.25

        Chosen by cross-validation on the rows to learn from:

        strength  length     BCE    AUC
               3      no  0.7100  -
             0.1      no  0.6810  -
             0.1     yes  0.6810  -  <- chosen

        On the 333 validation rows:

        BCE   0.6755, against 0.6808 of giving every query the mean label
        AUC   0.629, against 0.500 at random
        APGR  0.677 (0.569 to 0.775), against none (the large model is no better on these rows) by length, 0.500 at random

        routers/mine: router mine, version 2cf372c77282; 200 of its scores checked against the head's
        Next: hybrid-llm calibrate --router routers/mine
        ");
        let mut json = Vec::new();
        print(&mut json, true, &report).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((&json["embedding"]["per_second"], &json["warnings"][0]), (&79.65.into(), &"only 3 rows".into()));
    }

    #[test]
    fn a_router_that_learnt_nothing_is_told_so() {
        let head = Head { weights: Vec::new(), log_tokens: None, intercepts: Vec::new(), bias: 0.0 };
        let choice = Choice { setting: Setting { strength: 1.0, length: false }, path: Vec::new() };
        let trained = |bce, converged| Trained {
            head: head.clone(),
            choice: choice.clone(),
            converged,
            validation: validation(bce),
            scores: Vec::new(),
        };
        assert!(after(&trained(0.6, true)).is_empty());
        insta::assert_snapshot!(after(&trained(0.69, false)).join("\n"), @"
        nothing was learnt: on the validation rows the router's cross-entropy is 0.6900, and that of giving every query the mean label 0.6808. More or other data may help; do not expect this router to do better than chance
        the search for the weights stopped short of the minimum: please report it
        ");
    }
}
