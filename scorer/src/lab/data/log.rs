//! An append-only file of JSON lines that the next run can continue, with the settings that made it beside it.
//!
//! Beside `NAME` lies `NAME.settings`: the settings that every line was made with. A run with other settings is refused, since
//! its lines would not compare. The file is locked while it is open for writing, so that two runs cannot do the work twice.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    error::DataError,
    lines::{Lines, MAX_OWN_LINE},
};

/// A value of a setting longer than this is not shown.
const SHOWN: usize = 60;

/// A file of lines, open for more.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
}

/// A file of lines that cannot be continued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// It cannot be written.
    #[error("cannot write {file}")]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another program has it open.
    #[error("another run is writing {0}: wait for its end, or choose another --out")]
    Busy(PathBuf),
    /// A line is not one of ours.
    #[error(transparent)]
    Line(#[from] DataError),
    /// It has lines, but nothing says how they were made.
    #[error("{file} is there, but {settings}, which says how it was made, is not: choose another --out")]
    Foreign {
        /// The file.
        file: PathBuf,
        /// The settings that are missing.
        settings: PathBuf,
    },
    /// Its lines were made with other settings.
    #[error("{file} was made with other settings: {differences}; use the same again, or choose another --out")]
    Settings {
        /// The file.
        file: PathBuf,
        /// Which settings differ, and how.
        differences: String,
    },
}

impl Log {
    /// Opens a file, or makes it, and gives each of its lines to `each`, which may say what is wrong with it. A last line
    /// that a killed run left torn is cut off.
    ///
    /// # Errors
    /// Any [`LogError`]; the file's lines are as they were.
    pub fn open<R: DeserializeOwned>(
        path: &Path,
        settings: &impl Serialize,
        mut each: impl FnMut(R) -> Result<(), String>,
    ) -> Result<Self, LogError> {
        let write = |source| LogError::Write { file: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(write)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LogError::Busy(path.to_owned()),
            TryLockError::Error(source) => write(source),
        })?;
        let length = file.metadata().map_err(write)?.len();
        check_settings(path, settings, length == 0)?;
        let mut lines = Lines::open(path, MAX_OWN_LINE)?;
        let (mut whole, mut unended) = (0, false);
        while lines.advance()?.is_some() {
            match lines.json::<R>("as this program wrote it: take it out, and it will be made again") {
                Ok(record) => each(record).map_err(|problem| lines.fault(problem))?,
                Err(_) if lines.is_torn() => break,
                Err(error) => return Err(error.into()),
            }
            (whole, unended) = (lines.end(), lines.is_torn());
        }
        if unended {
            // The line is whole, and only its end is missing.
            file.write_all(b"\n").map_err(write)?;
        } else {
            file.set_len(whole).map_err(write)?;
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Adds a line. When this returns, a kill of the program cannot take it away.
    ///
    /// # Errors
    /// [`LogError::Write`]; the line may be there in part, and is cut off at the next [`Self::open`].
    pub fn append(&mut self, record: &impl Serialize) -> Result<(), LogError> {
        let mut line = serde_json::to_vec(record).map_err(|error| self.failed(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|source| self.failed(source))
    }

    /// Waits until the lines are on the disk.
    ///
    /// # Errors
    /// [`LogError::Write`].
    pub fn sync(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> LogError {
        LogError::Write { file: self.path.clone(), source }
    }
}

/// The file with the settings of a log.
pub fn settings_file(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".settings");
    name.into()
}

/// Writes a file whole or not at all: beside its place first, then into it. A link is followed, and what is there and no file,
/// such as `/dev/stdout`, is written into.
///
/// # Errors
/// Whatever the file system says; the file is as it was.
pub fn write_whole(path: &Path, content: impl FnOnce(&mut io::BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let mut out = io::BufWriter::new(File::options().write(true).open(path)?);
        content(&mut out)?;
        return out.flush();
    }
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let write = || {
        let mut out = io::BufWriter::new(File::create(&part)?);
        content(&mut out)?;
        out.into_inner()?.sync_data()?;
        fs::rename(&part, &path)
    };
    write().inspect_err(|_| _ = fs::remove_file(&part))
}

fn check_settings(path: &Path, settings: &impl Serialize, empty: bool) -> Result<(), LogError> {
    let beside = settings_file(path);
    let write = |source| LogError::Write { file: beside.clone(), source };
    let now = serde_json::to_value(settings).map_err(|error| write(error.into()))?;
    if empty {
        return write_whole(&beside, |out| writeln!(out, "{now:#}")).map_err(write);
    }
    let text = match fs::read(&beside) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LogError::Foreign { file: path.to_owned(), settings: beside });
        }
        Err(source) => return Err(DataError::Read { file: beside, source }.into()),
    };
    // Settings that are no JSON are no settings of this log's.
    let then: Value = serde_json::from_slice(&text).unwrap_or_default();
    let mut differences = Vec::new();
    compare("", &then, &now, &mut differences);
    if differences.is_empty() {
        return Ok(());
    }
    Err(LogError::Settings { file: path.to_owned(), differences: differences.join(", ") })
}

