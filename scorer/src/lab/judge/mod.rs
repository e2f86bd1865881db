//! Judging: from responses to query data, a quality for each response.
//!
//! A quality comes from comparing the response with a [reference](mod@reference), from a column that the line brings, or from a model that
//! is [asked](ask) by a [rubric] to [rate](rating) it. Without responses, a model can be asked for the quality that it expects
//! [from the query](from_query) alone, in [two ratings](two_ratings).

pub mod ask;
pub mod from_query;
mod numbers;
pub mod rating;
pub mod reference;
pub mod rubric;
mod summary;
pub mod two_ratings;

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;

pub use self::summary::{Distribution, ModelSummary, PairSummary, Summary};
use crate::lab::{
    data::{
        error::DataError,
        log::write_whole,
        responses::{Answered, Responses},
    },
    pair::Tier,
};

/// A row of query data, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GradedRow {
    /// The query's name.
    pub id: String,
    /// Where the query is from.
    pub source: String,
    /// The query.
    pub query: String,
    /// The qualities of each model's responses, in the order of the samples.
    pub quality: BTreeMap<String, Vec<f64>>,
}

/// All responses of a file, graded.
#[derive(Debug, Clone, PartialEq)]
pub struct Graded {
    /// The queries that have as many grades of every model as most queries have. Those of responses are in the order of their ids
    /// (numbers first), since that of the file is the order in which answers happened to come.
    pub rows: Vec<GradedRow>,
    /// How many other queries there are; they are left out.
    pub left_out: usize,
    /// Which tier a model is, where the file says so.
    pub tiers: BTreeMap<String, Tier>,
}

/// Responses that cannot be graded. The messages never hold a query or a response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// The file cannot be read, or a line is wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// There is nothing in it.
    #[error("{0} has no responses: run hybrid-llm collect first")]
    Empty(PathBuf),
    /// No query has all it needs.
    #[error(
        "no query has as many graded responses of every model as others have: run collect or judge again, until none is missing"
    )]
    AllLeftOut,
    /// The query data cannot be written.
    #[error("cannot write {file}")]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A query, while its grades come together.
#[derive(Debug)]
struct Gathered {
    source: String,
    query: String,
    /// Grades by model and sample; `None` where a response has no grade yet.
    grades: BTreeMap<String, BTreeMap<u32, Option<f64>>>,
}

/// Grades all responses of a file, one in memory at a time. `grade` gives a quality, or none where there is none yet, or says
/// what is wrong with the line; `column` is a key that it wants to see.
///
/// # Errors
/// [`JudgeError`]; the first wrong line is named.
pub fn grade_all(
    file: &Path,
    column: Option<&str>,
    mut grade: impl FnMut(&Answered) -> Result<Option<f64>, String>,
) -> Result<Graded, JudgeError> {
    let mut responses = Responses::open(file, column)?;
    let (mut order, mut places, mut tiers) = (Vec::<(String, Gathered)>::new(), HashMap::new(), BTreeMap::new());
    while let Some(answered) = responses.next() {
        let answered = answered?;
        let quality = grade(&answered).map_err(|problem| responses.fault(problem))?;
        if let Some(tier) = answered.tier {
            tiers.insert(answered.model.clone(), tier);
        }
        let place = *places.entry(answered.id.clone()).or_insert(order.len());
        if place == order.len() {
            let Answered { source, query, .. } = &answered;
            let gathered = Gathered { source: source.clone(), query: query.clone(), grades: BTreeMap::new() };
            order.push((answered.id.clone(), gathered));
        }
        // The place was made right above, if it was not there.
        if let Some((_, gathered)) = order.get_mut(place) {
            gathered.add(answered, quality).map_err(|problem| responses.fault(problem))?;
        }
    }
    if order.is_empty() {
        return Err(JudgeError::Empty(file.to_owned()));
    }
    Ok(Graded::complete(order, tiers))
}

/// Reads a quality from the column that a line brings: a number, or true (1) and false (0).
///
/// # Errors
/// What is wrong with it.
pub fn column_quality(name: &str, value: Option<&Value>) -> Result<f64, String> {
    let quality = match value {
        None => return Err(format!("has no key {name:?}, which is to be the quality")),
        Some(Value::Bool(good)) => Some(f64::from(u8::from(*good))),
        Some(value) => value.as_f64().filter(|quality| quality.is_finite()),
    };
    quality.ok_or_else(|| format!("{name}: must be a number, or true or false"))
}

