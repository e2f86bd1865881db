//! Arguments that several commands share.

use std::{num::NonZeroUsize, path::PathBuf, thread};

use clap::ValueEnum;

use crate::runtime::{Provider, Runtime, RuntimeError};

/// What runs the model, and with how many threads.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Inference")]
pub(super) struct RuntimeArgs {
    /// The ONNX Runtime library: a file, or a folder such as DIR/onnxruntime/capi after
    /// `pip install --target DIR onnxruntime==1.31.1` [otherwise: ORT_DYLIB_PATH, then beside this program]
    #[arg(long, value_name = "PATH", env = "HYBRID_LLM_ONNXRUNTIME")]
    onnxruntime: Option<PathBuf>,

    /// What runs the model; `cuda` needs the library from onnxruntime-gpu, and never falls back to the processor
    #[arg(long, value_enum, default_value_t = Provider::Cpu, env = "HYBRID_LLM_PROVIDER")]
    provider: Provider,

    /// Model sessions that work at once, each on a thread of its own with its own copy of the weights, divided evenly
    /// between the routers [default: the number of cores; with cuda 2]
    #[arg(long, value_name = "N", env = "HYBRID_LLM_WORKERS")]
    workers: Option<NonZeroUsize>,

    /// Threads that run one inference together. More than 1 makes a lone query faster, and many at once slower
    #[arg(long, value_name = "N", default_value = "1", env = "HYBRID_LLM_THREADS_PER_WORKER")]
    threads_per_worker: NonZeroUsize,
}

impl RuntimeArgs {
    /// Loads the library.
    pub(super) fn load(&self) -> Result<Runtime, RuntimeError> {
        Runtime::load(self.onnxruntime.as_deref(), self.provider)
    }

    pub(super) fn provider(&self) -> Provider {
        self.provider
    }

    pub(super) fn workers(&self) -> usize {
        let default = match self.provider {
            Provider::Cpu => thread::available_parallelism().map_or(1, NonZeroUsize::get),
            // One runs while the other tokenizes.
            Provider::Cuda => 2,
        };
        self.workers.map_or(default, NonZeroUsize::get)
    }

    pub(super) fn threads(&self) -> usize {
        self.threads_per_worker.get()
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum LogLevel {
    /// Failures.
    Error,
    /// And what may become one.
    Warn,
    /// And what the program does.
    Info,
    /// And every connection that ends early.
    Debug,
}

impl LogLevel {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}
