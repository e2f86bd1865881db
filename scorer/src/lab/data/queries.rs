//! Queries without quality: JSONL, or text with one a line.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    error::DataError,
    lines::{Lines, MAX_LINE},
    names::{digest, name},
};

/// What a line of JSONL must be, for messages.
const SHAPE: &str = r#"{"id"?, "source"?, "query", "reference"?}"#;

/// A query to score, or to collect responses to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Its line in the file, from one.
    pub line: usize,
    /// Its name, unlike any other in the file. A query without one is named by its text ([`digest`]).
    pub id: String,
    /// Where it is from; without a word of its own, the file's name.
    pub source: String,
    /// What the models are asked; never blank.
    pub text: String,
    /// The right answer, or a pattern of it, where one is known.
    pub reference: Option<String>,
}

/// What a line of the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// JSONL where the first line begins with `{`, else text.
    Auto,
    /// A query.
    Text,
    /// A JSON object with the key "query".
    Jsonl,
}

/// A file of queries that cannot be used. The messages never hold a query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// It cannot be read, or a line is wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// There is nothing in it.
    #[error("{0} has no queries: it must have one a line, as text or as JSON objects {SHAPE}")]
    Empty(PathBuf),
}

#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default, deserialize_with = "name")]
    id: Option<String>,
    source: Option<String>,
    query: String,
    #[serde(default, deserialize_with = "name")]
    reference: Option<String>,
}

/// The queries of a file. Only one is in memory at a time; after an error there are no more.
#[derive(Debug)]
pub struct Queries {
    lines: Lines,
    source: String,
    jsonl: Option<bool>,
    ended: bool,
}

impl Queries {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// [`DataError::Read`].
    pub fn open(file: &Path, format: Format) -> Result<Self, DataError> {
        let stdin = file.as_os_str() == "-";
        let lines = if stdin { Lines::stdin(MAX_LINE)? } else { Lines::open(file, MAX_LINE)? };
        let source = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let jsonl = (format != Format::Auto).then_some(format == Format::Jsonl);
        Ok(Self { lines, source, jsonl, ended: false })
    }

    /// Where the queries are from, for messages.
    pub fn file(&self) -> &Path {
        self.lines.file()
    }

    fn next_query(&mut self) -> Result<Option<Named>, DataError> {
        let Some(line) = self.lines.advance()? else { return Ok(None) };
        let jsonl = match self.jsonl {
            Some(jsonl) => jsonl,
            None => {
                let jsonl = line.trim_ascii_start().starts_with(b"{");
                if let Some(error) = self.lines.foreign(true).filter(|_| !jsonl) {
                    return Err(error);
                }
                *self.jsonl.insert(jsonl)
            }
        };
        let found = parse(&self.lines, jsonl)?;
        if found.query.trim().is_empty() {
            return Err(self.lines.fault("query: must not be empty"));
        }
        let named = found.id.is_some();
        let query = Query {
            line: self.lines.number(),
            id: found.id.unwrap_or_else(|| digest(&found.query)),
            source: found.source.unwrap_or_else(|| self.source.clone()),
            text: found.query,
            reference: found.reference,
        };
        Ok(Some(Named { query, named }))
    }

