//! Separates a model's reasoning from its answer, where a server leaves both in one text.
//!
//! Reasoning models put their thoughts between marks of their own, such as `<think>` and `</think>`. Some templates put the
//! opening mark into the prompt, so that the text has only the closing one; an answer that the limit of tokens cut off may lack
//! the closing one. Marks that the answer quotes, in code or between quotation marks, are part of the answer.

/// Names of tags between which thoughts stand, as in `<think>…</think>`.
const TAGS: [&str; 9] =
    ["think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "seed:think", "antthinking"];

/// Other opening marks with their closing ones, in lower case.
const MARKS: [(&str, &str); 8] = [
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("[think]", "[/think]"),
    ("◁think▷", "◁/think▷"),
    ("<|start_thinking|>", "<|end_thinking|>"),
    ("<|think|>", "<|/think|>"),
    ("<unused94>", "<unused95>"),
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("here is my thought process:", "here is my response:"),
];
/// The closing marks above that can also end something else, so that one without an opening mark means nothing.
const AMBIGUOUS: [&str; 2] = ["<|end|>", "here is my response:"];

/// What can stand around an answer behind thoughts, with what ends it.
const WRAPPERS: [(&str, &str); 9] = [
    ("<answer>", "</answer>"),
    ("<response>", "</response>"),
    ("<output>", "</output>"),
    ("<solution>", "</solution>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
    ("<|start_response|>", "<|end_response|>"),
    ("<|start|>assistant<|channel|>final<|message|>", "<|return|>"),
    ("<|channel|>final<|message|>", "<|return|>"),
    ("<|start|>assistant", "<|end|>"),
];
/// The same format where the server has dropped its special tokens: `analysis…assistantfinal…`.
const BARE_CHANNELS: (&str, &str) = ("analysis", "assistantfinal");

/// The longest opening tag with its attributes, in bytes.
const MAX_TAG: usize = 120;
/// The most marks of a text that are looked at: the time must not grow with the square of a text full of them.
const MAX_MARKS: usize = 256;

/// A text, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parts {
    /// What is not thoughts. Without any thoughts it is the whole text, unchanged.
    pub answer: String,
    /// The thoughts, without their marks.
    pub thoughts: Option<String>,
    /// Whether the text ends within thoughts.
    pub unclosed: bool,
}

/// Where an opening mark counts, besides at the text's beginning and right behind other thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the beginning of a line.
    Lines,
    /// Everywhere.
    All,
}

/// Takes a response apart.
pub fn split(text: &str) -> Parts {
    take_apart(text, Place::Lines)
}

/// The text without thoughts, wherever they stand, for a reader that wants a short answer and no prose; `None` where it ends
/// within thoughts.
pub fn answer_only(text: &str) -> Option<String> {
    let parts = take_apart(text, Place::All);
    (!parts.unclosed).then_some(parts.answer)
}

/// A mark in a text: where it starts and ends, and what closes it.
struct Mark {
    start: usize,
    end: usize,
    closing: String,
}

fn take_apart(text: &str, place: Place) -> Parts {
    // Lower case of ASCII letters alone keeps all places.
    let lower = text.to_ascii_lowercase();
    let (mut answer, mut thoughts, mut unclosed) = (String::new(), Vec::new(), false);
    let mut at = 0;
    if let Some(end) = bare_channels(&lower) {
        thoughts.push(slice(text, BARE_CHANNELS.0.len(), end).to_owned());
        at = end + BARE_CHANNELS.1.len();
    }
    for _ in 0..MAX_MARKS {
        let Some(mark) = opening(&lower, at, place, at == 0 || !thoughts.is_empty()) else { break };
        answer.push_str(slice(text, at, mark.start));
        let Some((start, end)) = closing(&lower, mark.end, &mark.closing) else {
            thoughts.push(slice(text, mark.end, text.len()).to_owned());
            (unclosed, at) = (true, text.len());
            break;
        };
        thoughts.push(slice(text, mark.end, start).to_owned());
        at = end;
    }
    answer.push_str(slice(text, at, text.len()));
    for _ in 0..MAX_MARKS {
        let Some((start, end)) = lone_closing(&answer) else { break };
        thoughts.push(slice(&answer, 0, start).to_owned());
        answer = slice(&answer, end, answer.len()).to_owned();
    }
    let unwrapped = unwrap(&answer, !thoughts.is_empty());
    let answer = unwrapped.map_or(answer.as_str(), |unwrapped| unwrapped);
    let answer = if thoughts.is_empty() { answer } else { answer.trim() };
    let thoughts: Vec<&str> = thoughts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    Parts { answer: answer.to_owned(), thoughts: (!thoughts.is_empty()).then(|| thoughts.join("\n\n")), unclosed }
}

