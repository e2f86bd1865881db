//! Generated queries with a difficulty that can be learned, and a folder to run the lab's commands in.

use hybrid_llm_tests::artifacts::{self, Profile};
use hybrid_llm_tests::fetch;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

const NOUNS: [&str; 12] = [
    "river", "lamp", "teacher", "engine", "garden", "letter", "violin", "harbour", "cloud", "bridge", "recipe", "clock",
];
const EASY: [&str; 4] =
    ["What colour is a {}?", "Name one use of a {}.", "Is a {} bigger than a cup?", "Spell the word {} for me."];
const HARD: [&str; 4] = [
    "Prove by induction that a lattice of {} graphs is distributive.",
    "Derive the partition function of a {} in the canonical ensemble.",
    "Give the asymptotic complexity of sorting every {} with a Fibonacci heap.",
    "Show that the homology group of the {} complex is finitely generated.",
];

/// Generated queries, each with whether it is easy. Of `hard` and `easy` ones the wording differs, and every fourth noun is
/// kept for `held_back` queries.
pub(crate) fn queries(held_back: bool) -> Vec<(String, bool)> {
    let nouns = NOUNS.iter().enumerate().filter(|(at, _)| (at % 4 == 3) == held_back);
    let asked = nouns.flat_map(|(_, noun)| {
        let easy = EASY.iter().map(move |text| (text.replace("{}", noun), true));
        easy.chain(HARD.iter().map(move |text| (text.replace("{}", noun), false)))
    });
    let asked: Vec<_> = asked.collect();
    let polite = ["", "For my homework: "];
    polite.iter().flat_map(|polite| asked.iter().map(move |(text, easy)| (format!("{polite}{text}"), *easy))).collect()
}

/// The small model is right on easy queries, and now and then on others; the large one is right.
pub(crate) fn data(queries: &[(String, bool)]) -> String {
    let line = |(at, (query, easy)): (usize, &(String, bool))| {
        let lucky = at % 7 == 0;
        let small = [f64::from(*easy != lucky), f64::from(*easy)];
        json!({"query": query, "quality": {"s": small, "l": [1.0], "other": small}}).to_string() + "\n"
    };
    queries.iter().enumerate().map(line).collect()
}

pub(crate) struct Place {
    pub(crate) folder: TempDir,
    scorer: PathBuf,
    runtime: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data.jsonl"), data(&queries(false))).unwrap();
        Self { folder, scorer: artifacts::scorer(Profile::Dev).unwrap(), runtime: fetch::onnxruntime().unwrap() }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.scorer);
        command.current_dir(self.folder.path()).args(args).arg("--onnxruntime").arg(&self.runtime);
        command.output().unwrap()
    }

    /// Runs a command that needs no runtime.
    pub(crate) fn run_alone(&self, args: &[&str]) -> Output {
        Command::new(&self.scorer).current_dir(self.folder.path()).args(args).output().unwrap()
    }

    /// Trains with defaults that `more` completes, and gives the report.
    #[track_caller]
    pub(crate) fn train(&self, encoder: &str, out: &str, more: &[&str]) -> Value {
        let args =
            ["train", "--encoder", encoder, "--data", "data.jsonl", "--small", "s", "--large", "l", "--out", out];
        let output = self.run(&[&args[..], &["--json"], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn manifest(&self, router: &str) -> Value {
        let path = self.folder.path().join(router).join("router.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }
}

pub(crate) fn default_router() -> String {
    artifacts::default_router().display().to_string()
}
