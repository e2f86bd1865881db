//! What `evaluate` measures: on all queries, on groups of them, and on other pairs of models.

use crate::{
    cli::{Failure, graded},
    lab::{
        data::{corpus::Corpus, query_data::Tags},
        figures::{
            carried::{self, Carried},
            evaluate::{self, Bootstrap, Evaluation},
            groups,
            sweep::Outcomes,
        },
        pair::Pair,
    },
};

/// What queries are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Kind,
    Language,
}

impl By {
    pub(super) const ALL: [Self; 2] = [Self::Kind, Self::Language];

    /// Its key in the data, and in JSON.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Language => "lang",
        }
    }

    /// Its name, for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Language => "language",
        }
    }

    fn of(self, tags: &Tags) -> Option<&str> {
        match self {
            Self::Kind => tags.kind.as_deref(),
            Self::Language => tags.lang.as_deref(),
        }
    }
}

/// What was measured on the queries of one group.
#[derive(Debug)]
pub(super) struct Grouped {
    pub(super) by: By,
    pub(super) name: String,
    pub(super) evaluation: Evaluation,
}

/// All that was measured.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// The routers' names, in the order of their rankings.
    pub(super) names: &'a [&'a str],
    pub(super) evaluation: Evaluation,
    pub(super) groups: Vec<Grouped>,
    pub(super) carried: Vec<(Pair, Carried)>,
}

/// The queries, and what routers make of them.
pub(super) struct Set<'a> {
    pub(super) corpus: &'a Corpus,
    pub(super) outcomes: &'a Outcomes,
    pub(super) scores: &'a [Vec<f64>],
    pub(super) column: Option<&'a [f64]>,
    pub(super) bootstrap: Bootstrap,
}

impl Set<'_> {
    /// Evaluates the routers on all queries, on each group, and on the other pairs that `against` names.
    pub(super) fn measure<'a>(&self, names: &'a [&'a str], against: &[String]) -> Result<Found<'a>, Failure> {
        let groups: Vec<_> = By::ALL
            .into_iter()
            .flat_map(|by| {
                let groups = groups::groups(self.corpus.rows.iter().map(|row| by.of(&row.tags)));
                groups.into_iter().map(move |group| (by, group))
            })
            .collect();
        let other_pairs = against.iter().map(|pair| self.other_pair(pair)).collect::<Result<Vec<_>, _>>()?;
        let draws = self.bootstrap.draws;
        let bar = graded::progress(draws * (1 + groups.len() + 2 * other_pairs.len()), "draws");
        let every: Vec<usize> = (0..self.outcomes.len()).collect();
        let evaluation = self.evaluate(&every, || bar.inc(1));
        let groups = groups.into_iter().map(|(by, group)| {
            let evaluation = self.evaluate(&group.rows, || bar.inc(1));
            Grouped { by, name: group.name, evaluation }
        });
        let groups = groups.collect();
        let carried = other_pairs.into_iter().map(|(pair, rows, other)| {
            let (own, scores) = (self.outcomes.of(&rows), self.scores_of(&rows));
            let lengths = groups::pick(&self.corpus.characters, &rows);
            (pair, carried::carry_over(&own, &other, &scores, &lengths, self.bootstrap, || bar.inc(1)))
        });
        let carried = carried.collect();
        bar.finish_and_clear();
        Ok(Found { names, evaluation, groups, carried })
    }

    fn evaluate(&self, rows: &[usize], done: impl Fn()) -> Evaluation {
        let lengths = groups::pick(&self.corpus.characters, rows);
        let column = self.column.map(|column| groups::pick(column, rows));
        let (outcomes, scores) = (self.outcomes.of(rows), self.scores_of(rows));
        evaluate::evaluate(&outcomes, &scores, &lengths, column.as_deref(), self.bootstrap, done)
    }

    fn scores_of(&self, rows: &[usize]) -> Vec<Vec<f64>> {
        self.scores.iter().map(|scores| groups::pick(scores, rows)).collect()
    }

    /// Another pair, the rows that have it, and its outcomes on them. A model's name can hold the colon that stands between the
    /// two: the data tells which it is.
    fn other_pair(&self, text: &str) -> Result<(Pair, Vec<usize>, Outcomes), Failure> {
        let pairs: Vec<Pair> = text
            .match_indices(':')
            .map(|(at, colon)| (text.get(..at), text.get(at + colon.len()..)))
            .map(|(small, large)| Pair {
                small: small.unwrap_or_default().to_owned(),
                large: large.unwrap_or_default().to_owned(),
            })
            .filter(|pair| !pair.small.is_empty() && !pair.large.is_empty())
            .collect();
        if pairs.is_empty() {
            return Err(Failure::Usage(format!(
                "--against {text}: must be a small and a large model, such as llama-8b:gpt-4.1"
            )));
        }
        for pair in pairs.into_iter().filter(|pair| pair.small != pair.large) {
            let (mut rows, mut outcomes) = (Vec::new(), Outcomes { small: Vec::new(), large: Vec::new() });
            for (row, means) in self.corpus.means_of(&pair)?.into_iter().enumerate() {
                if let Some((small, large)) = means {
                    rows.push(row);
                    outcomes.small.push(small);
                    outcomes.large.push(large);
                }
            }
            if !rows.is_empty() {
                return Ok((pair, rows, outcomes));
            }
        }
        Err(format!(
            "--against {text}: no row of the data has the quality of two such models beside --small and --large"
        )
        .into())
    }
}
