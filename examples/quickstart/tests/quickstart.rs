//! The quickstart as a newcomer runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

fn quickstart(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    command.args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn forty_prompts_are_routed_and_none_fails_open() {
    let share = |dial: &str| {
        let output = quickstart(&["--json", "--port", "0", "--small-share", dial]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect(&stderr);
        assert_eq!((json["requests"].as_u64(), json["fail_open"].as_u64()), (Some(40), Some(0)), "{json}");
        assert_eq!(json["small"].as_u64().unwrap() + json["large"].as_u64().unwrap(), 40);
        assert!(json["p50_ms"].as_f64().unwrap() <= json["p99_ms"].as_f64().unwrap());
        let group = |name: &str, key: &str| json[name][key].as_u64().unwrap();
        assert_eq!((group("easy", "prompts"), group("hard", "prompts")), (21, 19));
        assert_eq!(group("easy", "small") + group("hard", "small"), json["small"].as_u64().unwrap());
        json["small"].as_u64().unwrap()
    };
    let shares = [share("0.1"), share("0.6"), share("1")];
    assert!(shares.is_sorted() && shares[0] < shares[2], "{shares:?}");
    assert_eq!(shares[2], 40);
}

#[test]
fn the_table_and_the_share_are_shown() {
    let output = quickstart(&["--port", "0"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("What is the capital of France?") && text.contains("llama-3.1-8b"), "{text}");
    assert!(text.contains("of 40 prompts went to the small model") && text.contains("0 failed open"), "{text}");
    assert!(text.contains("Of 21 prompts that a person would call easy") && text.contains("of 19 hard ones"), "{text}");
}

#[test]
fn a_reader_who_has_seen_enough_ends_nothing() {
    let mut child = quickstart(&["--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // As `| head` does, but before there is anything to read.
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_taken_port_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = quickstart(&["--port", &port]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains(&format!("port {port} can't be had")) && message.contains("--port 0"), "{message}");
}

#[test]
fn kept_running_until_interrupted_and_then_nothing_is_left() {
    let mut child =
        quickstart(&["--keep", "--port", "0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let curl = lines.into_iter().find(|line| line.contains("curl -si http://")).expect("a curl line");
    let address = curl.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok(), "{address}");
    let children = children_of(child.id());
    assert!(children.len() >= 2, "Envoy and the scorer run: {children:?}");

    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    for process in children {
        assert!(!std::path::Path::new(&format!("/proc/{process}")).exists(), "{process} is left");
    }
}

fn children_of(process: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}
