//! Query data: queries with the quality of models' responses to them, JSON, one a line.
//!
//! A line is `{"id", "source", "query", "quality": {"MODEL": [q, …]}}`: one number for each sampled response of a model,
//! higher is better, on a scale that is the same for all models. `id` and `source` may be missing: the line's number and the
//! file's name stand in. `kind` and `lang` may say of what kind a query is, and in which language; other keys do not matter.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{
    error::DataError,
    lines::{Lines, MAX_LINE},
    names::name,
};
use crate::lab::pair::Pair;

/// A line of query data.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRow {
    /// The line's number in its file, from one.
    pub line: usize,
    /// The query's name.
    pub id: String,
    /// Where the query is from.
    pub source: String,
    /// The text that is scored; never blank.
    pub query: String,
    /// Of what kind it is, and in which language, where the line says so.
    pub tags: Tags,
    /// The number under the key that was asked for, if it is there.
    pub column: Option<f64>,
    /// The qualities of each model's sampled responses; within ±1e100, and at least one a model.
    pub quality: BTreeMap<String, Vec<f64>>,
}

/// What a line says of a query besides its source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags {
    /// `kind`: what is asked for, such as `code`.
    pub kind: Option<Arc<str>>,
    /// `lang`: the query's language, such as `en`.
    pub lang: Option<Arc<str>>,
}

/// A query with the qualities of both models of a pair.
#[derive(Debug, Clone, PartialEq)]
pub struct PairRow {
    /// The query's name.
    pub id: String,
    /// Where the query is from.
    pub source: String,
    /// The text that is scored.
    pub query: String,
    /// Of what kind it is, and in which language.
    pub tags: Tags,
    /// q(S(x)), one for each sampled response; at least one.
    pub small: Vec<f64>,
    /// q(L(x)), one for each sampled response; at least one.
    pub large: Vec<f64>,
}

/// What becomes of rows that lack one of the pair's models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incomplete {
    /// They are an error.
    Refuse,
    /// They are left out.
    Skip,
}

/// The rows of one pair.
#[derive(Debug, Clone, PartialEq)]
pub struct PairData {
    /// The pair.
    pub pair: Pair,
    /// The rows, in the files' order; at least one.
    pub rows: Vec<PairRow>,
    /// How many rows were left out, since they lack one of the models.
    pub skipped: usize,
}

/// A quality is no further from zero than this: squares of what is larger, and their sums, would be no numbers.
const MAX_QUALITY: f64 = 1e100;

/// What a line must be, for messages.
const SHAPE: &str = r#"{"id", "source", "query", "quality": {"MODEL": [q, ...]}}, each q a number"#;

/// A line as it stands in the file.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default, deserialize_with = "name")]
    id: Option<String>,
    source: Option<String>,
    query: String,
    #[serde(default)]
    quality: BTreeMap<String, Samples>,
    #[serde(default, deserialize_with = "tag")]
    kind: Option<Arc<str>>,
    #[serde(default, deserialize_with = "tag")]
    lang: Option<Arc<str>>,
}

/// Reads a tag. What is no text, or blank, is none: other programs may mean something else by the key.
fn tag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<str>>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_str().map(str::trim).filter(|tag| !tag.is_empty()).map(Arc::from))
}

/// One response's quality may stand without brackets.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "quality must be numbers: {\"MODEL\": [q, ...]}")]
enum Samples {
    One(f64),
    Many(Vec<f64>),
}

/// The lines of a file of query data. Only one is in memory at a time; after an error there are no more.
#[derive(Debug)]
pub struct Rows {
    lines: Lines,
    source: String,
    column: Option<String>,
    ended: bool,
}

