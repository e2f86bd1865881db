//! Cuts the text that agent harnesses wrap around a user's words, so that the words are scored and not the wrapping.

use std::borrow::Cow;

/// A pair of literal marks; what stands between them, marks included, is not the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapper {
    start: String,
    end: String,
    /// The start is a tag's, whose name must end where the mark does.
    is_tag: bool,
}

impl Wrapper {
    /// The marks of an XML-like tag: `<name>` or `<name attribute="…">`, up to `</name>`.
    #[must_use]
    pub fn tag(name: &str) -> Self {
        Self { start: format!("<{name}"), end: format!("</{name}>"), is_tag: true }
    }

    /// Any two marks; `None` when one is empty.
    #[must_use]
    pub fn marks(start: &str, end: &str) -> Option<Self> {
        (!start.is_empty() && !end.is_empty()).then(|| Self {
            start: start.to_owned(),
            end: end.to_owned(),
            is_tag: false,
        })
    }

    /// Cuts every wrapped stretch. A mark without its counterpart is left as it stands: then it is what the user wrote
    /// about, not what a harness did. Every byte is looked at a fixed number of times, whatever the text.
    #[must_use]
    pub fn cut<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut kept = String::new();
        let (mut rest, mut from) = (text, 0);
        while let Some(start) = rest.get(from..).and_then(|tail| find(tail, &self.start)).map(|at| from + at) {
            let inside = start + self.start.len();
            if !self.opens(rest.get(inside..).unwrap_or_default()) {
                from = inside;
                continue;
            }
            // Without an end from here on there is none for any later start either.
            let Some(end) = rest.get(inside..).and_then(|tail| find(tail, &self.end)) else { break };
            kept.push_str(rest.get(..start).unwrap_or_default());
            rest = rest.get(inside + end + self.end.len()..).unwrap_or_default();
            from = 0;
        }
        if rest.len() == text.len() {
            return Cow::Borrowed(text);
        }
        kept.push_str(rest);
        Cow::Owned(kept)
    }

    /// A tag's name must end where the mark does: `<note` does not open `<notebook>`.
    fn opens(&self, after: &str) -> bool {
        !self.is_tag || after.starts_with(|c: char| c == '>' || c.is_whitespace())
    }
}

/// Where a mark stands first. The standard search for strings looks at each byte with more care than prose needs, in which
/// the first character of a mark is rare.
fn find(text: &str, mark: &str) -> Option<usize> {
    let first = mark.chars().next()?;
    let mut places = text.match_indices(first).map(|(at, _)| at);
    places.find(|&at| text.get(at..).is_some_and(|tail| tail.starts_with(mark)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wrapped_stretches_are_cut() {
        let tag = Wrapper::tag("system-reminder");
        let table = [
            ("What is 2+2?", "What is 2+2?"),
            ("<system-reminder>be brief</system-reminder>What is 2+2?", "What is 2+2?"),
            ("a<system-reminder>\nx\n</system-reminder>b<system-reminder id=\"1\">y</system-reminder>c", "abc"),
            ("<system-reminder></system-reminder>", ""),
            ("what does <system-reminder> mean?", "what does <system-reminder> mean?"),
            ("and </system-reminder>?", "and </system-reminder>?"),
            ("<system-reminders>x</system-reminder>", "<system-reminders>x</system-reminder>"),
            ("<system-reminders><system-reminder>x</system-reminder>", "<system-reminders>"),
            ("中<system-reminder>文</system-reminder>字", "中字"),
        ];
        for (text, want) in table {
            assert_eq!(tag.cut(text), want, "{text}");
        }
        let marks = Wrapper::marks("[[", "]]").unwrap();
        assert_eq!(marks.cut("a [[b]] c [[d"), "a  c [[d");
        let own = Wrapper::marks("<note from=", "</note>").unwrap();
        assert_eq!(own.cut("a<note from=\"bot\">b</note>c"), "ac", "marks are taken as they stand, tags or not");
        assert_eq!(Wrapper::marks("", "x"), None);
    }

    #[test]
    fn many_starts_without_an_end_cost_one_look() {
        let bomb = "<system-reminder>".repeat(100_000);
        assert_eq!(Wrapper::tag("system-reminder").cut(&bomb), bomb);
        let near = "<system-remindex".repeat(100_000);
        assert_eq!(Wrapper::tag("system-reminder").cut(&near), near);
    }

    proptest! {
        /// What comes out is what went in less whole stretches: nothing is added, and nothing outside them is lost.
        #[test]
        fn only_wrapped_text_goes(pieces in prop::collection::vec(("[a-z ]{0,8}", "[a-z ]{0,8}"), 0..6)) {
            let wrapped: String = pieces.iter().map(|(own, theirs)| format!("{own}<w>{theirs}</w>")).collect();
            let own: String = pieces.iter().map(|(own, _)| own.as_str()).collect();
            prop_assert_eq!(Wrapper::tag("w").cut(&wrapped), own);
        }

        #[test]
        fn any_text_is_taken_calmly(text in "[<>/w a中]{0,40}") {
            prop_assert!(Wrapper::tag("w").cut(&text).len() <= text.len());
        }
    }
}
