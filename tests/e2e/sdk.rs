//! The vendors' own clients, through Envoy: what they parse is what they parse when they ask the model directly.

use crate::stack::Stack;
use hybrid_llm_tests::http::Endpoint;
use hybrid_llm_tests::wait::PATIENCE;
use hybrid_llm_tests::{artifacts, fetch, vendors};
use tokio::process::Command;

#[tokio::test]
async fn official_clients_read_the_models_own_answers() {
    let vendor = vendors::model().await;
    let stack =
        Stack::start(|setup| setup.cluster("llama-8b", &vendor.endpoint()).cluster("gpt", &vendor.endpoint())).await;
    let url = |endpoint: &Endpoint| match endpoint {
        Endpoint::Tcp(addr) => format!("http://{addr}"),
        Endpoint::Unix(path) => panic!("{}: the clients speak TCP", path.display()),
    };
    let mut drive = Command::new("python3");
    drive
        .arg(artifacts::workspace().join("tests/sdk/drive.py"))
        .args([url(&stack.envoy.listener), url(&vendor.endpoint())]);
    drive.env("PYTHONPATH", fetch::sdks().unwrap()).env("NO_PROXY", "*").env("PYTHONDONTWRITEBYTECODE", "1");
    // Six clients to load, and their hundreds of requests.
    let output = tokio::time::timeout(5 * PATIENCE, drive.kill_on_drop(true).output()).await;
    let output = output.expect("all cases in time").unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(printed.lines().filter(|line| line.starts_with("same\t")).count(), 74, "{printed}");
}
