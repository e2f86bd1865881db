//! The binary's arguments, exit codes and errors, as far as no ONNX Runtime is needed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test is a panic")]

mod support;

use std::path::Path;

use support::run;

/// A router's folder in which only the model and the tokenizer are no real ones.
fn router() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let manifest = r#"{"name": "r", "version": "1", "encoder": "e", "max_tokens": 8, "output": "sigmoid",
        "label": "det", "small": "s", "large": "l"}"#;
    for (file, content) in [("router.json", manifest), ("model.onnx", ""), ("tokenizer.json", "")] {
        std::fs::write(folder.path().join(file), content).unwrap();
    }
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn help_teaches_every_command() {
    let help = run(&["--help"], "");
    assert_eq!(help.code, 0);
    insta::assert_snapshot!(help.stdout);
    let serve = run(&["serve", "--help"], "");
    assert_eq!(serve.code, 0);
    for option in [
        "--router",
        "--listen",
        "--allow-remote",
        "--unix",
        "--unix-mode",
        "--onnxruntime",
        "--provider",
        "--workers",
        "--threads-per-worker",
        "--max-batch-tokens",
        "--queue",
        "--deadline-ms",
        "--cache-entries",
        "--drain-seconds",
        "--max-body-bytes",
        "--log",
    ] {
        assert!(serve.stdout.contains(option), "{option}");
        let variable = format!("HYBRID_LLM_{}", option[2..].replace('-', "_").to_uppercase());
        assert!(serve.stdout.contains(&variable), "{variable}");
    }
}

#[test]
fn wrong_usage_is_2_and_says_what_to_do() {
    let usage = |args: &[&str]| {
        let outcome = run(args, "");
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        outcome.stderr.lines().next().unwrap_or_default().to_owned()
    };
    let report = [
        usage(&["serve"]),
        usage(&["serve", "--router", "r", "--listen", "0.0.0.0:80"]),
        usage(&["serve", "--router", "r", "--listen", "none"]),
        usage(&["serve", "--router", "r", "--listen", "localhost"]),
        usage(&["serve", "--router", "r", "--unix", "s", "--unix-mode", "888"]),
        usage(&["serve", "--router", "r", "--unix", "s", "--unix-mode", "1666"]),
        usage(&["serve", "--router", "r", "--workers", "0"]),
        usage(&["serve", "--router", "r", "--deadline-ms", "0"]),
        usage(&["guess"]),
    ]
    .join("\n");
    insta::assert_snapshot!(report);
}

#[test]
fn what_cannot_be_done_is_1_and_says_why() {
    let folder = router();
    let failure = |args: &[&str], stdin| {
        let outcome = run(args, stdin);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
        outcome.stderr.replace(text(folder.path()), "DIR")
    };
    let router = text(folder.path());
    let report = [
        failure(&["serve", "--router", "/nowhere"], ""),
        failure(&["serve", "--router", router, "--onnxruntime", "/nowhere"], ""),
        failure(&["serve", "--router", router, "--router", router], ""),
        failure(&["score", "--router", router, "--onnxruntime", "/nowhere"], "query\n"),
        failure(&["score", "--router", router, "/nowhere"], ""),
        failure(&["score", "--router", router, "--format", "jsonl"], "{}\n"),
    ]
    .concat();
    insta::assert_snapshot!(report);
    let missing = failure(&["serve", "--router", router], "");
    assert!(missing.contains("beside this program in"), "{missing}");
    assert!(missing.contains("pip install --target DIR onnxruntime==1.31.1"), "{missing}");
}

#[test]
fn a_library_that_is_none_is_an_error_and_no_panic() {
    let folder = router();
    let library = folder.path().join("libonnxruntime.so.1.31.1");
    std::fs::write(&library, "not a library").unwrap();
    let args = ["serve", "--router", text(folder.path()), "--onnxruntime"];
    let outcome = run(&[&args[..], &[text(&library)]].concat(), "");
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("cannot be used"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    let cuda = run(&[&args[..], &[text(&library), "--provider", "cuda"]].concat(), "");
    assert_eq!(cuda.code, 1);
    assert!(cuda.stderr.contains("onnxruntime-gpu==1.31.1"), "{}", cuda.stderr);
}
