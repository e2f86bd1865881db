//! A router folder: `router.json`, `model.onnx` and `tokenizer.json`.

mod calibration;
mod manifest;

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

pub use self::{
    calibration::{Calibration, CalibrationError, Row},
    manifest::{Histogram, Label, Manifest, ManifestError, Output, Score},
};

pub(crate) const MANIFEST: &str = "router.json";
pub(crate) const MODEL: &str = "model.onnx";
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// A router whose folder has been checked: the manifest is valid, the files are there and are the ones it names.
#[derive(Debug, Clone)]
pub struct Router {
    folder: PathBuf,
    manifest: Manifest,
}

/// A folder that is no usable router.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// A file of the folder is missing or cannot be read.
    #[error("router {folder}: cannot read {file} (a router folder has router.json, model.onnx and tokenizer.json)")]
    Read {
        /// The router's folder.
        folder: PathBuf,
        /// The file's name in it.
        file: String,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// The manifest is not valid.
    #[error("{path}: {source}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong in it.
        source: ManifestError,
    },
    /// A file is not the one that the manifest was written for.
    #[error(
        "router {folder}: the SHA-256 of {file} is {found}, but router.json says {expected}: copy the folder again, whole"
    )]
    Digest {
        /// The router's folder.
        folder: PathBuf,
        /// The file's name in it.
        file: String,
        /// The digest of what is there.
        found: String,
        /// The digest in the manifest.
        expected: String,
    },
}

/// What the API says of a query: its score, and what that score meant in calibration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Verdict {
    /// The router's score, in `[0, 1]`.
    pub score: f64,
    /// See [`Calibration::small_share`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub small_share: Option<f64>,
    /// See [`Calibration::quality_drop`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality_drop: Option<f64>,
}

impl Router {
    /// Opens a router's folder, reading its files once where the manifest gives their digests.
    ///
    /// # Errors
    /// [`RouterError`] names the file and what is wrong with it.
    pub fn open(folder: &Path) -> Result<Self, RouterError> {
        let path = folder.join(MANIFEST);
        let json = std::fs::read(&path).map_err(|source| read_error(folder, MANIFEST, source))?;
        let manifest = Manifest::parse(&json).map_err(|source| RouterError::Manifest { path, source })?;
        for file in [MODEL, TOKENIZER] {
            let opened = File::open(folder.join(file)).map_err(|source| read_error(folder, file, source))?;
            let Some(expected) = manifest.sha256.get(file) else {
                continue;
            };
            let found = sha256(opened).map_err(|source| read_error(folder, file, source))?;
            if !found.eq_ignore_ascii_case(expected) {
                return Err(RouterError::Digest {
                    folder: folder.to_owned(),
                    file: file.to_owned(),
                    found,
                    expected: expected.clone(),
                });
            }
        }
        Ok(Self { folder: folder.to_owned(), manifest })
    }

    /// The checked manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the ONNX model is.
    pub fn model_path(&self) -> PathBuf {
        self.folder.join(MODEL)
    }

    /// Where the tokenizer is.
    pub fn tokenizer_path(&self) -> PathBuf {
        self.folder.join(TOKENIZER)
    }
}

impl Manifest {
    /// What `score` means by this router's calibration.
    pub fn verdict(&self, score: f64) -> Verdict {
        Verdict {
            score,
            small_share: self.calibration.small_share(score),
            quality_drop: self.calibration.quality_drop(score),
        }
    }
}

fn read_error(folder: &Path, file: &str, source: io::Error) -> RouterError {
    RouterError::Read { folder: folder.to_owned(), file: file.to_owned(), source }
}

/// The hex SHA-256 of what is left to read.
pub(crate) fn sha256(mut file: File) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
    let mut hex = String::with_capacity(64);
    for byte in hasher.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn folder(sha256: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let manifest = format!(
            r#"{{"name": "r", "version": "1", "encoder": "e", "max_tokens": 8, "output": "sigmoid", "label": "det",
                "small": "s", "large": "l", "sha256": {{"model.onnx": "{sha256}"}}}}"#
        );
        std::fs::write(folder.path().join(MANIFEST), manifest).unwrap();
        std::fs::write(folder.path().join(MODEL), "").unwrap();
        std::fs::write(folder.path().join(TOKENIZER), "").unwrap();
        folder
    }

    fn fault(folder: &tempfile::TempDir) -> String {
        let error = Router::open(folder.path()).unwrap_err().to_string();
        error.replace(&folder.path().display().to_string(), "DIR")
    }

    #[test]
    fn a_folder_with_the_right_digest_opens() {
        let folder = folder(&EMPTY.to_uppercase());
        assert_eq!(Router::open(folder.path()).unwrap().manifest().name, "r");
    }

    #[test]
    fn another_model_than_the_manifests_is_refused() {
        insta::assert_snapshot!(fault(&folder("00")), @"router DIR: the SHA-256 of model.onnx is e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, but router.json says 00: copy the folder again, whole");
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = folder(EMPTY);
        std::fs::remove_file(folder.path().join(TOKENIZER)).unwrap();
        insta::assert_snapshot!(fault(&folder), @"router DIR: cannot read tokenizer.json (a router folder has router.json, model.onnx and tokenizer.json)");
    }
}
