//! From a trained head to a router's folder that scores as the head does.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    encoder::Encoder,
    folder::{Target, TargetError},
    graph::LinearHead,
    head::Head,
    train::{Task, Trained},
};
use crate::lab::{
    data::corpus::{Corpus, Part, Text},
    figures::calibrate::histogram,
    pair::Pair,
};
use crate::{
    model::{LoadError, ModelError, OnnxModel},
    offline,
    router::{
        self, Calibration, Label, MANIFEST, MODEL, Manifest, ManifestError, Output, RouterError, Score, TOKENIZER,
        sha256,
    },
    runtime::Runtime,
};

/// How many queries a written router is checked on.
pub const CHECKED: usize = 200;
/// How far a score may be from the head's.
const TOLERANCE: f64 = 1e-5;

/// All that a router's folder is made of.
#[derive(Debug, Clone, Copy)]
pub struct Router<'a> {
    /// Its name and version.
    pub title: &'a Title,
    /// What it learned.
    pub task: &'a Task,
    /// From which rows.
    pub corpus: &'a Corpus,
    /// On which encoder.
    pub encoder: &'a Encoder,
    /// The result.
    pub trained: &'a Trained,
}

/// What a router is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    /// Its name in requests.
    pub name: String,
    /// Its version [the beginning of its model's SHA-256].
    pub version: Option<String>,
}

/// A router that could not be written, or that is not what was trained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Where it should stand.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A file of it.
    #[error("cannot write {file}")]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its manifest.
    #[error("the router's manifest would not be valid: {0}")]
    Manifest(#[from] ManifestError),
    /// Opening what was written.
    #[error("the router that was written cannot be opened")]
    Open(#[from] RouterError),
    /// Loading what was written.
    #[error("the router that was written cannot be loaded")]
    Load(#[from] LoadError),
    /// Scoring with it.
    #[error("the router that was written cannot score {file}, line {line}: {reason}")]
    Score {
        /// The query's file.
        file: PathBuf,
        /// Its line.
        line: usize,
        /// Why.
        reason: String,
    },
    /// Its scores.
    #[error(
        "the router that was written scores {file}, line {line}, {found} where the trained head gives {expected}: it was not kept; please report this with the encoder's name"
    )]
    Differs {
        /// The query's file.
        file: PathBuf,
        /// Its line.
        line: usize,
        /// The written router's score.
        found: f64,
        /// The trained head's.
        expected: f64,
    },
}

impl Title {
    /// Checks the name before any work is done.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn check(&self, max_tokens: Option<usize>) -> Result<(), ManifestError> {
        let pair = Pair { small: "small".to_owned(), large: "large".to_owned() };
        let version = self.version.clone().unwrap_or_else(|| "version".to_owned());
        draft(&self.name, version, "encoder", max_tokens.unwrap_or(2), Label::Det, &pair).check()
    }
}

fn draft(name: &str, version: String, encoder: &str, max_tokens: usize, label: Label, pair: &Pair) -> Manifest {
    Manifest {
        name: name.to_owned(),
        version,
        encoder: encoder.to_owned(),
        max_tokens,
        output: Output::Sigmoid,
        score: Some(if label == Label::Gap { Score::Quantile } else { Score::Probability }),
        label,
        relaxation: None,
        small: pair.small.clone(),
        large: pair.large.clone(),
        trained_on: serde_json::Value::Null,
        metrics: serde_json::Value::Null,
        calibration: Calibration::default(),
        reference_histogram: None,
        sha256: BTreeMap::new(),
    }
}

