//! Writing a folder whole or not at all.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::router::{MANIFEST, MODEL, TOKENIZER};

/// The file that is locked while a folder is made.
const LOCK: &str = "lock";
/// Where a folder is kept until another stands in its place.
const OLD: &str = "old";

/// A place where a router's folder will stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    folder: PathBuf,
    /// The folder that it is made in.
    parent: PathBuf,
}

/// A place where no folder can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Something is there.
    #[error("{folder} exists: choose another folder, or --force to replace the router in it")]
    Exists {
        /// The folder.
        folder: PathBuf,
    },
    /// What is there is more than a router.
    #[error("{folder} is not replaced, even with --force: it has {found}, which is no part of a router's folder")]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// Something in it.
        found: String,
    },
    /// The folder around it is missing.
    #[error("{folder} cannot be made: {parent} is not a folder")]
    Parent {
        /// The folder.
        folder: PathBuf,
        /// The one around it.
        parent: PathBuf,
    },
    /// The system says no.
    #[error("cannot write {folder}")]
    Write {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Target {
    /// Checks, before any work is done, that a folder can be made. One that is there must be empty, or, with `force`, have
    /// nothing but a router in it.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn check(folder: &Path, force: bool) -> Result<Self, TargetError> {
        let folder = folder.to_owned();
        let parent = match folder.parent() {
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) => parent.to_owned(),
            None => return Err(TargetError::Exists { folder }),
        };
        if !parent.is_dir() {
            return Err(TargetError::Parent { folder, parent });
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self { folder, parent }),
            Err(_) if folder.is_file() => return Err(TargetError::Exists { folder }),
            Err(source) => return Err(TargetError::Write { folder, source }),
        };
        let names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        if !names.is_empty() && !force {
            return Err(TargetError::Exists { folder });
        }
        match names.into_iter().find(|name| ![MANIFEST, MODEL, TOKENIZER].contains(&name.as_str())) {
            Some(found) => Err(TargetError::Foreign { folder, found }),
            None => Ok(Self { folder, parent }),
        }
    }

    /// Makes the folder: `fill` writes into one beside it, which takes its place when it is complete.
    ///
    /// # Errors
    /// Those of `fill`, or [`TargetError::Write`]; nothing has changed then.
    pub fn write<T, E: From<TargetError>>(&self, fill: impl FnOnce(&Path) -> Result<T, E>) -> Result<T, E> {
        let error = |source| TargetError::Write { folder: self.folder.clone(), source };
        let prefix = format!(".{}.hybrid-llm-", self.folder.file_name().unwrap_or_default().to_string_lossy());
        self.tidy(&prefix).map_err(error)?;
        let mut builder = tempfile::Builder::new();
        let aside = builder.prefix(&prefix).tempdir_in(&self.parent).map_err(error)?;
        // Whoever holds it is still at work here; the system lets go of it however that ends.
        let lock = fs::File::create(aside.path().join(LOCK)).map_err(error)?;
        lock.lock().map_err(error)?;
        // One further in, since the outer one is closed to other users.
        let made = aside.path().join("new");
        fs::create_dir(&made).map_err(error)?;
        let filled = fill(&made)?;
        let old = aside.path().join(OLD);
        let had_old = self.folder.exists();
        if had_old {
            fs::rename(&self.folder, &old).map_err(error)?;
        }
        if let Err(source) = fs::rename(&made, &self.folder) {
            if had_old {
                fs::rename(&old, &self.folder).map_err(error)?;
            }
            return Err(error(source).into());
        }
        Ok(filled)
    }

    /// Removes what earlier runs left that were killed. One that had put the old folder aside, and not the new one in its place,
    /// gets the old one back.
    fn tidy(&self, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(&self.parent)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(prefix) {
                continue;
            }
            let left = entry.path();
            let Ok(lock) = fs::File::open(left.join(LOCK)) else { continue };
            if lock.try_lock().is_err() {
                continue;
            }
            let old = left.join(OLD);
            if old.exists() && !self.folder.exists() {
                fs::rename(&old, &self.folder)?;
            }
            fs::remove_dir_all(&left)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(target: &Target) -> Result<(), TargetError> {
        target.write(|folder| {
            fs::write(folder.join(MODEL), "new").unwrap();
            Ok(())
        })
    }

    fn entries(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_folder_appears_whole_and_leaves_nothing_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("router");
        write(&Target::check(&folder, false).unwrap()).unwrap();
        assert_eq!((entries(place.path()), entries(&folder)), (vec!["router".to_owned()], vec![MODEL.to_owned()]));
        let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        fs::create_dir(place.path().join("plain")).unwrap();
        assert_eq!(mode(&folder), mode(&place.path().join("plain")), "others may read it");
    }

    #[test]
    fn a_failure_leaves_everything_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("router");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(MODEL), "old").unwrap();
        let target = Target::check(&folder, true).unwrap();
        let failed: Result<(), TargetError> = target.write(|made| {
            fs::write(made.join(MODEL), "half").unwrap();
            Err(TargetError::Exists { folder: made.to_owned() })
        });
        assert!(failed.is_err());
        assert_eq!(entries(place.path()), ["router"]);
        assert_eq!(fs::read_to_string(folder.join(MODEL)).unwrap(), "old");
        write(&target).unwrap();
        assert_eq!(fs::read_to_string(folder.join(MODEL)).unwrap(), "new");
        assert_eq!(entries(place.path()), ["router"]);
    }

    #[test]
    fn what_a_killed_run_left_is_tidied_and_the_old_folder_is_back() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("router");
        let left = |name: &str| {
            let left = place.path().join(name);
            fs::create_dir_all(left.join("new")).unwrap();
            (fs::File::create(left.join(LOCK)).unwrap(), left)
        };
        let (_, killed) = left(".router.hybrid-llm-killed");
        fs::create_dir(killed.join(OLD)).unwrap();
        fs::write(killed.join(OLD).join(MODEL), "old").unwrap();
        let (at_work, _) = left(".router.hybrid-llm-at-work");
        at_work.lock().unwrap();
        left(".other.hybrid-llm-killed");
        let seen: Result<(), TargetError> = Target::check(&folder, true).unwrap().write(|made| {
            assert_eq!(fs::read_to_string(folder.join(MODEL)).unwrap(), "old", "the only one that there is");
            Err(TargetError::Exists { folder: made.to_owned() })
        });
        assert!(seen.is_err());
        let mut left = entries(place.path());
        left.sort();
        assert_eq!(left, [".other.hybrid-llm-killed", ".router.hybrid-llm-at-work", "router"]);
    }

    #[test]
    fn only_an_empty_place_or_a_router_that_may_go_is_taken() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("router");
        let fault = |folder: &Path, force| {
            let error = Target::check(folder, force).unwrap_err().to_string();
            error.replace(&place.path().display().to_string(), "DIR")
        };
        insta::assert_snapshot!(fault(&folder.join("deep"), false), @"DIR/router/deep cannot be made: DIR/router is not a folder");
        fs::create_dir(&folder).unwrap();
        assert!(Target::check(&folder, false).is_ok(), "empty");
        fs::write(folder.join(MANIFEST), "").unwrap();
        insta::assert_snapshot!(fault(&folder, false), @"DIR/router exists: choose another folder, or --force to replace the router in it");
        assert!(Target::check(&folder, true).is_ok());
        insta::assert_snapshot!(fault(&folder.join(MANIFEST), true), @"DIR/router/router.json exists: choose another folder, or --force to replace the router in it");
        fs::write(folder.join("thesis.tex"), "").unwrap();
        insta::assert_snapshot!(fault(&folder, true), @"DIR/router is not replaced, even with --force: it has thesis.tex, which is no part of a router's folder");
        insta::assert_snapshot!(fault(Path::new("/"), true), @"/ exists: choose another folder, or --force to replace the router in it");
    }
}
