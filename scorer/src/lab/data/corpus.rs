//! The rows of several files without their texts: read once for the qualities, and again, one by one, for the texts.
//!
//! The first reading finds what is wrong with the files before hours are spent on them, and keeps a few dozen bytes a row.

use std::{
    collections::HashSet,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::DataError,
    query_data::{Incomplete, PairData, PairRow, QueryRow, Rows, mean},
    split::QueryHash,
};
use crate::lab::pair::Pair;

/// A file, and the pair whose qualities are read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Query data.
    pub file: PathBuf,
    /// The two models.
    pub pair: Pair,
}

/// The rows of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where they are from.
    pub source: Source,
    /// Their places in [`Corpus::rows`].
    pub range: Range<usize>,
    /// How many of the file's rows were left out, since they lack one of the models.
    pub skipped: usize,
}

/// All rows, in the files' order.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// The files.
    pub parts: Vec<Part>,
    /// The rows, with no texts in them.
    pub rows: Vec<PairRow>,
    /// How long each query is, in characters.
    pub characters: Vec<u32>,
    hashes: Vec<QueryHash>,
    /// The kinds and languages of the rows, each once in memory.
    tags: HashSet<Arc<str>>,
    seed: u64,
}

/// A query with its texts, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its row's place in [`Corpus::rows`].
    pub row: usize,
    /// The file.
    pub file: PathBuf,
    /// The line in it, from one.
    pub line: usize,
    /// The query's name.
    pub id: String,
    /// Where the query is from.
    pub source: String,
    /// The text that is scored.
    pub query: String,
}

/// Files that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// What is in one of them.
    #[error(transparent)]
    Data(#[from] DataError),
    /// One cannot be read.
    #[error("cannot read {file}")]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// One is a pipe or a folder.
    #[error("{file} must be a regular file: it is read twice")]
    NotAFile {
        /// The file.
        file: PathBuf,
    },
    /// One stands there twice with the same pair.
    #[error("{file} is given twice: each of its rows would be taken for two")]
    Twice {
        /// The file.
        file: PathBuf,
    },
    /// One is not what it was when it was read first.
    #[error("{file} has changed while it was read: run again when nothing writes to it")]
    Changed {
        /// The file.
        file: PathBuf,
    },
}

impl Corpus {
    /// Reads files. `seed` makes other [`Corpus::hashes`].
    ///
    /// # Errors
    /// The first [`CorpusError`], in the files' order.
    pub fn read(sources: &[Source], incomplete: Incomplete, seed: u64) -> Result<Self, CorpusError> {
        let mut corpus = Self {
            parts: Vec::new(),
            rows: Vec::new(),
            characters: Vec::new(),
            hashes: Vec::new(),
            tags: HashSet::new(),
            seed,
        };
        for source in sources {
            corpus.add(source, incomplete)?;
        }
        Ok(corpus)
    }

    fn add(&mut self, source: &Source, incomplete: Incomplete) -> Result<(), CorpusError> {
        regular(&source.file)?;
        let real = |file: &Path| file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let known = |part: &Part| part.source.pair == source.pair && real(&part.source.file) == real(&source.file);
        if self.parts.iter().any(known) {
            return Err(CorpusError::Twice { file: source.file.clone() });
        }
        let (seed, from) = (self.seed, self.rows.len());
        let (hashes, characters, tags) = (&mut self.hashes, &mut self.characters, &mut self.tags);
        let data = PairData::read(&source.file, &source.pair, incomplete, |row| {
            hashes.push(QueryHash::new(&row.query, seed));
            characters.push(u32::try_from(row.query.chars().count()).unwrap_or(u32::MAX));
            row.query = String::new();
            row.id = String::new();
            row.source = String::new();
            for tag in [&mut row.tags.kind, &mut row.tags.lang].into_iter().flatten() {
                match tags.get(tag) {
                    Some(known) => *tag = Arc::clone(known),
                    None => _ = tags.insert(Arc::clone(tag)),
                }
            }
        })?;
        self.rows.extend(data.rows);
        let range = from..self.rows.len();
        self.parts.push(Part { source: source.clone(), range, skipped: data.skipped });
        Ok(())
    }

    /// What tells each row's query from others.
    pub fn hashes(&self) -> &[QueryHash] {
        &self.hashes
    }

    /// How many rows were left out of all files, since they lack one of the models.
    pub fn skipped(&self) -> usize {
        self.parts.iter().map(|part| part.skipped).sum()
    }

    /// The pairs of the files, each once, and each row's place among them.
    pub fn pairs(&self) -> (Vec<&Pair>, Vec<usize>) {
        let mut pairs: Vec<&Pair> = Vec::new();
        let mut of_rows = Vec::with_capacity(self.rows.len());
        for part in &self.parts {
            let pair = &part.source.pair;
            let at = pairs.iter().position(|known| *known == pair).unwrap_or_else(|| {
                pairs.push(pair);
                pairs.len() - 1
            });
            of_rows.resize(part.range.end, at);
        }
        (pairs, of_rows)
    }

