//! Builds what the rig runs from this workspace: the filter's module and the scorer's binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use thiserror::Error;

/// The WebAssembly target that the filter is built for.
const WASM_TARGET: &str = "wasm32-wasip1";

/// Why a build failed, and what to do about it.
#[derive(Debug, Clone, Error)]
pub enum BuildError {
    /// The WebAssembly target is missing and can't be added.
    #[error(
        "the Rust target {WASM_TARGET} is missing and could not be added ({0}); run: rustup target add {WASM_TARGET}"
    )]
    NoTarget(String),
    /// cargo said no.
    #[error("cargo build of {0} failed; its messages are above")]
    Cargo(&'static str),
}

/// Which scorer to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// With this crate's code unoptimised and everything it depends on optimised: quick to build, fit to test with.
    Dev,
    /// As it ships.
    Release,
}

/// The workspace's root.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// cargo's target directory.
#[must_use]
pub fn target_dir() -> PathBuf {
    let set = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    set.map_or_else(|| workspace().join("target"), |dir| workspace().join(dir))
}

/// The filter's module, built as it ships.
///
/// # Errors
/// The WebAssembly target can't be added, or the build fails.
pub fn filter() -> Result<PathBuf, BuildError> {
    static BUILT: OnceLock<Result<PathBuf, BuildError>> = OnceLock::new();
    let build = || {
        add_wasm_target()?;
        cargo_build("hybrid-llm-filter", &["--target", WASM_TARGET, "--profile", "wasm"])?;
        Ok(target_dir().join(WASM_TARGET).join("wasm").join("hybrid_llm_filter.wasm"))
    };
    BUILT.get_or_init(build).clone()
}

/// The scorer's binary.
///
/// # Errors
/// The build fails.
pub fn scorer(profile: Profile) -> Result<PathBuf, BuildError> {
    static BUILT: [OnceLock<Result<PathBuf, BuildError>>; 2] = [OnceLock::new(), OnceLock::new()];
    let (cell, folder, flags): (_, _, &[&str]) = match profile {
        Profile::Dev => (&BUILT[0], "debug", &["--bin", "hybrid-llm"]),
        Profile::Release => (&BUILT[1], "release", &["--bin", "hybrid-llm", "--release"]),
    };
    let build = || {
        cargo_build("hybrid-llm", flags)?;
        Ok(target_dir().join(folder).join("hybrid-llm"))
    };
    cell.get_or_init(build).clone()
}

/// The default router's folder.
#[must_use]
pub fn default_router() -> PathBuf {
    workspace().join("scorer/routers/default")
}

fn cargo_build(package: &'static str, flags: &[&str]) -> Result<(), BuildError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).args(["build", "--package", package]).args(flags).stdin(Stdio::null());
    // What cargo told this program of its own package: build scripts that look at it would run again, and all that depends
    // on them be compiled again, whenever it differs.
    let about_us = ["CARGO_PKG_", "CARGO_MANIFEST_"];
    for (name, _) in std::env::vars_os() {
        if about_us.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    match command.stdout(std::io::stderr()).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(BuildError::Cargo(package)),
    }
}

fn add_wasm_target() -> Result<(), BuildError> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir", "--target", WASM_TARGET]).output();
    let output = output.map_err(|error| BuildError::NoTarget(format!("rustc: {error}")))?;
    if Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup").args(["target", "add", WASM_TARGET]).stdout(std::io::stderr()).status();
    match added {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(BuildError::NoTarget(format!("rustup: {status}"))),
        Err(error) => Err(BuildError::NoTarget(format!("rustup: {error}"))),
    }
}