/// Finds where two settings differ, at every depth.
fn compare(name: &str, then: &Value, now: &Value, differences: &mut Vec<String>) {
    if let (Value::Object(then), Value::Object(now)) = (then, now) {
        let none = Value::Null;
        let get = |map: &Map<String, Value>, key: &str| map.get(key).unwrap_or(&none).clone();
        let keys = then.keys().chain(now.keys().filter(|key| !then.contains_key(*key)));
        for key in keys {
            let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
            compare(&name, &get(then, key), &get(now, key), differences);
        }
    } else if then != now {
        let (then, now) = (then.to_string(), now.to_string());
        let values = if then.len().max(now.len()) > SHOWN { String::new() } else { format!(" was {then}, now {now}") };
        differences.push(format!("{name}{values}"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn links_and_devices_stay_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_whole(&link, |out| out.write_all(b"after")).unwrap();
        assert!(link.is_symlink() && fs::read(&file).unwrap() == b"after");
        write_whole(Path::new("/dev/null"), |out| out.write_all(b"gone")).unwrap();
        assert!(!Path::new("/dev/null").is_file());
    }

    /// Opens a log and gives its lines.
    fn open(path: &Path, settings: &Value) -> Result<(Log, Vec<u64>), String> {
        let mut lines = Vec::new();
        let log = Log::open(path, settings, |line: u64| {
            lines.push(line);
            Ok(())
        });
        let folder = path.parent().unwrap().display().to_string();
        Ok((log.map_err(|error| error.to_string().replace(&folder, "DIR"))?, lines))
    }

    #[test]
    fn what_was_appended_is_there_and_can_be_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let settings = json!({"a": 1});
        let (mut log, lines) = open(&path, &settings).unwrap();
        assert!(lines.is_empty());
        log.append(&1).unwrap();
        log.append(&2).unwrap();
        let busy = open(&path, &settings).unwrap_err();
        insta::assert_snapshot!(busy, @"another run is writing DIR/log: wait for its end, or choose another --out");
        drop(log);
        let (mut log, lines) = open(&path, &settings).unwrap();
        assert_eq!(lines, [1, 2]);
        log.append(&3).unwrap();
        drop(log);
        assert_eq!(open(&path, &settings).unwrap().1, [1, 2, 3]);
    }

    #[test]
    fn lines_that_were_made_otherwise_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let settings =
            |temperature: f64, long: &str| json!({"small": {"model": "s", "long": long}, "temperature": temperature});
        open(&path, &settings(0.7, "")).unwrap().0.append(&1).unwrap();
        let long = "secret".repeat(20);
        insta::assert_snapshot!(open(&path, &settings(1.0, &long)).unwrap_err(), @"DIR/log was made with other settings: small.long, temperature was 0.7, now 1.0; use the same again, or choose another --out");
        fs::remove_file(settings_file(&path)).unwrap();
        insta::assert_snapshot!(open(&path, &settings(0.7, "")).unwrap_err(), @"DIR/log is there, but DIR/log.settings, which says how it was made, is not: choose another --out");
        assert_eq!(fs::read(&path).unwrap(), b"1\n", "nothing was changed");
    }

    #[test]
    fn an_empty_log_takes_any_settings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        drop(open(&path, &json!({"a": 1})).unwrap());
        drop(open(&path, &json!({"a": 2})).unwrap());
        assert_eq!(fs::read_to_string(settings_file(&path)).unwrap(), "{\n  \"a\": 2\n}\n");
    }

    #[test]
    fn a_torn_line_in_the_middle_is_no_kill_and_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        drop(open(&path, &json!(1)).unwrap());
        fs::write(&path, "1\n{\"secr\n3\n").unwrap();
        insta::assert_snapshot!(open(&path, &json!(1)).unwrap_err(), @"DIR/log, line 2: is not as it must be; a line must be as this program wrote it: take it out, and it will be made again");
        assert_eq!(fs::read(&path).unwrap(), b"1\n{\"secr\n3\n", "nothing was changed");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A kill can leave any prefix of the last line.
        #[test]
        fn whole_lines_outlive_a_kill_at_any_byte(records in prop::collection::vec("\\PC{0,12}", 1..5), cut in 0.0..1.0) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            let open = || {
                let mut lines = Vec::new();
                let log = Log::open(&path, &json!(1), |line: Value| { lines.push(line["r"].as_str().unwrap().to_owned()); Ok(()) });
                (log.unwrap(), lines)
            };
            let mut log = open().0;
            let mut ends = vec![0];
            for record in &records {
                log.append(&json!({"r": record})).unwrap();
                ends.push(fs::metadata(&path).unwrap().len());
            }
            drop(log);
            let cut = (cut * *ends.last().unwrap() as f64) as u64;
            File::options().write(true).open(&path).unwrap().set_len(cut).unwrap();
            let (mut log, lines) = open();
            // A line is whole without its end, too.
            let whole = ends[1..].iter().filter(|end| **end <= cut + 1).count();
            prop_assert_eq!(&lines, &records[..whole]);
            log.append(&json!({"r": "after"})).unwrap();
            drop(log);
            let (_, lines) = open();
            prop_assert_eq!(&lines[..whole], &records[..whole]);
            prop_assert_eq!(&lines[whole..], ["after"]);
        }
    }
}
