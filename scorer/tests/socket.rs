//! Who may open the scorer's Unix socket. A test program of its own, since it starts others.
#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use std::{
    fs::Permissions,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::Path,
};

use hybrid_llm::http::{Listeners, UnixAddress};

/// Whether a program of another user can connect to a socket. Only root can start one.
fn another_user_can_open(path: &Path) -> bool {
    let connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", connect]).arg(path).stderr(std::process::Stdio::null());
    // The user of Envoy's official image.
    python.uid(101).gid(101).status().unwrap().success()
}

#[tokio::test]
async fn another_user_may_open_the_socket_as_its_mode_says() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("scorer.sock");
    let root = folder.path().metadata().unwrap().uid() == 0;
    for (mode, open) in [(0o666, true), (0o600, false)] {
        let listeners = Listeners::bind(None, Some(&UnixAddress { path: path.clone(), mode })).await.unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, mode);
        assert!(!root || another_user_can_open(&path) == open, "{mode:o}");
        drop(listeners);
    }
}
