//! Groups of queries, such as those of one kind or language, that are evaluated separately.

use std::collections::BTreeMap;

/// A group of fewer queries says nothing by itself.
pub const LEAST: usize = 10;
/// The most groups that are told, the largest ones.
pub const MOST: usize = 30;

/// Some of the queries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they have in common, such as `code`.
    pub name: String,
    /// Their places.
    pub rows: Vec<usize>,
}

/// The groups of queries with the same name, the largest first. Queries without a name are in none; groups that are too small
/// are left out, and a lone group of all queries, which is nothing new.
pub fn groups<'n>(names: impl Iterator<Item = Option<&'n str>>) -> Vec<Group> {
    let (mut found, mut all) = (BTreeMap::<&str, Vec<usize>>::new(), 0);
    for (row, name) in names.enumerate() {
        all += 1;
        if let Some(name) = name {
            found.entry(name).or_default().push(row);
        }
    }
    let mut groups: Vec<Group> = found
        .into_iter()
        .filter(|(_, rows)| rows.len() >= LEAST && rows.len() < all)
        .map(|(name, rows)| Group { name: name.to_owned(), rows })
        .collect();
    // The sort is stable: groups of one size stay in the order of their names.
    groups.sort_by_key(|group| std::cmp::Reverse(group.rows.len()));
    groups.truncate(MOST);
    groups
}

/// The values at some places.
pub fn pick<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().filter_map(|row| values.get(*row)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_of_some_size_and_the_largest_come_first() {
        let names = (0..60).map(|row| match row {
            0..12 => Some("code"),
            12..40 => Some("chat"),
            40..49 => Some("rare"),
            _ => None,
        });
        let found = groups(names);
        let told: Vec<_> = found.iter().map(|group| (group.name.as_str(), group.rows.len())).collect();
        assert_eq!(told, [("chat", 28), ("code", 12)]);
        assert_eq!(pick(&[1, 2, 3], &[2, 0, 9]), [3, 1]);
        assert!(groups((0..20).map(|_| Some("all"))).is_empty());
        let many: Vec<String> = (0..400).map(|row| format!("{}", row / 10)).collect();
        assert_eq!(groups(many.iter().map(|name| Some(name.as_str()))).len(), MOST);
    }
}