    fn advance(&mut self) -> Option<Result<Named, DataError>> {
        if self.ended {
            return None;
        }
        let next = self.next_query().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Iterator for Queries {
    type Item = Result<Query, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().map(|found| found.map(|found| found.query))
    }
}

/// A query, and whether its id is one that the file gives.
struct Named {
    query: Query,
    named: bool,
}

/// Reads all queries of a file, of which each must have an id of its own.
///
/// # Errors
/// The first [`QueryError`] in the file's order.
pub fn read(file: &Path, format: Format) -> Result<Vec<Query>, QueryError> {
    read_each(file, format, |lines, before| {
        let problem = format!("is the same query as line {before}: take one of them out, or give each an \"id\"");
        Err(lines.fault(problem))
    })
}

/// Reads the queries of a log, in which users may ask the same twice: a query without an id is taken once. Gives how many
/// lines were left out for that, too.
///
/// # Errors
/// The first [`QueryError`] in the file's order.
pub fn read_log(file: &Path, format: Format) -> Result<(Vec<Query>, usize), QueryError> {
    let mut repeated = 0;
    let queries = read_each(file, format, |_, _| {
        repeated += 1;
        Ok(())
    })?;
    Ok((queries, repeated))
}

/// `repeated` says what becomes of a query without an id that stands on an earlier line, too.
fn read_each(
    file: &Path,
    format: Format,
    mut repeated: impl FnMut(&Lines, usize) -> Result<(), DataError>,
) -> Result<Vec<Query>, QueryError> {
    let mut all = Queries::open(file, format)?;
    let mut queries = Vec::new();
    let mut known = HashMap::new();
    while let Some(Named { query, named }) = all.advance().transpose()? {
        match known.get(&query.id) {
            None => {
                known.insert(query.id.clone(), query.line);
                queries.push(query);
            }
            Some(before) if named => {
                let problem = format!("has the same id as line {before}: each query must have one of its own");
                return Err(all.lines.fault(problem).into());
            }
            Some(before) => repeated(&all.lines, *before)?,
        }
    }
    if queries.is_empty() {
        return Err(QueryError::Empty(file.to_owned()));
    }
    Ok(queries)
}

fn parse(lines: &Lines, jsonl: bool) -> Result<Line, DataError> {
    if jsonl {
        return lines.whole_json(&format!("{SHAPE} (--format text takes lines as they are)"));
    }
    let query = std::str::from_utf8(lines.current())
        .map_err(|_| lines.fault("is not UTF-8: if it is Latin-1, convert it with iconv -f LATIN1 -t UTF-8"))?;
    Ok(Line { id: None, source: None, query: query.to_owned(), reference: None })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn queries(content: &[u8], format: Format) -> Result<Vec<Query>, String> {
        let mut file = tempfile::Builder::new().prefix("FILE").suffix(".jsonl").tempfile().unwrap();
        file.write_all(content).unwrap();
        let path = file.path().display().to_string();
        read(file.path(), format).map_err(|error| error.to_string().replace(&path, "FILE"))
    }

    #[test]
    fn the_first_line_decides_what_the_file_is() {
        let jsonl = b"{\"id\": 7, \"source\": \"s\", \"query\": \"a\", \"reference\": 42}\n\n{\"query\": \"b\", \"more\": []}\n";
        let [first, second] = queries(jsonl, Format::Auto).unwrap().try_into().unwrap();
        assert_eq!((first.id.as_str(), first.source.as_str(), first.reference.as_deref()), ("7", "s", Some("42")));
        assert_eq!((second.line, second.id.as_str(), second.reference), (3, "3e23e8160039594a", None));
        assert!(second.source.starts_with("FILE"), "the file's name stands in for the source");
        let text = queries(b"What is {}?\n{\"query\": \"text after text\"}\n", Format::Auto).unwrap();
        assert_eq!(text[1].text, "{\"query\": \"text after text\"}");
        assert_eq!(queries(jsonl, Format::Text).unwrap().len(), 2);
    }

    #[test]
    fn a_query_without_an_id_keeps_its_name_when_the_file_grows() {
        let before = queries(b"a\nb\n", Format::Auto).unwrap();
        let after = queries(b"new\nb\na\n", Format::Auto).unwrap();
        assert_eq!((&before[0].id, &before[1].id), (&after[2].id, &after[1].id));
    }

    #[test]
    fn a_log_may_repeat_queries_but_no_ids() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"{\"query\": \"a\"}\n{\"query\": \"b\"}\n{\"query\": \"a\"}\n{\"id\": 1, \"query\": \"a\"}\n")
            .unwrap();
        let (queries, repeated) = read_log(file.path(), Format::Auto).unwrap();
        let lines: Vec<usize> = queries.iter().map(|query| query.line).collect();
        assert_eq!((lines, repeated), (vec![1, 2, 4], 1));
        file.write_all(b"{\"id\": 1, \"query\": \"c\"}\n").unwrap();
        let fault = read_log(file.path(), Format::Auto).unwrap_err().to_string();
        assert!(fault.ends_with("line 5: has the same id as line 4: each query must have one of its own"), "{fault}");
    }

    #[test]
    fn faults_name_file_and_line_and_never_quote() {
        let fault = |content: &str| queries(content.as_bytes(), Format::Auto).unwrap_err();
        insta::assert_snapshot!(fault("{\"query\": \"a\"}\n{\"query\": \" \"}\n"), @"FILE, line 2: query: must not be empty");
        insta::assert_snapshot!(fault("{\"query\": \"a\"}\nsecret\n"), @r#"FILE, line 2: is not JSON (column 1; NaN and Infinity are no JSON numbers); a line must be {"id"?, "source"?, "query", "reference"?} (--format text takes lines as they are)"#);
        insta::assert_snapshot!(fault("{\"prompt\": \"secret\"}\n"), @r#"FILE, line 1: has no key "query"; a line must be {"id"?, "source"?, "query", "reference"?} (--format text takes lines as they are)"#);
        let jsonl = queries(b"secret\n", Format::Jsonl).unwrap_err();
        insta::assert_snapshot!(jsonl, @r#"FILE, line 1: is not JSON (column 1; NaN and Infinity are no JSON numbers); a line must be {"id"?, "source"?, "query", "reference"?} (--format text takes lines as they are)"#);
        insta::assert_snapshot!(fault("{\"query\": [\"secret\"]}\n"), @r#"FILE, line 1: query: is of a wrong type; a line must be {"id"?, "source"?, "query", "reference"?} (--format text takes lines as they are)"#);
        insta::assert_snapshot!(fault("{\"query\": \"a\", \"reference\": [\"secret\"]}\n"), @r#"FILE, line 1: reference: is of a wrong type; a line must be {"id"?, "source"?, "query", "reference"?} (--format text takes lines as they are)"#);
        insta::assert_snapshot!(fault("secret\nother\nsecret\n"), @r#"FILE, line 3: is the same query as line 1: take one of them out, or give each an "id""#);
        insta::assert_snapshot!(fault("{\"id\": 1, \"query\": \"a\"}\n{\"id\": \"1\", \"query\": \"b\"}\n"), @"FILE, line 2: has the same id as line 1: each query must have one of its own");
        insta::assert_snapshot!(fault("\n \n"), @r#"FILE has no queries: it must have one a line, as text or as JSON objects {"id"?, "source"?, "query", "reference"?}"#);
        insta::assert_snapshot!(fault(&"x".repeat(10 << 20)), @"FILE, line 1: is longer than 4 MiB: one query must stand on a line");
        let latin = queries(b"caf\xe9\n", Format::Auto).unwrap_err();
        insta::assert_snapshot!(latin, @"FILE, line 1: is not UTF-8: if it is Latin-1, convert it with iconv -f LATIN1 -t UTF-8");
    }
}