impl Gathered {
    fn add(&mut self, answered: Answered, quality: Option<f64>) -> Result<(), String> {
        if self.query != answered.query {
            return Err("has another query than a line before with the same id".to_owned());
        }
        let grades = self.grades.entry(answered.model).or_default();
        let next = grades.last_key_value().map_or(0, |(last, _)| last + 1);
        match grades.insert(answered.sample.unwrap_or(next), quality) {
            None => Ok(()),
            Some(_) => Err("has the same id, model and sample as a line before: take one of them out".to_owned()),
        }
    }

    /// The first so many grades of each of these models, where all have them.
    fn complete(self, id: String, samples: &BTreeMap<String, usize>) -> Option<GradedRow> {
        let mut quality = BTreeMap::new();
        for (model, samples) in samples {
            let grades: Option<Vec<f64>> = self.grades.get(model)?.values().copied().take(*samples).collect();
            quality.insert(model.clone(), grades.filter(|grades| grades.len() == *samples)?);
        }
        Some(GradedRow { id, source: self.source, query: self.query, quality })
    }
}

/// How many responses most queries have of each model, the larger number where two are as common: a run that was begun with
/// more samples and ended with fewer has a few queries with more, which must not cost all the others.
fn usual_samples(queries: &[(String, Gathered)]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::<String, BTreeMap<usize, usize>>::new();
    for (model, grades) in queries.iter().flat_map(|(_, gathered)| &gathered.grades) {
        *counts.entry(model.clone()).or_default().entry(grades.len()).or_default() += 1;
    }
    let usual =
        |counts: BTreeMap<usize, usize>| counts.into_iter().max_by_key(|(samples, queries)| (*queries, *samples));
    counts.into_iter().filter_map(|(model, counts)| Some((model, usual(counts)?.0))).collect()
}

impl Graded {
    fn complete(queries: Vec<(String, Gathered)>, tiers: BTreeMap<String, Tier>) -> Self {
        let samples = usual_samples(&queries);
        let all = queries.len();
        let rows = queries.into_iter().filter_map(|(id, gathered)| gathered.complete(id, &samples));
        let mut rows: Vec<GradedRow> = rows.collect();
        rows.sort_by_cached_key(|row| {
            let number = row.id.parse::<u64>().ok();
            (number.is_none(), number, row.id.clone())
        });
        Self { left_out: all - rows.len(), rows, tiers }
    }