    /// Reads the files again for the texts, in the rows' order, one at a time.
    pub fn texts(&self) -> impl Iterator<Item = Result<Text, CorpusError>> + Send + '_ {
        self.parts.iter().flat_map(|part| self.texts_of(part))
    }

    fn texts_of(&self, part: &Part) -> impl Iterator<Item = Result<Text, CorpusError>> + Send + '_ {
        let file = part.source.file.clone();
        self.rows_of(part, None).map(move |found| {
            let (row, QueryRow { line, id, source, query, .. }) = found?;
            Ok(Text { row, file: file.clone(), line, id, source, query })
        })
    }

    /// The number under a key of each row's line, read again from the files.
    ///
    /// # Errors
    /// [`CorpusError`]; a line without it is named.
    pub fn column(&self, name: &str) -> Result<Vec<f64>, CorpusError> {
        let rows = self.parts.iter().flat_map(|part| {
            let named = |(_, row)| (part.source.file.clone(), row);
            self.rows_of(part, Some(name)).map(move |found| found.map(named))
        });
        rows.map(|found| {
            let (file, row) = found?;
            let missing = || DataError::Line { file, line: row.line, problem: format!("has no key {name:?}") };
            Ok(row.column.ok_or_else(missing)?)
        })
        .collect()
    }

    /// The mean qualities of another pair's small and large model on each row, read again from the files; `None` where a row
    /// lacks one of them.
    ///
    /// # Errors
    /// [`CorpusError`].
    pub fn means_of(&self, pair: &Pair) -> Result<Vec<Option<(f64, f64)>>, CorpusError> {
        let rows = self.parts.iter().flat_map(|part| self.rows_of(part, None));
        let means = |row: &QueryRow| {
            let of = |model: &String| row.quality.get(model).map(|samples| mean(samples));
            Some((of(&pair.small)?, of(&pair.large)?))
        };
        rows.map(|found| Ok(means(&found?.1))).collect()
    }

    /// The rows of a file, read again, with the number under a key where one is named.
    fn rows_of(
        &self,
        part: &Part,
        column: Option<&str>,
    ) -> Box<dyn Iterator<Item = Result<(usize, QueryRow), CorpusError>> + Send + '_> {
        let Source { file, pair } = part.source.clone();
        let rows = match Rows::open(&file) {
            Ok(rows) => rows,
            Err(error) => return Box::new(std::iter::once(Err(error.into()))),
        };
        let rows = match column {
            Some(column) => rows.with_column(column),
            None => rows,
        };
        let has = move |row: &QueryRow| row.quality.contains_key(&pair.small) && row.quality.contains_key(&pair.large);
        let of_pair = rows.filter(move |row| row.as_ref().map_or(true, &has));
        Box::new(again(file, part.range.clone(), of_pair, |row, found: &QueryRow| self.is(row, &found.query)))
    }

    fn is(&self, row: usize, query: &str) -> bool {
        self.hashes.get(row) == Some(&QueryHash::new(query, self.seed))
    }
}

/// What is found when a file is read a second time, each with its place. `places` are those of the first time, and `same` says
/// whether what is found is what was there: a file that has changed, grown or shrunk is an error.
pub fn again<'a, T>(
    file: PathBuf,
    places: Range<usize>,
    found: impl Iterator<Item = Result<T, DataError>> + Send + 'a,
    same: impl Fn(usize, &T) -> bool + Send + 'a,
) -> impl Iterator<Item = Result<(usize, T), CorpusError>> + Send + 'a {
    // One more than there were, so that a file that has grown is noticed, as is one that has shrunk.
    let expected = places.map(Some).chain([None]);
    let mut found = found.fuse();
    expected.filter_map(move |place| match (place, found.next()) {
        (_, Some(Err(error))) => Some(Err(error.into())),
        (None, None) => None,
        (Some(place), Some(Ok(found))) if same(place, &found) => Some(Ok((place, found))),
        _ => Some(Err(CorpusError::Changed { file: file.clone() })),
    })
}

