//! Reads counters out of Prometheus' text form.

use std::collections::BTreeMap;

/// One sample: its labels and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Labels by name.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// The samples of one metric; label values with a comma, brace or quote in them do not occur here.
#[must_use]
pub fn samples(text: &str, metric: &str) -> Vec<Sample> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(metric));
    lines
        .filter_map(|rest| {
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            let labels = labels.split(',').filter_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                Some((name.to_owned(), value.trim_matches('"').to_owned()))
            });
            Some(Sample { labels: labels.collect(), value: value.parse().ok()? })
        })
        .collect()
}

/// The sum of a metric's samples that carry all of these labels.
#[must_use]
pub fn sum(text: &str, metric: &str, labels: &[(&str, &str)]) -> f64 {
    let carries = |sample: &Sample| labels.iter().all(|(k, v)| sample.labels.get(*k).is_some_and(|value| value == v));
    samples(text, metric).iter().filter(|sample| carries(sample)).map(|sample| sample.value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_and_summed() {
        let text = "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\"} 4\nab{x=\"1\"} 9\na 5\n";
        assert_eq!(sum(text, "a", &[("x", "1")]), 7.0);
        assert_eq!(sum(text, "a", &[]), 12.0);
        assert_eq!(sum(text, "missing", &[]), 0.0);
    }
}
