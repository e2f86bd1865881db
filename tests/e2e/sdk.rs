//! The vendors' own clients, through Envoy: what they parse is what they parse when they ask the model directly, and where their
//! tool loops go.

use crate::stack::Stack;
use hybrid_llm_tests::envoy::Setup;
use hybrid_llm_tests::http::Endpoint;
use hybrid_llm_tests::upstream::StandIn;
use hybrid_llm_tests::wait::PATIENCE;
use hybrid_llm_tests::{artifacts, fetch, vendors};
use serde_json::json;
use std::ffi::OsStr;
use std::path::PathBuf;
use tokio::process::Command;

/// Envoy before a stand-in that speaks all the vendors' APIs.
async fn stack(change: impl FnOnce(Setup) -> Setup) -> (Stack, StandIn) {
    let vendor = vendors::model().await;
    let endpoint = vendor.endpoint();
    let stack = Stack::start(|setup| change(setup.cluster("llama-8b", &endpoint).cluster("gpt", &endpoint))).await;
    (stack, vendor)
}

/// The Node clients, unless their tests are to be left out; a machine without Node is told what to do.
fn node_clients() -> Option<PathBuf> {
    fetch::node_sdks().unwrap_or_else(|error| panic!("{error}"))
}

fn url(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(addr) => format!("http://{addr}"),
        Endpoint::Unix(path) => panic!("{}: the clients speak TCP", path.display()),
    }
}

/// Runs a script of `tests/sdk`, and gives what it printed.
async fn run(
    program: impl AsRef<OsStr>,
    script: &str,
    clients: (&str, impl AsRef<OsStr>),
    arguments: &[String],
) -> String {
    let mut command = Command::new(program);
    command.arg(artifacts::workspace().join("tests/sdk").join(script)).args(arguments);
    command.env(clients.0, clients.1).env("NO_PROXY", "*").env("PYTHONDONTWRITEBYTECODE", "1");
    // Several clients to load, and their hundreds of requests.
    let output = tokio::time::timeout(5 * PATIENCE, command.kill_on_drop(true).output()).await;
    let output = output.expect("all cases in time").unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    printed
}

fn count(printed: &str, word: &str) -> usize {
    printed.lines().filter(|line| line.split('\t').next() == Some(word)).count()
}

#[tokio::test]
async fn official_clients_read_the_models_own_answers() {
    let (stack, vendor) = stack(|setup| setup).await;
    let urls = [url(&stack.envoy.listener), url(&vendor.endpoint())];
    let printed = run("python3", "drive.py", ("PYTHONPATH", fetch::sdks().unwrap()), &urls).await;
    assert_eq!(count(&printed, "same"), 74, "{printed}");
}

#[tokio::test]
async fn official_node_clients_read_the_models_own_answers() {
    let Some(clients) = node_clients() else { return };
    let (stack, vendor) = stack(|setup| setup).await;
    let urls = [url(&stack.envoy.listener), url(&vendor.endpoint())];
    let printed = run("node", "drive.js", ("NODE_PATH", clients), &urls).await;
    assert_eq!(count(&printed, "same"), 52, "{printed}");
}

/// Cuts what the agents write at an interruption, so that it is not scored.
fn cuts_interruptions(setup: Setup) -> Setup {
    let mark = json!({"start": "[Request interrupted by user", "end": "]"});
    setup.plugin("/pairs/chat/query", json!({"wrappers": ["system-reminder", mark]}))
}

#[tokio::test]
async fn tool_loops_of_official_clients_stay_until_they_are_interrupted() {
    let (stack, _vendor) = stack(cuts_interruptions).await;
    let urls = [url(&stack.envoy.listener)];
    let printed = run("python3", "loops.py", ("PYTHONPATH", fetch::sdks().unwrap()), &urls).await;
    assert_eq!(count(&printed, "right"), 32, "{printed}");
}

#[tokio::test]
async fn tool_loops_of_official_node_clients_stay_until_they_are_interrupted() {
    let Some(clients) = node_clients() else { return };
    let (stack, _vendor) = stack(cuts_interruptions).await;
    let urls = [url(&stack.envoy.listener)];
    let printed = run("node", "loops.js", ("NODE_PATH", clients), &urls).await;
    assert_eq!(count(&printed, "right"), 32, "{printed}");
}
