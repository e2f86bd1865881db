//! `hybrid-llm collect` against scripted models with the faults that real ones have.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test is a panic")]

#[path = "../endpoint/mod.rs"]
mod endpoint;
mod faults;
mod files;
mod proxy;
mod shapes;
mod words;

use std::{collections::BTreeMap, fs, path::PathBuf};

use endpoint::{Endpoint, Outcome, lines, run};
use serde_json::{Value, json};

/// A folder with a file of so many queries, and a place for responses.
struct Place {
    folder: tempfile::TempDir,
    queries: PathBuf,
    out: PathBuf,
}

impl Place {
    fn new(queries: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { queries: folder.path().join("queries.jsonl"), out: folder.path().join("out.jsonl"), folder };
        let line = |n| json!({"id": n, "query": format!("query {n}"), "reference": format!("answer {n}")});
        place.write((0..queries).map(|n| format!("{}\n", line(n))).collect::<String>());
        place
    }

    fn write(&self, queries: impl AsRef<[u8]>) {
        fs::write(&self.queries, queries).unwrap();
    }

    /// The program's arguments.
    fn args<'a>(&'a self, small: &'a str, large: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let (queries, out) = (self.queries.to_str().unwrap(), self.out.to_str().unwrap());
        let mut args = vec!["collect", queries, "--out", out, "--small-url", small, "--small-model", "s"];
        args.extend(["--large-url", large, "--large-model", "l"]);
        args.extend(more);
        args
    }

    async fn run(&self, small: &Endpoint, large: &Endpoint, more: &[&str]) -> Outcome {
        run(&self.args(&small.url, &large.url, more), &[]).await
    }

    /// The responses that are there, by what they are of; none twice.
    fn recorded(&self) -> BTreeMap<(String, String, u64), Value> {
        let mut recorded = BTreeMap::new();
        for line in lines(&self.out) {
            let text = |key: &str| line[key].as_str().unwrap().to_owned();
            let key = (text("id"), text("model"), line["sample"].as_u64().unwrap());
            assert!(recorded.insert(key.clone(), line.clone()).is_none(), "{key:?} is there twice");
        }
        recorded
    }

    fn clean(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "DIR")
    }
}