impl Rows {
    /// Opens a file.
    ///
    /// # Errors
    /// [`DataError::Read`].
    pub fn open(file: &Path) -> Result<Self, DataError> {
        let source = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { lines: Lines::open(file, MAX_LINE)?, source, column: None, ended: false })
    }

    /// The same with the number under a key of each line, where it is there: true counts as 1, false as 0.
    #[must_use]
    pub fn with_column(self, column: &str) -> Self {
        Self { column: Some(column.to_owned()), ..self }
    }

    fn column(&self) -> Result<Option<f64>, DataError> {
        let Some(name) = &self.column else { return Ok(None) };
        let number = match self.lines.json::<Map<String, Value>>(SHAPE)?.get(name) {
            None => return Ok(None),
            Some(Value::Bool(yes)) => Some(f64::from(u8::from(*yes))),
            Some(value) => value.as_f64().filter(|number| number.abs() <= MAX_QUALITY),
        };
        number.map(Some).ok_or_else(|| self.lines.fault(format!("{name}: must be a number, or true or false")))
    }

    /// The next line that is not blank.
    fn next_row(&mut self) -> Result<Option<QueryRow>, DataError> {
        match self.lines.advance()? {
            Some(_) => self.parse().map(Some),
            None => Ok(None),
        }
    }

    fn parse(&self) -> Result<QueryRow, DataError> {
        let line: Line = self.lines.json(SHAPE)?;
        if line.query.trim().is_empty() {
            return Err(self.lines.fault("query: must not be empty"));
        }
        let id = line.id.unwrap_or_else(|| self.lines.number().to_string());
        let mut quality = BTreeMap::new();
        for (model, samples) in line.quality {
            let samples = match samples {
                Samples::One(quality) => vec![quality],
                Samples::Many(samples) => samples,
            };
            if samples.is_empty() {
                let problem = "must have at least one number; leave the model out if it has none";
                return Err(self.lines.fault(format!("quality.{model}: {problem}")));
            }
            if let Some(odd) = samples.iter().find(|quality| quality.abs() > MAX_QUALITY) {
                let problem = format!("quality.{model}: {odd:e} is no quality: it must be within ±{MAX_QUALITY:e}");
                return Err(self.lines.fault(problem));
            }
            quality.insert(model, samples);
        }
        let source = line.source.unwrap_or_else(|| self.source.clone());
        let tags = Tags { kind: line.kind, lang: line.lang };
        let column = self.column()?;
        Ok(QueryRow { line: self.lines.number(), id, source, query: line.query, tags, column, quality })
    }
}

impl Iterator for Rows {
    type Item = Result<QueryRow, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_row().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

impl PairData {
    /// Reads the rows of a pair from a file, with a look at each as it is read: `each` may take its texts, so that they are not
    /// kept.
    ///
    /// # Errors
    /// The first [`DataError`], in the file's order.
    pub fn read(
        file: &Path,
        pair: &Pair,
        incomplete: Incomplete,
        mut each: impl FnMut(&mut PairRow),
    ) -> Result<Self, DataError> {
        if pair.small == pair.large {
            return Err(DataError::SamePair { model: pair.small.clone() });
        }
        let mut data = Self { pair: pair.clone(), rows: Vec::new(), skipped: 0 };
        let mut known = BTreeSet::new();
        let mut first_incomplete = None;
        for row in Rows::open(file)? {
            let mut row = row?;
            for model in row.quality.keys() {
                if !known.contains(model) {
                    known.insert(model.clone());
                }
            }
            match (row.quality.remove(&pair.small), row.quality.remove(&pair.large)) {
                (Some(small), Some(large)) => {
                    let QueryRow { id, source, query, tags, .. } = row;
                    let mut row = PairRow { id, source, query, tags, small, large };
                    each(&mut row);
                    data.rows.push(row);
                }
                (small, _) => {
                    let missing = if small.is_none() { &pair.small } else { &pair.large };
                    first_incomplete.get_or_insert((row.line, missing.clone()));
                    data.skipped += 1;
                }
            }
        }
        let file = file.to_owned();
        if data.rows.is_empty() && data.skipped == 0 {
            return Err(DataError::Empty { file });
        }
        if let Some(model) = [&pair.small, &pair.large].into_iter().find(|model| !known.contains(*model)) {
            let known: Vec<_> = known.into_iter().collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(DataError::UnknownModel { file, model: model.clone(), known });
        }
        match first_incomplete {
            Some((line, model)) if incomplete == Incomplete::Refuse => {
                let problem = format!("has no quality of {model:?}; --skip-incomplete leaves such rows out");
                Err(DataError::Line { file, line, problem })
            }
            _ if data.rows.is_empty() => {
                Err(DataError::NoPair { file, small: pair.small.clone(), large: pair.large.clone() })
            }
            _ => Ok(data),
        }
    }
}

impl PairRow {
    /// The mean quality of the small model's responses.
    pub fn small_mean(&self) -> f64 {
        mean(&self.small)
    }

