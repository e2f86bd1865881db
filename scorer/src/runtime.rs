//! Finding and loading the ONNX Runtime library.
//!
//! The library is loaded when the program starts, so one binary serves with the CPU build and with the CUDA build.

use std::{
    fmt::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use ort::{
    environment::Environment,
    ep,
    logging::LogLevel,
    session::{Session, builder::SessionBuilder},
};

/// What the search looks for in a folder: this, or this with a version after it.
const LIBRARY: &str = "libonnxruntime.so";
/// Where Python packages, and releases, keep the library below the folder that a user may name.
const SUBFOLDERS: [&str; 4] = ["", "capi", "onnxruntime/capi", "lib"];
/// The provider's library, beside the main one in builds that can use CUDA.
const CUDA_LIBRARY: &str = "libonnxruntime_providers_cuda.so";

/// What runs the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Provider {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

impl Provider {
    /// As in `--provider`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }

    /// The PyPI package that has the library for it.
    fn package(self) -> &'static str {
        match self {
            Self::Cpu => "onnxruntime==1.31.1",
            Self::Cuda => "onnxruntime-gpu==1.31.1",
        }
    }
}

/// The loaded library. One a process: ONNX Runtime allows one environment.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    provider: Provider,
    path: PathBuf,
}

/// The library cannot be found, loaded or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// Nothing was found.
    #[error("no ONNX Runtime library: tried {tried}\n{}", Install(*.provider))]
    NotFound {
        /// The places, in order.
        tried: String,
        /// What it was wanted for.
        provider: Provider,
    },
    /// What was found cannot be loaded, or is older than 1.24.
    #[error("the ONNX Runtime library {path} cannot be used: {reason}\n{}", Install(*.provider))]
    Load {
        /// The library.
        path: PathBuf,
        /// Why not.
        reason: String,
        /// What it was wanted for.
        provider: Provider,
    },
    /// The library has no CUDA provider.
    #[error("{path} is a build without CUDA: there is no {CUDA_LIBRARY} beside it\n{}", Install(Provider::Cuda))]
    NoCuda {
        /// The library.
        path: PathBuf,
    },
    /// The CUDA provider does not start.
    #[error(
        "CUDA cannot be used: {reason}\nIt needs an NVIDIA driver, and the CUDA 13 and cuDNN 9 libraries on \
         LD_LIBRARY_PATH; `--provider cpu` does without"
    )]
    Cuda {
        /// What ONNX Runtime says.
        reason: String,
    },
    /// ONNX Runtime refuses a setting.
    #[error("ONNX Runtime cannot be set up")]
    Setup(#[from] ort::Error),
}

/// The line of an error that says how to get the library.
struct Install(Provider);

impl fmt::Display for Install {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let package = self.0.package();
        write!(
            f,
            "To get it: `pip install --target DIR {package}`, then `--onnxruntime DIR/onnxruntime/capi` \
             (or HYBRID_LLM_ONNXRUNTIME)"
        )
    }
}

impl Runtime {
    /// Finds the library (`wanted`, a file or a folder; else `ORT_DYLIB_PATH`; else beside this program) and loads it.
    ///
    /// # Errors
    /// [`RuntimeError`] says what was tried and what to install.
    pub fn load(wanted: Option<&Path>, provider: Provider) -> Result<Self, RuntimeError> {
        let path = find(&candidates(wanted), provider)?;
        if provider == Provider::Cuda && !path.with_file_name(CUDA_LIBRARY).exists() {
            return Err(RuntimeError::NoCuda { path });
        }
        // Not `ort::init()`, which panics when there is no library.
        let builder = ort::init_from(&path).map_err(|error| RuntimeError::Load {
            path: path.clone(),
            reason: error.to_string(),
            provider,
        })?;
        let environment = builder.with_name("hybrid-llm").with_telemetry(false).with_logger(Arc::new(log)).build()?;
        Ok(Self { environment, provider, path })
    }

    /// What sessions run on.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// For sessions of one's own.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The library that was loaded.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The library's version where its file name tells, such as `1.31.1`; else `unknown`.
    pub fn version(&self) -> String {
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        version_of(&path).map_or_else(
            || "unknown".to_owned(),
            |version| {
                let parts: Vec<_> = version.iter().map(u32::to_string).collect();
                parts.join(".")
            },
        )
    }

    /// The beginning of a session on this runtime's provider.
    ///
    /// `threads` run one inference together. `spin` lets them wait for work busily, which is faster only while nothing
    /// else wants the cores.
    ///
    /// # Errors
    /// [`RuntimeError::Cuda`] when the GPU cannot be used: never a silent fall to the CPU.
    pub(crate) fn session(&self, threads: usize, spin: bool) -> Result<SessionBuilder, RuntimeError> {
        let builder = self.builder(threads, spin)?;
        match self.provider {
            Provider::Cpu => Ok(builder),
            Provider::Cuda => builder
                .with_execution_providers([ep::CUDA::default().build().error_on_failure()])
                .map_err(|error| RuntimeError::Cuda { reason: error.to_string() }),
        }
    }