fn slice(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default()
}

/// Where the thoughts of a text without special tokens end.
fn bare_channels(lower: &str) -> Option<usize> {
    let rest = lower.strip_prefix(BARE_CHANNELS.0)?;
    // A text on analysis goes on with a blank or a mark.
    rest.starts_with(char::is_alphanumeric).then(|| lower.find(BARE_CHANNELS.1)).flatten()
}

/// The first opening mark from `from` on that counts. `adjacent` says whether one right there does.
fn opening(lower: &str, from: usize, place: Place, adjacent: bool) -> Option<Mark> {
    let mut search = from;
    for _ in 0..MAX_MARKS {
        let mark = next_opening(lower, search)?;
        let before = slice(lower, from, mark.start);
        let first = adjacent && before.trim().is_empty();
        let line = before.trim_end_matches([' ', '\t']).ends_with('\n');
        if first || (place == Place::All || line) && !quoted(lower, mark.start, mark.end) {
            return Some(mark);
        }
        search = mark.end;
    }
    None
}

fn next_opening(lower: &str, from: usize) -> Option<Mark> {
    let rest = lower.get(from..)?;
    let tag = |name: &&str| {
        let open = format!("<{name}");
        let found = rest.match_indices(&open).find_map(|(start, _)| {
            let behind = rest.get(start + open.len()..)?;
            let end = behind.find('>').filter(|end| *end < MAX_TAG)?;
            let attributes = slice(behind, 0, end);
            let fits = attributes.is_empty() || attributes.starts_with(char::is_whitespace);
            // An element without content has no closing tag.
            (fits && !attributes.ends_with('/')).then_some((start, start + open.len() + end + 1))
        });
        found.map(|(start, end)| Mark { start: from + start, end: from + end, closing: format!("</{name}>") })
    };
    let mark = |(open, close): &(&str, &str)| {
        let start = from + rest.find(open)?;
        Some(Mark { start, end: start + open.len(), closing: (*close).to_owned() })
    };
    TAGS.iter().filter_map(tag).chain(MARKS.iter().filter_map(mark)).min_by_key(|mark| mark.start)
}

/// Where thoughts end: at their own closing mark, else at any, since models mix up the names of tags.
fn closing(lower: &str, from: usize, own: &str) -> Option<(usize, usize)> {
    let rest = lower.get(from..)?;
    let found = rest.find(own).map(|start| (start, start + own.len()));
    let (start, end) = found.or_else(|| any_closing(rest))?;
    Some((from + start, from + end))
}

fn any_closing(lower: &str) -> Option<(usize, usize)> {
    let tags = TAGS.iter().map(|name| format!("</{name}>"));
    let marks = MARKS.iter().map(|(_, close)| *close).filter(|close| !AMBIGUOUS.contains(close)).map(str::to_owned);
    let found = tags.chain(marks).filter_map(|close| lower.find(&close).map(|start| (start, start + close.len())));
    found.min()
}

/// A closing mark whose opening one the prompt had, unless the text quotes it.
fn lone_closing(text: &str) -> Option<(usize, usize)> {
    let lower = text.to_ascii_lowercase();
    let mut from = 0;
    for _ in 0..MAX_MARKS {
        let (start, end) = any_closing(lower.get(from..)?)?;
        let (start, end) = (from + start, from + end);
        if !quoted(&lower, start, end) {
            return Some((start, end));
        }
        from = end;
    }
    None
}

/// Whether a mark stands in code, or between quotation marks.
fn quoted(text: &str, start: usize, end: usize) -> bool {
    let (before, after) = (slice(text, 0, start), slice(text, end, text.len()));
    let fenced = before.matches("```").count() % 2 == 1;
    let line = before.rsplit('\n').next().unwrap_or_default();
    let code = line.matches('`').count() % 2 == 1;
    let quote = |c: char| matches!(c, '"' | '\'' | '“' | '”' | '‘' | '’' | '«' | '»');
    fenced || code || before.ends_with(quote) && after.starts_with(quote)
}

