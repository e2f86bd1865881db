//! Which rows a router learns from, and which it is judged on: by a hash of the query, so that a query is never on both sides.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};

/// The share of the queries that validate, when no file is given for it.
const VALIDATION: f64 = 0.2;
/// How many parts cross-validation has.
pub const FOLDS: usize = 5;

/// A query without its text: equal for texts that differ only in capitals and white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QueryHash(u64, u64);

impl QueryHash {
    /// Of a query's text. Another seed gives other splits.
    pub fn new(query: &str, seed: u64) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(seed.to_le_bytes());
        for word in query.split_whitespace() {
            hasher.update(word.to_lowercase());
            hasher.update(" ");
        }
        let digest = hasher.finalize();
        let number =
            |from: usize| digest.iter().skip(from).take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        Self(number(0), number(8))
    }

    /// Whether the query is one of the fifth that validates.
    pub fn validates(self) -> bool {
        (self.0 as f64) < VALIDATION * u64::MAX as f64
    }

    /// The query's part in cross-validation, below [`FOLDS`]; it has nothing to do with [`Self::validates`].
    pub fn fold(self) -> usize {
        (self.1 % FOLDS as u64) as usize
    }
}

/// What a row is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The head learns from it.
    Train,
    /// The head is judged on it.
    Validate,
    /// Nothing: its query is among those that validate.
    LeftOut,
}

/// What each row is for, in the rows' order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sides(pub Vec<Side>);

impl Sides {
    /// A fifth of the queries validates.
    pub fn by_hash(hashes: &[QueryHash]) -> Self {
        Self(hashes.iter().map(|hash| if hash.validates() { Side::Validate } else { Side::Train }).collect())
    }

    /// The rows from `from` on validate, and no other row with one of their queries is trained on.
    pub fn apart(hashes: &[QueryHash], from: usize) -> Self {
        let apart: HashSet<&QueryHash> = hashes.iter().skip(from).collect();
        let side = |(row, hash)| match row >= from {
            true => Side::Validate,
            false if apart.contains(hash) => Side::LeftOut,
            false => Side::Train,
        };
        Self(hashes.iter().enumerate().map(side).collect())
    }

    /// The places of the rows on one side.
    pub fn rows(&self, side: Side) -> Vec<usize> {
        self.0.iter().enumerate().filter(|(_, of)| **of == side).map(|(row, _)| row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(queries: impl IntoIterator<Item = String>, seed: u64) -> Vec<QueryHash> {
        queries.into_iter().map(|query| QueryHash::new(&query, seed)).collect()
    }

    fn many() -> impl Iterator<Item = String> + Clone {
        (0..100).map(|number| format!("query {number}"))
    }

    #[test]
    fn a_query_is_never_on_both_sides() {
        let sides = Sides::by_hash(&hashes(many().chain(many()), 0));
        assert_eq!(sides.0[..100], sides.0[100..]);
        assert!(!sides.rows(Side::Validate).is_empty() && sides.rows(Side::LeftOut).is_empty());
        assert_ne!(sides, Sides::by_hash(&hashes(many().chain(many()), 1)), "another seed splits otherwise");

        let apart = ["QUERY  7".to_owned(), "new".to_owned()];
        let sides = Sides::apart(&hashes(many().chain(apart), 0), 100);
        assert_eq!((sides.rows(Side::Validate), sides.rows(Side::LeftOut)), (vec![100, 101], vec![7]));
        assert_eq!(sides.rows(Side::Train).len(), 99);
    }

    #[test]
    fn capitals_and_white_space_do_not_count_and_words_do() {
        let hash = |query| QueryHash::new(query, 1);
        assert_eq!(hash("What is  Rust?\n"), hash("what is rust?"));
        assert_ne!(hash("what is rust?"), hash("whatis rust?"));
        assert_ne!(hash("what is rust?"), QueryHash::new("what is rust?", 2));
    }

    #[test]
    fn a_fifth_validates_and_folds_are_even() {
        let hashes: Vec<_> = (0..5000).map(|number| QueryHash::new(&format!("query {number}"), 0)).collect();
        let share = |count: usize| count as f64 / 5000.0;
        assert!((share(hashes.iter().filter(|hash| hash.validates()).count()) - 0.2).abs() < 0.03);
        for fold in 0..FOLDS {
            let both = hashes.iter().filter(|hash| hash.fold() == fold && hash.validates()).count();
            assert!((share(both) - 0.04).abs() < 0.02, "{both}");
        }
    }
}
