//! Files of queries: text, one a line, or JSON lines.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use serde::Deserialize;

pub(super) use crate::lab::queries::Format;

/// A line of a JSONL file.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    query: Cow<'a, str>,
}

/// A query and where it came from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// Counted from 1, in the input.
    pub(super) line: usize,
    /// The query.
    pub(super) text: String,
}

/// Input that cannot be scored.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error("cannot read {file}")]
    Read { file: String, source: io::Error },
    #[error(
        "{file}, line {line}: must be a JSON object with the key \"query\", a string (column {column}); --format text takes lines as they are"
    )]
    Line { file: String, line: usize, column: usize },
    #[error("{file}, line {line}: is not UTF-8")]
    Utf8 { file: String, line: usize },
    #[error("{file}, line {line}: query: must not be empty")]
    Blank { file: String, line: usize },
    #[error("{file} has no queries")]
    Empty { file: String },
}

/// The input's name for messages, and its queries; `-` is standard input.
pub(super) fn open(path: &Path, format: Format) -> Result<(String, Vec<Query>), InputError> {
    let (file, read) = if path.as_os_str() == "-" {
        let file = "standard input".to_owned();
        let read = read(io::stdin().lock(), &file, format);
        (file, read)
    } else {
        let file = path.display().to_string();
        let opened = File::open(path).map_err(|source| InputError::Read { file: file.clone(), source })?;
        let read = read(BufReader::new(opened), &file, format);
        (file, read)
    };
    Ok((file, read?))
}

/// The queries of an input; blank lines are skipped.
fn read(input: impl BufRead, file: &str, format: Format) -> Result<Vec<Query>, InputError> {
    let mut queries = Vec::new();
    let mut jsonl = (format != Format::Auto).then_some(format == Format::Jsonl);
    for (bytes, line) in input.split(b'\n').zip(1..) {
        let bytes = bytes.map_err(|source| InputError::Read { file: file.to_owned(), source })?;
        let text = str::from_utf8(&bytes).map_err(|_| InputError::Utf8 { file: file.to_owned(), line })?.trim_end();
        if text.trim().is_empty() {
            continue;
        }
        let text = if *jsonl.get_or_insert(text.trim_start().starts_with('{')) {
            let parsed = serde_json::from_str::<Line<'_>>(text);
            // serde_json's own message may quote the line.
            let fault = |column| InputError::Line { file: file.to_owned(), line, column };
            let query = parsed.map_err(|error| fault(error.column()))?.query;
            if query.trim().is_empty() {
                return Err(InputError::Blank { file: file.to_owned(), line });
            }
            query.into_owned()
        } else {
            text.to_owned()
        };
        queries.push(Query { line, text });
    }
    if queries.is_empty() {
        let file = file.to_owned();
        return Err(InputError::Empty { file });
    }
    Ok(queries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &str, format: Format) -> Result<Vec<(usize, String)>, String> {
        let queries = read(input.as_bytes(), "FILE", format).map_err(|error| error.to_string())?;
        Ok(queries.into_iter().map(|query| (query.line, query.text)).collect())
    }

    #[test]
    fn the_first_line_decides_what_the_file_is() {
        let jsonl = "{\"id\": 1, \"query\": \"a \\\"b\\\"\"}\n\n{\"query\": \"c\"}\n";
        assert_eq!(lines(jsonl, Format::Auto).unwrap(), [(1, "a \"b\"".to_owned()), (3, "c".to_owned())]);
        assert_eq!(lines(jsonl, Format::Text).unwrap().len(), 2);
        let text = "what is {\"query\": 1}?\n{\"query\": \"text after text\"}\n";
        assert_eq!(lines(text, Format::Auto).unwrap()[1].1, "{\"query\": \"text after text\"}");
    }

    #[test]
    fn faults_name_file_and_line_and_never_quote() {
        let fault = |input, format| lines(input, format).unwrap_err();
        insta::assert_snapshot!(fault("{\"query\": \"a\"}\n{\"query\": 1}\n", Format::Auto), @r#"FILE, line 2: must be a JSON object with the key "query", a string (column 11); --format text takes lines as they are"#);
        insta::assert_snapshot!(fault("secret\n", Format::Jsonl), @r#"FILE, line 1: must be a JSON object with the key "query", a string (column 1); --format text takes lines as they are"#);
        insta::assert_snapshot!(fault("{\"prompt\": \"secret\"}\n", Format::Auto), @r#"FILE, line 1: must be a JSON object with the key "query", a string (column 20); --format text takes lines as they are"#);
        insta::assert_snapshot!(fault("{\"query\": \" \"}\n", Format::Auto), @"FILE, line 1: query: must not be empty");
        let latin = read(&b"a\ncaf\xe9\n"[..], "FILE", Format::Auto).unwrap_err();
        insta::assert_snapshot!(latin, @"FILE, line 2: is not UTF-8");
        insta::assert_snapshot!(fault("\n \n", Format::Auto), @"FILE has no queries");
    }
}
