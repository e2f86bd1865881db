//! Reads a file line by line, with errors that name file and line.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::{error::DataError, foreign};

/// The longest line that people write, in bytes. A longer one is no query but a mistake, and reading it would take its size
/// in memory.
pub const MAX_LINE: u64 = 4 << 20;
/// The longest line that this program writes: it can hold a query, a reference and a response.
pub const MAX_OWN_LINE: u64 = 32 << 20;

/// What some editors put before UTF-8 text; it is no part of the first line.
const BOM: &[u8] = "\u{feff}".as_bytes();

/// The lines of a file that are not blank.
#[derive(Debug)]
pub struct Lines {
    file: PathBuf,
    reader: BufReader<File>,
    longest: u64,
    line: usize,
    /// How many of them were not blank.
    given: usize,
    /// How many bytes have been read.
    end: u64,
    buffer: Vec<u8>,
}

impl Lines {
    /// Opens a file whose lines have at most `longest` bytes.
    ///
    /// # Errors
    /// [`DataError::Read`].
    pub fn open(file: &Path, longest: u64) -> Result<Self, DataError> {
        Self::new(file.to_owned(), File::open(file), longest)
    }

    /// The lines of standard input.
    ///
    /// # Errors
    /// [`DataError::Read`].
    pub fn stdin(longest: u64) -> Result<Self, DataError> {
        let input = io::stdin().as_fd().try_clone_to_owned().map(File::from);
        Self::new("standard input".into(), input, longest)
    }

    fn new(file: PathBuf, opened: io::Result<File>, longest: u64) -> Result<Self, DataError> {
        match opened {
            Ok(opened) => {
                let reader = BufReader::new(opened);
                Ok(Self { file, reader, longest, line: 0, given: 0, end: 0, buffer: Vec::new() })
            }
            Err(source) => Err(DataError::Read { file, source }),
        }
    }

    /// Goes to the next line that is not blank, and gives it without its end.
    ///
    /// # Errors
    /// [`DataError::Read`], [`DataError::Foreign`] where it is no text, or [`DataError::Line`] where a line is too long.
    pub fn advance(&mut self) -> Result<Option<&[u8]>, DataError> {
        loop {
            self.buffer.clear();
            let mut limited = (&mut self.reader).take(self.longest + 1);
            let read = limited.read_until(b'\n', &mut self.buffer);
            let read = read.map_err(|source| DataError::Read { file: self.file.clone(), source })?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.end += read as u64;
            if self.line == 1 {
                if let Some(what) = foreign::binary(&self.buffer) {
                    return Err(DataError::Foreign { file: self.file.clone(), problem: what.to_owned() });
                }
                if self.buffer.starts_with(BOM) {
                    self.buffer.drain(..BOM.len());
                }
            }
            if read as u64 > self.longest {
                let most = self.longest >> 20;
                return Err(self.fault(format!("is longer than {most} MiB: one query must stand on a line")));
            }
            if !self.buffer.trim_ascii().is_empty() {
                self.given += 1;
                return Ok(Some(self.current()));
            }
        }
    }

    /// The line that [`Self::advance`] went to, without its end.
    pub fn current(&self) -> &[u8] {
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Where the lines are from, for messages.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Its number, from one; blank lines count.
    pub fn number(&self) -> usize {
        self.line
    }

    /// Where it ends: how many bytes of the file stand up to its end.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether the file ends in the midst of it, without a line feed.
    pub fn is_torn(&self) -> bool {
        !self.buffer.is_empty() && !self.buffer.ends_with(b"\n")
    }

    /// What is wrong with it, as an error that names file and line.
    pub fn fault(&self, problem: impl Into<String>) -> DataError {
        DataError::Line { file: self.file.clone(), line: self.line, problem: problem.into() }
    }

    /// What the file is, if by its first line it has no object or query a line. `text` is whether any text can be a line.
    pub fn foreign(&self, text: bool) -> Option<DataError> {
        let line = std::str::from_utf8(self.current()).ok().filter(|_| self.given == 1)?;
        let problem = foreign::text(line, &self.file, text)?;
        Some(DataError::Foreign { file: self.file.clone(), problem })
    }

    /// Reads it as JSON. `shape` says what a line must be.
    ///
    /// # Errors
    /// [`DataError::Line`], which names the key that is wrong, and quotes no value; or [`DataError::Foreign`].
    pub fn json<T: DeserializeOwned>(&self, shape: &str) -> Result<T, DataError> {
        self.parse(self.current(), shape)
    }

    /// The same, with U+FFFD in place of unpaired surrogates.
    ///
    /// # Errors
    /// As [`Self::json`].
    pub fn whole_json<T: DeserializeOwned>(&self, shape: &str) -> Result<T, DataError> {
        let parsed = self.json(shape);
        match foreign::whole_characters(self.current()).filter(|_| parsed.is_err()) {
            Some(json) => self.parse(&json, shape),
            None => parsed,
        }
    }

    fn parse<T: DeserializeOwned>(&self, json: &[u8], shape: &str) -> Result<T, DataError> {
        let parsed = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(json));
        parsed.map_err(|error| {
            self.foreign(false)
                .unwrap_or_else(|| self.fault(format!("{}; a line must be {shape}", problem(&error, json))))
        })
    }
}