    /// Writes the query data, whole or not at all: at least one row.
    ///
    /// # Errors
    /// [`JudgeError`]; a file that was there is as it was.
    pub fn write(&self, out: &Path) -> Result<(), JudgeError> {
        if self.rows.is_empty() {
            return Err(JudgeError::AllLeftOut);
        }
        let written = write_whole(out, |out| {
            for row in &self.rows {
                serde_json::to_writer(&mut *out, row)?;
                writeln!(out)?;
            }
            Ok(())
        });
        written.map_err(|source| JudgeError::Write { file: out.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    /// A file of responses whose text is their grade.
    fn graded(lines: &[Value]) -> Result<Graded, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("r.jsonl");
        fs::write(&file, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let graded = grade_all(&file, None, |answered| match answered.response.as_deref() {
            Some("none") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| "is no number".to_owned()),
            None => Err("has no response".to_owned()),
        });
        let graded = graded.map_err(|error| error.to_string().replace(folder.path().to_str().unwrap(), "DIR"))?;
        let out = folder.path().join("data.jsonl");
        graded.write(&out).map_err(|error| error.to_string())?;
        let read: Vec<_> = crate::lab::data::query_data::Rows::open(&out).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.len(), graded.rows.len());
        for (read, written) in read.iter().zip(&graded.rows) {
            assert_eq!((&read.id, &read.source, &read.query), (&written.id, &written.source, &written.query));
            assert_eq!(read.quality, written.quality);
        }
        Ok(graded)
    }

    fn line(id: &str, model: &str, sample: Option<u32>, response: &str) -> Value {
        json!({"id": id, "query": format!("query {id}"), "model": model, "sample": sample, "response": response})
    }

    #[test]
    fn queries_and_samples_stand_in_order_however_they_came() {
        let graded = graded(&[
            line("b", "l", Some(1), "5"),
            line("b", "s", Some(1), "2"),
            line("10", "s", None, "0.5"),
            line("10", "l", None, "7"),
            line("10", "s", None, "1"),
            line("10", "l", None, "8"),
            line("b", "l", Some(0), "4"),
            line("b", "s", Some(0), "1"),
            line("9", "s", None, "0"),
            line("9", "s", None, "0"),
            line("9", "l", None, "1"),
            line("9", "l", None, "1"),
        ])
        .unwrap();
        let rows: Vec<_> = graded.rows.iter().map(|row| (row.id.as_str(), json!(row.quality))).collect();
        let expected = [
            ("9", json!({"s": [0.0, 0.0], "l": [1.0, 1.0]})),
            ("10", json!({"s": [0.5, 1.0], "l": [7.0, 8.0]})),
            ("b", json!({"s": [1.0, 2.0], "l": [4.0, 5.0]})),
        ];
        assert_eq!((rows.as_slice(), graded.left_out), (&expected[..], 0));
        assert_eq!(graded.rows[0].source, "r", "the file's name stands in for the source");
    }

    #[test]
    fn queries_that_lack_a_grade_are_left_out_and_counted() {
        let two = |id, model| [line(id, model, Some(0), "1"), line(id, model, Some(1), "1")];
        let whole = [two("whole", "s"), two("whole", "l")].concat();
        let short = [two("short", "s").to_vec(), vec![line("short", "l", Some(0), "1")]].concat();
        let ungraded = [
            two("ungraded", "s").to_vec(),
            vec![line("ungraded", "l", Some(0), "1"), line("ungraded", "l", Some(1), "none")],
        ]
        .concat();
        let lone = two("lone", "s").to_vec();
        let graded = graded(&[whole, short, ungraded, lone.clone()].concat()).unwrap();
        assert_eq!((graded.rows.len(), graded.rows[0].id.as_str(), graded.left_out), (1, "whole", 3));
        let apart = [lone, two("other", "l").to_vec()].concat();
        insta::assert_snapshot!(super::tests::graded(&apart).unwrap_err(), @"no query has as many graded responses of every model as others have: run collect or judge again, until none is missing");
    }

    #[test]
    fn a_few_queries_with_more_samples_do_not_cost_the_others() {
        let query = |id: &str, samples: u32| -> Vec<Value> {
            let both = ["s", "l"].into_iter();
            both.flat_map(|model| (0..samples).map(move |sample| line(id, model, Some(sample), "1"))).collect()
        };
        let graded = graded(&[query("full", 4), query("a", 2), query("b", 2), query("short", 1)].concat()).unwrap();
        let kept: Vec<_> = graded.rows.iter().map(|row| (row.id.as_str(), row.quality["s"].len())).collect();
        assert_eq!((kept, graded.left_out), (vec![("a", 2), ("b", 2), ("full", 2)], 1));
    }

    #[test]
    fn faults_name_the_line_and_never_quote() {
        let good = line("a", "s", Some(0), "1");
        let fault = |bad: Value| graded(&[good.clone(), bad]).unwrap_err();
        insta::assert_snapshot!(fault(good.clone()), @"DIR/r.jsonl, line 2: has the same id, model and sample as a line before: take one of them out");
        insta::assert_snapshot!(fault(json!({"id": "a", "query": "secret", "model": "l", "response": "1"})), @"DIR/r.jsonl, line 2: has another query than a line before with the same id");
        insta::assert_snapshot!(fault(line("a", "l", None, "secret")), @"DIR/r.jsonl, line 2: is no number");
        insta::assert_snapshot!(fault(json!({"id": "a", "query": "query a", "model": "l", "response": ["secret"]})), @r#"DIR/r.jsonl, line 2: response: is of a wrong type; a line must be {"id", "source"?, "query", "reference"?, "model", "sample"?, "response"}"#);
        insta::assert_snapshot!(fault(json!({"id": "a", "query": " ", "model": "l", "response": "1"})), @"DIR/r.jsonl, line 2: query: must not be empty");
        insta::assert_snapshot!(fault(json!({"id": "a", "query": "secret", "response": "1"})), @r#"DIR/r.jsonl, line 2: has no key "model"; a line must be {"id", "source"?, "query", "reference"?, "model", "sample"?, "response"}"#);
        insta::assert_snapshot!(graded(&[]).unwrap_err(), @"DIR/r.jsonl has no responses: run hybrid-llm collect first");
    }

    #[test]
    fn a_column_is_a_number_or_a_thumb() {
        let quality = |value: Value| column_quality("thumb", Some(&value));
        assert_eq!((quality(json!(-1.5)), quality(json!(true)), quality(json!(false))), (Ok(-1.5), Ok(1.0), Ok(0.0)));
        let wrong = [quality(json!("up")), quality(json!(null)), column_quality("thumb", None)].map(Result::unwrap_err);
        insta::assert_snapshot!(wrong.join("\n"), @r#"
        thumb: must be a number, or true or false
        thumb: must be a number, or true or false
        has no key "thumb", which is to be the quality
        "#);
    }
}