/// Refuses what cannot be read twice.
///
/// # Errors
/// [`CorpusError::Read`] and [`CorpusError::NotAFile`].
pub fn regular(file: &Path) -> Result<(), CorpusError> {
    let found = std::fs::metadata(file).map_err(|source| CorpusError::Read { file: file.to_owned(), source })?;
    if found.is_file() { Ok(()) } else { Err(CorpusError::NotAFile { file: file.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(query: &str, small: f64) -> String {
        format!("{{\"query\": \"{query}\", \"quality\": {{\"s\": [{small}], \"l\": [1]}}}}\n")
    }

    fn source(folder: &Path, name: &str, content: &str) -> Source {
        let file = folder.join(name);
        std::fs::write(&file, content).unwrap();
        Source { file, pair: Pair { small: "s".to_owned(), large: "l".to_owned() } }
    }

    fn many(range: Range<usize>) -> String {
        range.map(|number| line(&format!("query {number}"), 0.5)).collect()
    }

    #[test]
    fn rows_keep_no_texts_and_texts_come_again_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let first = source(folder.path(), "a.jsonl", &format!("\n{}", many(0..2)));
        let lone = "{\"query\": \"lone\", \"quality\": {\"s\": [1]}}\n";
        let second = source(folder.path(), "b.jsonl", &format!("{lone}{}", many(2..3)));
        let corpus = Corpus::read(&[first, second], Incomplete::Skip, 0).unwrap();
        assert!(corpus.rows.iter().all(|row| row.query.is_empty()));
        assert_eq!(corpus.characters, [7, 7, 7]);
        let texts: Vec<_> = corpus.texts().map(Result::unwrap).map(|text| (text.row, text.line, text.query)).collect();
        let expected = [(0, 2, "query 0"), (1, 3, "query 1"), (2, 2, "query 2")];
        assert_eq!(texts, expected.map(|(row, line, query)| (row, line, query.to_owned())));
        assert_eq!((corpus.parts[1].skipped, corpus.skipped()), (1, 1));
    }

    #[test]
    fn kinds_columns_and_other_pairs_are_read_in_the_rows_order() {
        let folder = tempfile::tempdir().unwrap();
        let content = r#"{"query": "a", "kind": "code", "lang": "en", "rating": 0.5, "quality": {"s": 1, "l": [0, 1], "t": 0, "m": 1}}
{"query": "b", "kind": ["odd"], "lang": " ", "rating": true, "quality": {"s": 1, "l": 1, "t": 1}}
{"query": "lone", "kind": "code", "quality": {"s": 1}}
{"query": "c", "kind": "code", "rating": -2, "quality": {"s": 0, "l": 1, "t": [0, 1], "m": 0.25}}
"#;
        let source = source(folder.path(), "a.jsonl", content);
        let corpus = Corpus::read(&[source], Incomplete::Skip, 0).unwrap();
        let tags: Vec<_> = corpus.rows.iter().map(|row| (row.tags.kind.as_deref(), row.tags.lang.as_deref())).collect();
        assert_eq!(tags, [(Some("code"), Some("en")), (None, None), (Some("code"), None)]);
        let [first, .., last] = corpus.rows.as_slice() else { panic!("three rows") };
        let kind = |row: &PairRow| row.tags.kind.clone().unwrap();
        assert!(Arc::ptr_eq(&kind(first), &kind(last)), "a kind is in memory once");
        assert_eq!(corpus.column("rating").unwrap(), [0.5, 1.0, -2.0]);
        let pair = Pair { small: "t".to_owned(), large: "m".to_owned() };
        assert_eq!(corpus.means_of(&pair).unwrap(), [Some((0.0, 1.0)), None, Some((0.5, 0.25))]);
        let fault = |column: &str| {
            corpus.column(column).unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "DIR")
        };
        insta::assert_snapshot!(fault("grade"), @r#"DIR/a.jsonl, line 1: has no key "grade""#);
        insta::assert_snapshot!(fault("lang"), @"DIR/a.jsonl, line 1: lang: must be a number, or true or false");
    }

    #[test]
    fn pairs_are_told_apart_and_files_of_one_pair_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let first = source(folder.path(), "a.jsonl", &many(0..1));
        let second = source(folder.path(), "b.jsonl", &many(1..2));
        let mut turned = first.clone();
        std::mem::swap(&mut turned.pair.small, &mut turned.pair.large);
        let corpus = Corpus::read(&[first, turned, second], Incomplete::Refuse, 0).unwrap();
        let (pairs, of_rows) = corpus.pairs();
        assert_eq!((pairs.len(), of_rows), (2, vec![0, 1, 0]));
    }

    #[test]
    fn files_that_change_meanwhile_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let changed = |content: String| {
            let source = source(folder.path(), "a.jsonl", &many(0..3));
            let corpus = Corpus::read(std::slice::from_ref(&source), Incomplete::Refuse, 0).unwrap();
            std::fs::write(&source.file, content).unwrap();
            let failure = corpus.texts().find_map(Result::err).unwrap().to_string();
            failure.replace(&folder.path().display().to_string(), "DIR")
        };
        let message = "DIR/a.jsonl has changed while it was read: run again when nothing writes to it";
        assert_eq!(changed(many(0..4)), message);
        assert_eq!(changed(many(0..2)), message);
        assert_eq!(changed(many(0..2) + &line("other", 1.0)), message);
        insta::assert_snapshot!(changed("secret".to_owned()), @r#"DIR/a.jsonl, line 1: is not JSON (column 1; NaN and Infinity are no JSON numbers); a line must be {"id", "source", "query", "quality": {"MODEL": [q, ...]}}, each q a number"#);
    }

    #[test]
    fn what_cannot_be_read_twice_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let pair = Pair { small: "s".to_owned(), large: "l".to_owned() };
        let fault = |file: PathBuf| {
            let sources = [Source { file, pair: pair.clone() }];
            let error = Corpus::read(&sources, Incomplete::Refuse, 0).unwrap_err();
            error.to_string().replace(&folder.path().display().to_string(), "DIR")
        };
        insta::assert_snapshot!(fault(folder.path().to_owned()), @"DIR must be a regular file: it is read twice");
        insta::assert_snapshot!(fault(folder.path().join("none.jsonl")), @"cannot read DIR/none.jsonl");
    }
}