/// What is wrong with JSON, without the library's words, which can quote a query.
fn problem(error: &serde_path_to_error::Error<serde_json::Error>, json: &[u8]) -> String {
    let inner = error.inner();
    if let Err(error) = std::str::from_utf8(json) {
        let byte = error.valid_up_to() + 1;
        return format!("is not UTF-8 (byte {byte}): if it is Latin-1, convert it with iconv -f LATIN1 -t UTF-8");
    }
    if foreign::whole_characters(json).is_some() {
        return "has an unpaired surrogate (\\ud800 to \\udfff): replace it, for instance with \\ufffd".to_owned();
    }
    if inner.classify() != serde_json::error::Category::Data {
        return format!("is not JSON (column {}; NaN and Infinity are no JSON numbers)", inner.column());
    }
    let message = inner.to_string();
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
    match (missing, error.path().to_string().as_str()) {
        (Some((key, _)), _) => format!("has no key {key:?}"),
        (None, "." | "?") => "is not as it must be".to_owned(),
        (None, path) => format!("{path}: is of a wrong type"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Row {
        #[expect(dead_code, reason = "only its type matters")]
        query: String,
    }

    fn read(content: &[u8]) -> Result<Vec<(usize, Vec<u8>)>, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let text = |error: DataError| error.to_string().replace(&file.path().display().to_string(), "FILE");
        let mut lines = Lines::open(file.path(), MAX_LINE).map_err(text)?;
        let mut all = Vec::new();
        while let Some(line) = lines.advance().map_err(text)? {
            let line = line.to_vec();
            if line.starts_with(b"{") {
                lines.json::<Row>("{\"query\"}").map_err(text)?;
            }
            all.push((lines.number(), line));
        }
        Ok(all)
    }

    #[test]
    fn blank_lines_count_but_are_not_given_and_ends_are_cut() {
        let lines = read(b"a\r\n\n  \nb \n c").unwrap();
        assert_eq!(lines, [(1, b"a".to_vec()), (4, b"b ".to_vec()), (5, b" c".to_vec())]);
        assert!(read(b"").unwrap().is_empty());
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        let lines = read("\u{feff}a\n\u{feff}b\n".as_bytes()).unwrap();
        assert_eq!(lines, [(1, b"a".to_vec()), (2, "\u{feff}b".as_bytes().to_vec())]);
    }

    #[test]
    fn faults_name_the_line_and_the_key_and_quote_nothing() {
        let fault = |content: &str| read(content.as_bytes()).unwrap_err();
        insta::assert_snapshot!(fault("\n{secret}\n"), @r#"FILE, line 2: is not JSON (column 2; NaN and Infinity are no JSON numbers); a line must be {"query"}"#);
        insta::assert_snapshot!(fault("{\"text\": \"secret\"}"), @r#"FILE, line 1: has no key "query"; a line must be {"query"}"#);
        insta::assert_snapshot!(fault("{\"query\": [\"secret\"]}"), @r#"FILE, line 1: query: is of a wrong type; a line must be {"query"}"#);
        insta::assert_snapshot!(fault(&"x".repeat(10 << 20)), @"FILE, line 1: is longer than 4 MiB: one query must stand on a line");
    }

    #[test]
    fn the_longest_line_is_still_read() {
        let line = vec![b'x'; MAX_LINE as usize - 1];
        assert_eq!(read(&[&line[..], b"\n"].concat()).unwrap().len(), 1);
        assert_eq!(read(&line).unwrap().len(), 1);
    }
}
