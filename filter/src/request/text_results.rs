//! Tools' results that harnesses write as a user's text: those of agents that let a model call tools in its own words, since they
//! do not use the API's. Which turns are such results, and what in them the user said.

use crate::request::wrappers::{Wrapper, Wrappers};

/// What a tool's result begins with: two literal marks, with the tool's name or call between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultMarks {
    start: String,
    end: String,
}

impl ResultMarks {
    /// Takes the two marks; `None` when one is empty.
    #[must_use]
    pub fn new(start: &str, end: &str) -> Option<Self> {
        (!start.is_empty() && !end.is_empty()).then(|| Self { start: start.to_owned(), end: end.to_owned() })
    }

    /// Whether a text begins with a result: with the first mark, and the second stands after it at the end of a line. Not
    /// necessarily the same line, since commands may have several.
    #[must_use]
    pub fn begin(&self, text: &str) -> bool {
        let after = text.trim_start().strip_prefix(self.start.as_str()).unwrap_or_default();
        after.match_indices(&self.end).any(|(at, mark)| {
            let rest = after.get(at + mark.len()..).unwrap_or_default().trim_start_matches([' ', '\t']);
            rest.is_empty() || rest.starts_with(['\n', '\r'])
        })
    }

    /// Whether a text that begins with this byte of UTF-8 may begin with a result.
    #[must_use]
    pub fn may_begin_with(&self, byte: u8) -> bool {
        self.start.as_bytes().first() == Some(&byte)
    }
}

/// The marks of Cline, Roo Code and their kin (`[read_file for 'a.rs'] Result:`, and what they say where there was no call), and
/// of OpenHands (`EXECUTION RESULT of [execute_bash]:`).
#[must_use]
pub fn usual() -> Vec<ResultMarks> {
    let marks = [
        ("[", "] Result:"),
        ("[ERROR] You did not use a tool", "Please retry with a tool use."),
        ("EXECUTION RESULT of [", "]:"),
    ];
    marks.iter().filter_map(|(start, end)| ResultMarks::new(start, end)).collect()
}

/// The tags in which those harnesses pass on what the user said: at the beginning, at a refusal, asked by the model, and later on.
const USERS_TAGS: [&str; 5] = ["task", "feedback", "answer", "user_message", "command-args"];

thread_local! {
    static USERS_WRAPPERS: Wrappers = USERS_TAGS.iter().map(|tag| Wrapper::tag(tag)).collect();
    static CURSORS_WRAPPER: Wrappers = [Wrapper::tag("user_query")].into_iter().collect();
}

/// The user's words in a text of Cursor's, which has them in a tag of their own between its notes; `None` where there is none.
#[must_use]
pub fn cursors_query(text: &str) -> Option<String> {
    // Its texts begin with a tag.
    if !text.trim_start().starts_with('<') || !text.contains("<user_query>") {
        return None;
    }
    let stretches = CURSORS_WRAPPER.with(|wrapper| wrapper.stretches(text));
    let words = stretches.into_iter().filter_map(|stretch| {
        let inner = text.get(stretch)?.strip_prefix("<user_query>")?.strip_suffix("</user_query>")?;
        Some(inner.trim()).filter(|words| !words.is_empty())
    });
    let words: Vec<_> = words.collect();
    (!words.is_empty()).then(|| words.join("\n"))
}

/// A text that is wholly in one of the user's tags, without the tags; any other as it stands.
#[must_use]
pub fn unwrapped(text: &str) -> &str {
    let words = USERS_TAGS.iter().find_map(|tag| {
        let inner = text.trim().strip_prefix('<')?.strip_prefix(tag)?.strip_prefix('>')?;
        inner.strip_suffix('>')?.strip_suffix(tag)?.strip_suffix("</")
    });
    words.map_or(text, str::trim)
}

