//! The commands of README.md. What is run is read off that page, so that the page is known to work.

const PAGE: &str = include_str!("../README.md");

/// The part on a router from a log without grades.
pub(crate) const FROM_A_LOG: &str = "From a log, in an hour";
/// The part on a router from graded responses.
pub(crate) const GRADED: &str = "With your own models";

/// The arguments of the project's program in all its commands under a heading, the command's name first.
pub(crate) fn commands(heading: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let section = PAGE.split("\n## ").find_map(|section| section.strip_prefix(heading)).unwrap_or_default();
    section.split("\n    hybrid-llm ").skip(1).map(words)
}

/// The first command of that name for graded responses; empty where the page has none.
pub(crate) fn command(name: &str) -> Vec<&'static str> {
    commands(GRADED).find(|command| command.first() == Some(&name)).unwrap_or_default()
}

/// The words of the example that a text begins with.
fn words(example: &'static str) -> Vec<&'static str> {
    let mut words = Vec::new();
    for line in example.lines() {
        let (line, goes_on) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
        let comment = line.find("  #").unwrap_or(line.len());
        words.extend(line.get(..comment).unwrap_or(line).split_whitespace());
        if !goes_on {
            break;
        }
    }
    words
}

/// The argument behind a flag.
pub(crate) fn value<'a>(command: &[&'a str], flag: &str) -> Option<&'a str> {
    command.iter().skip_while(|word| **word != flag).nth(1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::parting;

    #[test]
    fn commands_are_read_whole_and_without_comments() {
        assert_eq!(command("judge"), ["judge", "responses.jsonl", "--out", "data.jsonl", "--contains"]);
        let train = command("train");
        assert_eq!((train[0], value(&train, "--label"), train.last()), ("train", Some("prob"), Some(&"my-router")));
        assert_eq!(value(&train, "--nothing"), None);
        assert!(command("brew").is_empty());
        let from_a_log: Vec<_> = commands(FROM_A_LOG).map(|command| command[0]).collect();
        assert_eq!(from_a_log, ["judge", "train", "calibrate", "serve", "pick", "collect", "judge", "calibrate"]);
    }

    #[test]
    fn the_page_parts_the_data_as_the_steps_do() {
        assert!(PAGE.contains(&format!("\n    {}\n", parting())), "{}", parting());
    }
}