impl Router<'_> {
    /// Writes the router's folder, opens it as a server would, and checks that it scores `checks` as the trained head does.
    /// Nothing is left behind where it does not.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(
        &self,
        target: &Target,
        checks: &[Text],
        runtime: &Runtime,
        workers: usize,
    ) -> Result<Manifest, WriteError> {
        target.write(|folder| {
            write_model(folder, self.encoder, &self.trained.head)?;
            let manifest = self.write_manifest(folder)?;
            self.verify(folder, checks, runtime, workers)?;
            Ok(manifest)
        })
    }

    fn write_manifest(&self, folder: &Path) -> Result<Manifest, WriteError> {
        let Self { title, task, corpus, encoder, trained } = self;
        let mut digests = BTreeMap::new();
        for file in [MODEL, TOKENIZER] {
            let path = folder.join(file);
            let digest =
                fs::File::open(&path).and_then(sha256).map_err(|source| WriteError::File { file: path, source })?;
            digests.insert(file.to_owned(), digest);
        }
        let of_model = digests.get(MODEL).and_then(|digest| digest.get(..12)).unwrap_or_default();
        let version = title.version.clone().unwrap_or_else(|| of_model.to_owned());
        let (pairs, _) = corpus.pairs();
        let nobody = Pair { small: String::new(), large: String::new() };
        let pair = pairs.first().copied().unwrap_or(&nobody);
        let manifest = Manifest {
            relaxation: task.relaxation,
            trained_on: trained_on(corpus, &task.train),
            metrics: json!({"validation": trained.validation, "head": {
                "strength": trained.choice.setting.strength,
                "length": trained.choice.setting.length,
                "folds": trained.choice.path,
            }}),
            reference_histogram: Some(histogram(&trained.scores)),
            sha256: digests,
            ..draft(&title.name, version, &encoder.files.name, encoder.files.max_tokens, task.kind, pair)
        };
        manifest.check()?;
        let json = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
        let path = folder.join(MANIFEST);
        fs::write(&path, json).map_err(|source| WriteError::File { file: path, source })?;
        Ok(manifest)
    }

    /// Whether a folder scores as the head does: the check of everything between them, the graph above all.
    fn verify(&self, folder: &Path, checks: &[Text], runtime: &Runtime, workers: usize) -> Result<(), WriteError> {
        let router = router::Router::open(folder)?;
        let mut models = OnnxModel::load(runtime, &router, workers.min(checks.len()), 1)?;
        let max_tokens = router.manifest().max_tokens;
        let fault = |text: &Text, error: ModelError| WriteError::Score {
            file: text.file.clone(),
            line: text.line,
            reason: error.to_string(),
        };
        let queries = checks.iter().map(Ok);
        let scores = offline::score_all(&mut models, max_tokens, queries, |text| &text.query, fault, || {})?;
        for (text, found) in checks.iter().zip(scores) {
            let at = self.task.validation.iter().position(|row| *row == text.row);
            let Some(expected) = at.and_then(|at| self.trained.scores.get(at).copied()) else { continue };
            let close = (found - expected).abs() <= TOLERANCE;
            if !close {
                return Err(WriteError::Differs { file: text.file.clone(), line: text.line, found, expected });
            }
        }
        Ok(())
    }
}

fn write_model(folder: &Path, encoder: &Encoder, head: &Head) -> Result<(), WriteError> {
    let head = LinearHead {
        weights: head.weights.iter().map(|weight| *weight as f32).collect(),
        log_tokens: head.log_tokens.map(|weight| weight as f32),
        bias: head.bias as f32,
    };
    let written = |file: &str, result: io::Result<()>| {
        result.map_err(|source| WriteError::File { file: folder.join(file), source })
    };
    written(MODEL, fs::write(folder.join(MODEL), encoder.graph.with_head(&head)))?;
    // Not a copy, which would keep the file's permissions.
    let tokenizer = fs::read(&encoder.files.tokenizer);
    written(TOKENIZER, tokenizer.and_then(|tokenizer| fs::write(folder.join(TOKENIZER), tokenizer)))
}

/// Which rows of which file the head learned from.
fn trained_on(corpus: &Corpus, train: &[usize]) -> serde_json::Value {
    let entry = |part: &Part| {
        let rows = train.iter().filter(|row| part.range.contains(row)).count();
        let source = part.source.file.file_name().unwrap_or_default().to_string_lossy();
        let Pair { small, large } = &part.source.pair;
        (rows > 0).then(|| json!({"source": source, "file": source, "rows": rows, "small": small, "large": large}))
    };
    corpus.parts.iter().filter_map(entry).collect()
}
