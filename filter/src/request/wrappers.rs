//! Cuts the text that agent harnesses wrap around a user's words, so that the words are scored and not the wrapping.

use super::bytes;
use std::borrow::Cow;
use std::ops::Range;

/// A pair of literal marks; what stands between them, marks included, is not the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapper {
    start: String,
    end: String,
    /// The start is a tag's, whose name must end where the mark does.
    is_tag: bool,
}

impl Wrapper {
    /// The marks of an XML-like tag: `<name>` or `<name attribute="…">`, up to `</name>`; in upper or lower case.
    #[must_use]
    pub fn tag(name: &str) -> Self {
        Self { start: format!("<{name}"), end: format!("</{name}"), is_tag: true }
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

    /// Which mark a text begins with, and the mark's length in bytes. Where both fit, the longer one counts.
    fn mark(&self, text: &str) -> Option<(Kind, usize)> {
        if self.is_tag {
            return self.mark_of_tag(text);
        }
        let (starts, ends) = (text.starts_with(&self.start), text.starts_with(&self.end));
        let kind = match (starts, ends, self.start.len().cmp(&self.end.len())) {
            (true, true, std::cmp::Ordering::Equal) => Kind::Either,
            (true, true, std::cmp::Ordering::Less) | (false, true, _) => Kind::End,
            (true, ..) => Kind::Start,
            (false, false, _) => return None,
        };
        Some((kind, if kind == Kind::End { self.end.len() } else { self.start.len() }))
    }

    /// A tag's name must end where the mark does: `<note` does not open `<notebook>`. Nor does `<note/>`, which is whole. Blanks
    /// may stand before the end's bracket.
    fn mark_of_tag(&self, text: &str) -> Option<(Kind, usize)> {
        const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];
        let after = |mark: &str| {
            let (head, after) = text.split_at_checked(mark.len())?;
            head.eq_ignore_ascii_case(mark).then_some(after)
        };
        // Most brackets of a text open no tag of this name.
        let (second, first_of_name) = (text.as_bytes().get(1)?, self.start.as_bytes().get(1)?);
        if *second != b'/' && !second.eq_ignore_ascii_case(first_of_name) {
            return None;
        }
        if let Some(after) = after(&self.start) {
            let bracket = after.trim_start_matches(BLANKS);
            let opens = after.starts_with(BLANKS) || after.starts_with('>');
            return (opens && !bracket.starts_with("/>")).then_some((Kind::Start, self.start.len()));
        }
        let bracket = after(&self.end)?.trim_start_matches(BLANKS).strip_prefix('>')?;
        Some((Kind::End, text.len() - bracket.len()))
    }
}

/// The wrappers that are cut together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrappers {
    wrappers: Vec<Wrapper>,
    /// The characters that their starts begin with.
    initials: Initials,
    /// The others that their ends begin with.
    end_initials: Initials,
}

/// Characters that marks begin with, each once; most are ASCII, and found faster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Initials {
    ascii: Vec<u8>,
    others: Vec<char>,
}

impl FromIterator<char> for Initials {
    fn from_iter<I: IntoIterator<Item = char>>(characters: I) -> Self {
        let (ascii, others): (Vec<char>, _) = characters.into_iter().partition(char::is_ascii);
        Self { ascii: ascii.into_iter().filter_map(|character| u8::try_from(character).ok()).collect(), others }
    }
}

impl Initials {
    /// Where they stand in a text.
    fn places(&self, text: &str) -> impl Iterator<Item = usize> {
        let others = self.others.iter().flat_map(|&initial| text.match_indices(initial).map(|(start, _)| start));
        bytes::places(text.as_bytes(), &self.ascii).into_iter().chain(others)
    }
}

impl FromIterator<Wrapper> for Wrappers {
    fn from_iter<I: IntoIterator<Item = Wrapper>>(wrappers: I) -> Self {
        let wrappers: Vec<Wrapper> = wrappers.into_iter().collect();
        let initials = |marks: fn(&Wrapper) -> &str| {
            let mut initials: Vec<char> = wrappers.iter().filter_map(|wrapper| marks(wrapper).chars().next()).collect();
            initials.sort_unstable();
            initials.dedup();
            initials
        };
        let (starts, mut ends) = (initials(|wrapper| &wrapper.start), initials(|wrapper| &wrapper.end));
        ends.retain(|initial| !starts.contains(initial));
        Self { initials: starts.into_iter().collect(), end_initials: ends.into_iter().collect(), wrappers }
    }
}

