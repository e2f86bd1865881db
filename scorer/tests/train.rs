//! What `hybrid-llm train` says of input that it cannot use, as far as no ONNX Runtime is needed, and that nothing is left behind.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a failed test is a panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A folder with data files in it; routers are to be made there too.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// What is in the folder, so that what a run leaves behind is seen.
    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Runs the command, which must fail with `code` and leave nothing behind, and gives what it says.
    fn fault(&self, code: i32, encoder: &Path, args: &[&str]) -> String {
        let before = self.entries();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hybrid-llm"));
        command.env_clear().current_dir(self.folder.path());
        command.args(["train", "--small", "s"]).arg("--encoder").arg(encoder);
        let output = command.args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty());
        assert_eq!(self.entries(), before);
        let text = String::from_utf8(output.stderr).unwrap();
        let text = text.lines().filter(|line| line.starts_with("error")).collect::<Vec<_>>().join("\n");
        let encoders = [(encoder, "ENCODER"), (self.folder.path(), "DIR")];
        encoders.iter().fold(text, |text, (path, name)| text.replace(&path.display().to_string(), name))
    }
}

/// The default router, which can stand as an encoder.
fn encoder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("routers/default")
}

/// Lines whose label is now 0, now 1.
fn lines(count: usize) -> String {
    let line = |number| {
        let small = number % 2;
        format!("{{\"query\": \"query {number}\", \"quality\": {{\"s\": [{small}], \"l\": [1]}}}}\n")
    };
    (0..count).map(line).collect()
}

#[test]
fn data_that_cannot_be_learnt_from_names_file_and_line() {
    let place = Place::new();
    let good = lines(60);
    let fault = |name: &str, content: String| {
        place.file(name, content);
        place.fault(1, &encoder(), &["--data", name, "--large", "l", "--label", "det", "--out", "router"])
    };
    let with = |line: &str| format!("{good}{line}\n{good}");
    let report = [
        fault("quality.jsonl", with(r#"{"query": "secret"}"#)),
        fault("nan.jsonl", with(r#"{"query": "secret", "quality": {"s": [NaN], "l": [1]}}"#)),
        fault("blank.jsonl", with(r#"{"query": " ", "quality": {"s": [1], "l": [1]}}"#)),
        fault("long.jsonl", with(&format!(r#"{{"query": "{}"}}"#, "secret ".repeat(10 << 17)))),
        fault("model.jsonl", good.replace("\"l\"", "\"other\"")),
        fault("few.jsonl", lines(20)),
        fault("alike.jsonl", good.replace("[0]", "[1]")),
    ]
    .join("\n");
    assert!(!report.contains("secret"));
    insta::assert_snapshot!(report);
}

#[test]
fn encoders_that_cannot_be_used_say_what_they_lack() {
    let place = Place::new();
    place.file("data.jsonl", lines(60));
    let args = ["--data", "data.jsonl", "--large", "l", "--label", "det", "--out", "router"];
    let fault = |name: &str, more: &[&str]| {
        place.fault(1, &place.folder.path().join(name), &[&args[..], more].concat()).replace("ENCODER", name)
    };
    let tokenizer = fs::read(encoder().join("tokenizer.json")).unwrap();
    let model = fs::read(encoder().join("model.onnx")).unwrap();
    place.file("no-model/tokenizer.json", &tokenizer);
    place.file("no-tokenizer/model.onnx", &model);
    place.file("no-graph/model.onnx", "");
    place.file("no-graph/tokenizer.json", &tokenizer);
    place.file("text/model.onnx", "not a model");
    place.file("text/tokenizer.json", &tokenizer);
    place.file("other-tokenizer/model.onnx", &model);
    place.file("other-tokenizer/tokenizer.json", "{}");
    let report = [
        fault("nowhere", &[]),
        fault("no-model", &[]),
        fault("no-tokenizer", &[]),
        fault("no-graph", &[]),
        fault("text", &[]),
        fault("other-tokenizer", &[]),
    ]
    .join("\n");
    insta::assert_snapshot!(report);
    let unknown = place.fault(1, &encoder(), &[&args[..], &["--embedding", "cls"]].concat());
    assert!(unknown.starts_with("error: ENCODER/model.onnx has no tensor cls; its outputs are logits"), "{unknown}");
}

#[test]
fn wrong_usage_is_2_and_a_place_that_is_taken_is_kept() {
    let place = Place::new();
    place.file("data.jsonl", lines(60));
    place.file("taken/router.json", "old");
    let fault = |code, out: &str, more: &[&str]| {
        let args = ["--data", "data.jsonl", "--out", out];
        place.fault(code, &encoder(), &[&args[..], more].concat())
    };
    let with = |code, out: &str, more: &[&str]| fault(code, out, &[&["--large", "l", "--label", "det"], more].concat());
    let report = [
        with(1, "taken", &[]),
        with(1, "nowhere/router", &[]),
        with(2, "router", &["--name", "a b"]),
        with(2, "router", &["--version", ""]),
        with(2, "router", &["--max-tokens", "1"]),
        fault(2, "router", &["--large", "s", "--label", "det"]),
        fault(2, "router", &["--large", "l", "--label", "best"]),
        with(2, "router", &["--also", "data.jsonl", "s"]),
        with(1, "router", &["--also", "data.jsonl", "x", "y"]),
        with(1, "router", &["--validation", "data.jsonl"]),
        with(1, "router", &["--onnxruntime", "/nowhere"]),
    ]
    .join("\n");
    insta::assert_snapshot!(report);
    assert_eq!(fs::read_to_string(place.folder.path().join("taken/router.json")).unwrap(), "old");
}

#[test]
fn help_teaches_the_data_the_encoder_and_the_next_step() {
    let output = Command::new(env!("CARGO_BIN_EXE_hybrid-llm")).args(["train", "--help"]).env_clear().output().unwrap();
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}
