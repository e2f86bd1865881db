//! Errors of the lab's files. The messages never hold a query.

use std::{io, path::PathBuf};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file cannot be read.
    #[error("cannot read {file}")]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is a file of another kind.
    #[error("{file} {problem}")]
    Foreign {
        /// The file.
        file: PathBuf,
        /// What it is, and what to do.
        problem: String,
    },
    /// A line is not as it must be.
    #[error("{file}, line {line}: {problem}")]
    Line {
        /// The file.
        file: PathBuf,
        /// The line's number, from one.
        line: usize,
        /// What is wrong, and what must be.
        problem: String,
    },
    /// There is nothing to work with.
    #[error("{file} has no rows: it must have query data, JSON, one object a line")]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// No row has this model.
    #[error("{file} has no quality of {model:?} in any row; its models are {known}")]
    UnknownModel {
        /// The file.
        file: PathBuf,
        /// The model.
        model: String,
        /// The models there are.
        known: String,
    },
    /// A model cannot be compared with itself.
    #[error("the small and the large model are both {model:?}: a pair is of two models")]
    SamePair {
        /// The model.
        model: String,
    },
    /// Each model is in some row, but no row has both.
    #[error("no row of {file} has both {small:?} and {large:?}")]
    NoPair {
        /// The file.
        file: PathBuf,
        /// The small model.
        small: String,
        /// The large model.
        large: String,
    },
}