/// What the user says in a tool's result: the stretches in the user's tags, joined by line feeds; empty where there are none.
#[must_use]
pub fn users_words(result: &str) -> String {
    let stretches = USERS_WRAPPERS.with(|tags| tags.stretches(result));
    let stretches = stretches.into_iter().filter_map(|stretch| result.get(stretch));
    // What has no end is what the tool gave.
    let words = stretches.map(|stretch| (stretch, unwrapped(stretch))).filter(|(stretch, words)| stretch != words);
    let words: Vec<_> = words.map(|(_, words)| words).filter(|words| !words.is_empty()).collect();
    words.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_from_what_users_write() {
        let is_result = |text: &str| usual().iter().any(|marks| marks.begin(text));
        let results = [
            "[read_file for 'a.rs'] Result:",
            "\n[read_file for 'a.rs'] Result: \n\nfn main() {}",
            "[execute_command for 'make\nmake test'] Result:\r\nok",
            "EXECUTION RESULT of [execute_bash]:\ntotal 0",
            "[ERROR] You did not use a tool in your previous response! Please retry with a tool use.\n\n# Reminder",
        ];
        for text in results {
            assert!(is_result(text), "{text}");
        }
        let users = [
            "",
            "[",
            "What does this mean?\n[read_file for 'a.rs'] Result:",
            "[1, 2, 3]: sort this list",
            "[Bug] Result: 5 is printed as 6",
            "[x] Result: [y] Result: z",
            "read_file] Result:",
            "[ERROR] disk full. What now?",
        ];
        for text in users {
            assert!(!is_result(text), "{text}");
        }
        assert_eq!(ResultMarks::new("[", ""), None);
        assert_eq!(ResultMarks::new("", "]"), None);
    }

    #[test]
    fn the_users_words_in_a_result() {
        let table = [
            ("[a] Result:\nfn main() {}", ""),
            ("[a] Result:\nThe user denied this operation.\n<feedback>\nNot that file.\n</feedback>", "Not that file."),
            ("[a] Result:\n<answer>\nyes\n</answer>\n<feedback>no</feedback>", "yes\nno"),
            ("[a] Result:\n<answer>\n", ""),
            ("[a] Result:\n<answers>x</answers>", ""),
            ("[a] Result:\n<feedback> \n</feedback>", ""),
        ];
        for (result, words) in table {
            assert_eq!(users_words(result), words, "{result}");
        }
    }

    #[test]
    fn the_users_tags_alone_are_taken_off() {
        let table = [
            ("<task>\nWhy?\n</task>", "Why?"),
            ("\n<user_message>Why?</user_message>\n", "Why?"),
            ("<task>Why?</task> now", "<task>Why?</task> now"),
            ("<tasks>Why?</tasks>", "<tasks>Why?</tasks>"),
            ("<task>Why?</feedback>", "<task>Why?</feedback>"),
            ("<task>", "<task>"),
            ("Why?", "Why?"),
        ];
        for (text, words) in table {
            assert_eq!(unwrapped(text), words, "{text}");
        }
    }

    #[test]
    fn cursor_says_what_the_user_asked() {
        let table = [
            ("<user_info>\nlinux\n</user_info>\n<user_query>\nWhy?\n</user_query>", Some("Why?")),
            ("<user_query>Why?</user_query>", Some("Why?")),
            ("<user_query> </user_query>", None),
            ("what is <user_query> for?", None),
            ("Why?", None),
        ];
        for (text, words) in table {
            assert_eq!(cursors_query(text).as_deref(), words, "{text}");
        }
    }

    #[test]
    fn a_mebibyte_of_marks_is_read_in_linear_time() {
        for unit in
            ["] Result:", "] Result:                                     x", "[", "<answer>", "<answer></feedback>"]
        {
            let text = format!("[{}", unit.repeat((1 << 20) / unit.len()));
            let _ = usual().iter().any(|marks| marks.begin(&text));
            let _ = (users_words(&text), unwrapped(&text).len());
        }
    }
}