    fn builder(&self, threads: usize, spin: bool) -> ort::Result<SessionBuilder> {
        let builder = Session::builder(&self.environment)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(spin)?;
        Ok(builder)
    }
}

/// A place to look, and what the error calls it.
struct Candidate {
    label: String,
    path: PathBuf,
}

/// Where to look. A path that was asked for is the only one: falling back would load another library than was meant.
fn candidates(wanted: Option<&Path>) -> Vec<Candidate> {
    if let Some(path) = wanted {
        let label = format!("--onnxruntime {}", path.display());
        let path = path.to_owned();
        return vec![Candidate { label, path }];
    }
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        let label = format!("ORT_DYLIB_PATH {}", path.display());
        return vec![Candidate { label, path }];
    }
    let program = std::env::current_exe();
    let beside = program.ok().and_then(|path| path.parent().map(Path::to_owned));
    let candidate = |path: PathBuf| Candidate { label: format!("beside this program in {}", path.display()), path };
    beside.map(candidate).into_iter().collect()
}

fn find(candidates: &[Candidate], provider: Provider) -> Result<PathBuf, RuntimeError> {
    let mut tried = String::new();
    for Candidate { label, path } in candidates {
        if path.is_file() {
            return Ok(path.clone());
        }
        let mut folders = SUBFOLDERS.iter().map(|folder| path.join(folder));
        if let Some(library) = folders.find_map(|folder| newest_in(&folder)) {
            return Ok(library);
        }
        let why = if path.is_dir() { "no libonnxruntime.so* there" } else { "not there" };
        // Writing to a String cannot fail.
        let _ = write!(tried, "{}{label} ({why})", if tried.is_empty() { "" } else { ", " });
    }
    Err(RuntimeError::NotFound { tried, provider })
}

/// The library with the highest version in a folder.
fn newest_in(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let libraries = files.filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix(LIBRARY)).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    libraries.max_by_key(|path| version_of(path))
}

/// `[1, 31, 1]` of `libonnxruntime.so.1.31.1`.
fn version_of(path: &Path) -> Option<Vec<u32>> {
    let version = path.file_name()?.to_str()?.strip_prefix(LIBRARY)?.strip_prefix('.')?;
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// Passes the library's messages on. They speak of nodes and shapes, never of inputs.
fn log(level: LogLevel, _category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Verbose => tracing::trace!(target: "onnxruntime", location, "{message}"),
        // What it calls information, such as every graph transformer's name, is only for debugging here.
        LogLevel::Info => tracing::debug!(target: "onnxruntime", location, "{message}"),
        LogLevel::Warning => tracing::warn!(target: "onnxruntime", location, "{message}"),
        LogLevel::Error | LogLevel::Fatal => {
            tracing::error!(target: "onnxruntime", location, "{message}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(path: &Path) -> Result<PathBuf, RuntimeError> {
        find(&candidates(Some(path)), Provider::Cpu)
    }

    #[test]
    fn the_newest_library_is_found_in_the_folders_that_packages_use() {
        let folder = tempfile::tempdir().unwrap();
        let capi = folder.path().join("onnxruntime/capi");
        std::fs::create_dir_all(&capi).unwrap();
        let names = ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.31.1", "libonnxruntime_providers_shared.so"];
        for name in names {
            std::fs::write(capi.join(name), "").unwrap();
        }
        let newest = capi.join("libonnxruntime.so.1.31.1");
        assert_eq!(look(folder.path()).unwrap(), newest);
        assert_eq!(look(&capi).unwrap(), newest);
        assert_eq!(
            look(&capi.join("libonnxruntime.so.1.9.0")).unwrap(),
            capi.join("libonnxruntime.so.1.9.0"),
            "a file that was asked for is the one"
        );
    }

    #[test]
    fn a_missing_library_is_an_error_that_says_what_to_install() {
        insta::assert_snapshot!(look(Path::new("/nowhere")).unwrap_err(), @r"
        no ONNX Runtime library: tried --onnxruntime /nowhere (not there)
        To get it: `pip install --target DIR onnxruntime==1.31.1`, then `--onnxruntime DIR/onnxruntime/capi` (or HYBRID_LLM_ONNXRUNTIME)
        ");
    }

    #[test]
    fn a_file_that_is_no_library_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        std::fs::write(&path, "not a library").unwrap();
        let error = Runtime::load(Some(&path), Provider::Cpu).unwrap_err();
        assert!(matches!(error, RuntimeError::Load { .. }), "{error}");
        let error = Runtime::load(Some(&path), Provider::Cuda).unwrap_err();
        assert!(matches!(error, RuntimeError::NoCuda { .. }), "{error}");
    }
}