/// The text within a wrapper around all of it. Wrappers of special tokens are no part of any answer; tags are one, unless they
/// stand behind thoughts.
fn unwrap(text: &str, behind_thoughts: bool) -> Option<&str> {
    let mut found = None;
    let mut rest = text.trim();
    while let Some((inner, close)) = WRAPPERS.iter().find_map(|(open, close)| {
        let counts = behind_thoughts || open.starts_with("<|");
        let head = rest.get(..open.len())?;
        (counts && head.eq_ignore_ascii_case(open)).then_some((rest.get(open.len()..)?, *close))
    }) {
        let at = inner.len().saturating_sub(close.len());
        let ends = inner.get(at..).is_some_and(|tail| tail.eq_ignore_ascii_case(close));
        rest = if ends { slice(inner, 0, at).trim() } else { inner.trim() };
        found = Some(rest);
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn thoughts_of_every_kind_are_told_from_the_answer() {
        for (text, answer, thoughts) in [
            ("<think>\n4/10?\nNo.\n</think>\n\n9", "9", "4/10?\nNo."),
            ("\n<THINK>a</Think>9", "9", "a"),
            ("<thinking>a</thinking>9", "9", "a"),
            ("<thinking mode=\"deep\">a</thinking>9", "9", "a"),
            ("<thought>a</thought>9", "9", "a"),
            ("<reasoning>a</reasoning>\n<answer>9</answer>", "9", "a"),
            ("<seed:think>a</seed:think>9", "9", "a"),
            ("[THINK]a[/THINK]9", "9", "a"),
            ("◁think▷a◁/think▷9", "9", "a"),
            ("<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>9<|END_RESPONSE|>", "9", "a"),
            ("<|begin_of_thought|>a<|end_of_thought|>\n\n<|begin_of_solution|>9<|end_of_solution|>", "9", "a"),
            (
                "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>9<|return|>",
                "9",
                "a",
            ),
            ("analysisThe sum is right.assistantfinal9", "9", "The sum is right."),
            ("Here is my thought process:\na\nHere is my response:\n9", "9", "a"),
            // Several, one in the other, and with names mixed up.
            ("<think>a</think>\n<think>b</think>9", "9", "a\n\nb"),
            ("<think>a <think> b</think> c</think>9", "9", "a <think> b\n\nc"),
            ("<think>a <think> tag</think>9", "9", "a <think> tag"),
            ("<thinking>a</think>9", "9", "a"),
            ("Well.\n<think>a</think>\n9", "Well.\n\n9", "a"),
            // The prompt had the opening mark.
            ("a\n</think>\n\n9", "9", "a"),
            ("a[/THINK]9", "9", "a"),
        ] {
            let parts = split(text);
            assert_eq!(
                (parts.answer.as_str(), parts.thoughts.as_deref(), parts.unclosed),
                (answer, Some(thoughts), false),
                "{text}"
            );
        }
    }

    #[test]
    fn thoughts_without_an_end_are_no_answer() {
        for text in ["<think>At least 8/10, let me", "  [THINK]8", "<|channel|>analysis<|message|>8", "<think>"] {
            let parts = split(text);
            assert_eq!((parts.answer.as_str(), parts.unclosed), ("", true), "{text}");
            assert_eq!(answer_only(text), None, "{text}");
        }
        let parts = split("The first half.\n<think>And now");
        assert_eq!((parts.answer.as_str(), parts.thoughts.as_deref()), ("The first half.", Some("And now")));
    }

    #[test]
    fn what_is_no_thoughts_stays_as_it_is() {
        for text in [
            " 9\n",
            "",
            "The <think> tag opens thoughts, and `</think>` ends them.",
            "Models write \"</think>\" before the answer.",
            "```xml\n<think>\na\n</think>\n```\nThat is it.",
            "<thinker>a</thinker>",
            "<answer>9</answer>",
            "Analysis of the text: it is good.",
            "I think 9",
            "<think/>9",
        ] {
            assert_eq!(split(text), Parts { answer: text.to_owned(), thoughts: None, unclosed: false });
        }
        assert_eq!(
            split("<think>\n\n</think>\n\n9"),
            Parts { answer: "9".to_owned(), thoughts: None, unclosed: false }
        );
    }

    #[test]
    fn a_short_answer_is_found_between_thoughts_in_a_line() {
        assert_eq!(answer_only("Let me see: <think>4/10</think> 9").as_deref(), Some("Let me see:  9"));
        assert_eq!(answer_only("9 <think>or").as_deref(), None);
        assert_eq!(answer_only("9").as_deref(), Some("9"));
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_and_one_without_marks_is_whole(text in "(<think>|</think>|\\[think\\]|`|é|a|\n| |◁think▷){0,12}") {
            let parts = split(&text);
            prop_assert!(parts.answer.len() <= text.len());
            let plain = text.replace(['<', '[', '◁'], "");
            prop_assert_eq!(split(&plain).answer, plain);
        }
    }
}