impl Wrappers {
    /// The text without its wrapped stretches.
    #[must_use]
    pub fn cut<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let stretches = self.stretches(text);
        if stretches.is_empty() {
            return Cow::Borrowed(text);
        }
        let (mut kept, mut from) = (String::new(), 0);
        for stretch in stretches {
            kept.push_str(text.get(from..stretch.start).unwrap_or_default());
            from = stretch.end;
        }
        kept.push_str(text.get(from..).unwrap_or_default());
        Cow::Owned(kept)
    }

    /// Whether a text that begins with this byte of UTF-8 may begin with a wrapped stretch.
    #[must_use]
    pub fn may_begin_with(&self, byte: u8) -> bool {
        let is_first = |initial: &char| initial.encode_utf8(&mut [0; 4]).as_bytes().first() == Some(&byte);
        self.initials.ascii.contains(&byte) || self.initials.others.iter().any(is_first)
    }

    /// Where the wrapped stretches stand, marks included: in order, and apart from each other. Starts and ends are counted,
    /// each wrapper's on its own, so that a stretch within another ends with that, and one that reaches beyond another's
    /// end makes it longer. Where the counts do not agree:
    ///
    /// - A start without an end that begins a line is a harness's: it reaches to the first end, which belongs to a start
    ///   within it, or else to the end of the text, since what harnesses write has many lines. Elsewhere in a line it
    ///   is what the user writes about, and stays. So does an end with no stretch before it.
    /// - An end without a start belongs to the same wrapper's stretch just before it, and what stands between is cut too, unless
    ///   that begins with a new line, as a user's words after a harness's do.
    ///
    /// Every byte is looked at a fixed number of times, whatever the text.
    #[must_use]
    pub fn stretches(&self, text: &str) -> Vec<Range<usize>> {
        let marks = self.marks(text);
        if marks.is_empty() {
            return Vec::new();
        }
        let marks = pair(marks, self.wrappers.len());
        let mut stretches: Vec<Range<usize>> = Vec::new();
        // Whose stretch the last one is, and where it ends.
        let (mut whose, mut end) = (usize::MAX, 0);
        for mark in marks {
            let is_inside = mark.at.start < end;
            let until = match (mark.is_start, mark.until) {
                (true, Some(until)) => until,
                (true, None) if is_inside || !begins_line(text.get(end..mark.at.start).unwrap_or_default()) => continue,
                (true, None) => mark.first_end.unwrap_or(text.len()),
                // One with a start is within that one's stretch already.
                (false, _) if mark.wrapper == whose && !begins_with_a_line(text.get(end..).unwrap_or_default()) => {
                    mark.at.end
                }
                (false, _) => continue,
            };
            match stretches.last_mut().filter(|_| is_inside || !mark.is_start) {
                Some(last) if until > last.end => last.end = until,
                Some(_) => continue,
                None => stretches.push(mark.at.start..until),
            }
            (whose, end) = (mark.wrapper, until);
        }
        stretches
    }

    /// All marks in a text, by their place; none where there is no start.
    fn marks(&self, text: &str) -> Vec<Mark> {
        let mut marks = Vec::new();
        self.find(text, &self.initials, |_, _| true, &mut marks);
        if marks.iter().all(|mark| mark.kind == Kind::End) {
            return Vec::new();
        }
        // One that stands before every start of its wrapper ends nothing. Some are frequent characters.
        let mut first_start = vec![None; self.wrappers.len()];
        for mark in marks.iter().filter(|mark| mark.kind != Kind::End) {
            if let Some(first) = first_start.get_mut(mark.wrapper) {
                *first = Some(first.map_or(mark.at.start, |first: usize| first.min(mark.at.start)));
            }
        }
        self.find(
            text,
            &self.end_initials,
            |wrapper, at| first_start.get(wrapper).copied().flatten().is_some_and(|first| first < at),
            &mut marks,
        );
        // As many ordered runs as there are initials: this sort merges them in linear time.
        marks.sort_by_key(|mark| mark.at.start);
        marks
    }

    /// Finds the marks that begin with these characters. The standard search for a character is much faster than a look at every
    /// byte. `counts` tells whether a wrapper's mark at a place is of use.
    fn find(&self, text: &str, initials: &Initials, counts: impl Fn(usize, usize) -> bool, marks: &mut Vec<Mark>) {
        for start in initials.places(text) {
            let tail = text.get(start..).unwrap_or_default();
            for (wrapper, (kind, length)) in
                self.wrappers.iter().enumerate().filter_map(|(number, own)| Some((number, own.mark(tail)?)))
            {
                if !counts(wrapper, start) {
                    continue;
                }
                let at = start..start + length;
                marks.push(Mark { at, wrapper, kind, is_start: false, until: None, first_end: None });
            }
        }
    }
}

/// What a mark may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Start,
    End,
    /// Start and end are spelled alike, and take turns.
    Either,
}

/// A mark in a text.
#[derive(Debug)]
struct Mark {
    at: Range<usize>,
    /// The wrapper's number.
    wrapper: usize,
    kind: Kind,
    is_start: bool,
    /// Of a start: where its counterpart ends, counting starts and ends; `None`: it has none.
    until: Option<usize>,
    /// Of a start without a counterpart: where the next end of its wrapper ends.
    first_end: Option<usize>,
}

/// Finds each mark's counterpart, as brackets are matched, and leaves out marks that overlap an earlier one of their wrapper.
fn pair(mut marks: Vec<Mark>, wrappers: usize) -> Vec<Mark> {
    let mut taken = vec![0; wrappers];
    marks.retain(|mark| match taken.get_mut(mark.wrapper) {
        Some(taken) if mark.at.start >= *taken => {
            *taken = mark.at.end;
            true
        }
        _ => false,
    });
    let mut open: Vec<Vec<usize>> = vec![Vec::new(); wrappers];
    for number in 0..marks.len() {
        let Some(mark) = marks.get_mut(number) else { continue };
        let Some(open) = open.get_mut(mark.wrapper) else { continue };
        mark.is_start = mark.kind == Kind::Start || (mark.kind == Kind::Either && open.is_empty());
        if mark.is_start {
            open.push(number);
        } else if let Some(start) = open.pop() {
            let end = mark.at.end;
            if let Some(start) = marks.get_mut(start) {
                start.until = Some(end);
            }
        }
    }
    let mut next = vec![None; wrappers];
    for mark in marks.iter_mut().rev() {
        let Some(next) = next.get_mut(mark.wrapper) else { continue };
        if mark.is_start {
            mark.first_end = *next;
        } else {
            *next = Some(mark.at.end);
        }
    }
    marks
}

/// Whether what follows this text stands at the beginning of a line, or of the text: at most blanks are before it.
fn begins_line(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '\t']);
    before.is_empty() || before.ends_with('\n')
}

/// Whether a text begins with a line break, blanks before it passed over.
fn begins_with_a_line(text: &str) -> bool {
    text.trim_start_matches([' ', '\t']).starts_with(['\n', '\r'])
}

#[cfg(test)]
mod tests;
