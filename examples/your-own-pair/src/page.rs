//! The commands of README.md. What is run is read off that page, so that the page is known to work.

const PAGE: &str = include_str!("../README.md");

/// The arguments of the page's first example of a command of the project's program, the command's name first; empty where the
/// page has none.
pub(crate) fn command(name: &str) -> Vec<&'static str> {
    let mut examples = PAGE.split("\n    hybrid-llm ").skip(1);
    let example = examples.find(|example| example.split_whitespace().next() == Some(name)).unwrap_or_default();
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
    }

    #[test]
    fn the_page_parts_the_data_as_the_steps_do() {
        assert!(PAGE.contains(&format!("\n    {}\n", parting())), "{}", parting());
    }
}