    /// The mean quality of the large model's responses.
    pub fn large_mean(&self) -> f64 {
        mean(&self.large)
    }

    /// E[H(x)]: how much better the small model's responses are than the large one's, on average.
    pub fn gap(&self) -> f64 {
        self.small_mean() - self.large_mean()
    }
}

/// The mean of qualities.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file
    }

    fn read(content: &str, incomplete: Incomplete) -> Result<PairData, String> {
        let file = file(content);
        let pair = Pair { small: "s".to_owned(), large: "l".to_owned() };
        let path = file.path().display().to_string();
        PairData::read(file.path(), &pair, incomplete, |_| {}).map_err(|error| error.to_string().replace(&path, "FILE"))
    }

    fn fault(content: &str) -> String {
        read(content, Incomplete::Refuse).unwrap_err()
    }

    #[test]
    fn a_model_is_no_pair() {
        let (file, pair) = (file(GOOD), Pair { small: "s".to_owned(), large: "s".to_owned() });
        let error = PairData::read(file.path(), &pair, Incomplete::Skip, |_| {}).unwrap_err();
        insta::assert_snapshot!(error, @r#"the small and the large model are both "s": a pair is of two models"#);
    }

    const GOOD: &str = r#"{"id": "a", "source": "t", "query": "q", "quality": {"s": [0, 1], "l": [1], "m": [0.5]}}"#;

    #[test]
    fn rows_hold_every_sample_of_the_pair() {
        let lines = format!("{GOOD}\n\n{{\"id\": 1.5, \"query\": \"r\", \"quality\": {{\"s\": 2, \"l\": [3.5, 4]}}}}");
        let data = read(&lines, Incomplete::Refuse).unwrap();
        let [first, second] = data.rows.as_slice() else { panic!("two rows") };
        assert_eq!((first.small.as_slice(), first.large.as_slice(), first.gap()), (&[0.0, 1.0][..], &[1.0][..], -0.5));
        assert_eq!((first.id.as_str(), first.source.as_str()), ("a", "t"));
        assert_eq!((second.id.as_str(), second.small_mean(), second.large_mean()), ("1.5", 2.0, 3.75));
        assert!(!second.source.is_empty(), "the file's name stands in for the source");
    }

    #[test]
    fn rows_without_one_of_the_models_are_refused_or_left_out() {
        let lines = format!("{GOOD}\n{{\"query\": \"r\", \"quality\": {{\"s\": [1]}}}}\n");
        insta::assert_snapshot!(fault(&lines), @r#"FILE, line 2: has no quality of "l"; --skip-incomplete leaves such rows out"#);
        let data = read(&lines, Incomplete::Skip).unwrap();
        assert_eq!((data.rows.len(), data.skipped), (1, 1));
    }

    #[test]
    fn faults_name_file_and_line_and_never_quote_the_query() {
        let line = |query: &str, quality: &str| format!("{GOOD}\n{{\"query\": {query}, \"quality\": {quality}}}\n");
        insta::assert_snapshot!(fault(&line("\"r\"", "{}")), @r#"FILE, line 2: has no quality of "s"; --skip-incomplete leaves such rows out"#);
        insta::assert_snapshot!(fault(&line("\"r\"", "{\"s\": [NaN], \"l\": [1]}")), @r#"FILE, line 2: is not JSON (column 34; NaN and Infinity are no JSON numbers); a line must be {"id", "source", "query", "quality": {"MODEL": [q, ...]}}, each q a number"#);
        insta::assert_snapshot!(fault(&line("\"r\"", "{\"s\": [null], \"l\": [1]}")), @r#"FILE, line 2: quality.s: is of a wrong type; a line must be {"id", "source", "query", "quality": {"MODEL": [q, ...]}}, each q a number"#);
        insta::assert_snapshot!(fault(&line("\"r\"", "{\"s\": [1e999], \"l\": [1]}")), @r#"FILE, line 2: is not JSON (column 38; NaN and Infinity are no JSON numbers); a line must be {"id", "source", "query", "quality": {"MODEL": [q, ...]}}, each q a number"#);
        insta::assert_snapshot!(fault(&line("\"r\"", "{\"s\": [1, -1e101], \"l\": [1]}")), @"FILE, line 2: quality.s: -1e101 is no quality: it must be within ±1e100");
        insta::assert_snapshot!(fault(&line("\"r\"", "{\"s\": [], \"l\": [1]}")), @"FILE, line 2: quality.s: must have at least one number; leave the model out if it has none");
        insta::assert_snapshot!(fault(&line("\" \"", "{\"s\": [1], \"l\": [1]}")), @"FILE, line 2: query: must not be empty");
        insta::assert_snapshot!(fault(&line("[\"secret\"]", "{\"s\": [1], \"l\": [1]}")), @r#"FILE, line 2: query: is of a wrong type; a line must be {"id", "source", "query", "quality": {"MODEL": [q, ...]}}, each q a number"#);
        insta::assert_snapshot!(fault("\"my secret prompt\"\n"), @r#"FILE, line 1: is not as it must be; a line must be {"id", "source", "query", "quality": {"MODEL": [q, ...]}}, each q a number"#);
        insta::assert_snapshot!(fault(&line("\"r\"", "\"my secret prompt\"")), @r#"FILE, line 2: quality: is of a wrong type; a line must be {"id", "source", "query", "quality": {"MODEL": [q, ...]}}, each q a number"#);
        insta::assert_snapshot!(fault("secret\n"), @r#"FILE, line 1: is not JSON (column 1; NaN and Infinity are no JSON numbers); a line must be {"id", "source", "query", "quality": {"MODEL": [q, ...]}}, each q a number"#);
        insta::assert_snapshot!(fault("{\"text\": \"secret\"}\n"), @r#"FILE, line 1: has no key "query"; a line must be {"id", "source", "query", "quality": {"MODEL": [q, ...]}}, each q a number"#);
        insta::assert_snapshot!(fault("\n"), @"FILE has no rows: it must have query data, JSON, one object a line");
        insta::assert_snapshot!(fault(&GOOD.replace("\"l\"", "\"other\"")), @r#"FILE has no quality of "l" in any row; its models are m, other, s"#);
        let apart = "{\"query\": \"a\", \"quality\": {\"s\": 1}}\n{\"query\": \"b\", \"quality\": {\"l\": 1}}\n";
        insta::assert_snapshot!(read(apart, Incomplete::Skip).unwrap_err(), @r#"no row of FILE has both "s" and "l""#);
    }

    #[test]
    fn a_line_that_is_no_query_but_a_whole_file_is_refused_unread() {
        let lines = format!("{GOOD}\n{{\"query\": \"{}\"}}", "x".repeat(10 << 20));
        insta::assert_snapshot!(fault(&lines), @"FILE, line 2: is longer than 4 MiB: one query must stand on a line");
    }
}
