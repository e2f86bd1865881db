//! What is cut, and that it costs no more than a few looks at each byte.

use super::*;
use proptest::prelude::*;

fn reminders() -> Wrappers {
    Wrappers::from_iter([Wrapper::tag("system-reminder")])
}

#[test]
fn wrapped_stretches_are_cut() {
    let table = [
        ("What is 2+2?", "What is 2+2?"),
        ("<system-reminder>be brief</system-reminder>What is 2+2?", "What is 2+2?"),
        ("a<system-reminder>\nx\n</system-reminder>b<system-reminder id=\"1\">y</system-reminder>c", "abc"),
        ("<system-reminder></system-reminder>", ""),
        ("and </system-reminder>?", "and </system-reminder>?"),
        ("<system-reminders>x</system-reminder>", "<system-reminders>x</system-reminder>"),
        ("<system-reminders><system-reminder>x</system-reminder>", "<system-reminders>"),
        ("中<system-reminder>文</system-reminder>字", "中字"),
        ("<SYSTEM-Reminder>x</System-Reminder>q", "q"),
        ("<system-reminder>x</system-reminder >q", "q"),
        ("<system-reminder />q", "<system-reminder />q"),
        ("<system-reminder/>q", "<system-reminder/>q"),
        ("<system-reminder>x</system-reminders>y</system-reminder>q", "q"),
        (
            "<system-reminder>x</system-reminder>\nWhat does </system-reminder> close?",
            "\nWhat does </system-reminder> close?",
        ),
    ];
    for (text, want) in table {
        assert_eq!(reminders().cut(text), want, "{text}");
    }
    let marks = Wrappers::from_iter(Wrapper::marks("[[", "]]"));
    assert_eq!(marks.cut("a [[b]] c [[d"), "a  c [[d");
    let own = Wrappers::from_iter(Wrapper::marks("<note from=", "</note>"));
    assert_eq!(own.cut("a<note from=\"bot\">b</note>c"), "ac", "marks are taken as they stand, tags or not");
    assert_eq!(Wrapper::marks("", "x"), None);
    assert_eq!(Wrappers::default().cut("<a>b</a>"), "<a>b</a>");
}

/// `(`, `)`: the first wrapper's marks; `<`, `>`: the second's; `|`: both marks of the third; `_`: a line feed.
fn cut(text: &str) -> String {
    let wrappers = [("<a>", "</a>"), ("<b>", "</b>"), ("---", "---")];
    let wrappers: Wrappers = wrappers.iter().filter_map(|(start, end)| Wrapper::marks(start, end)).collect();
    let spelled = text.chars().map(|c| match c {
        '(' => "<a>".to_owned(),
        ')' => "</a>".to_owned(),
        '<' => "<b>".to_owned(),
        '>' => "</b>".to_owned(),
        '|' => "---".to_owned(),
        '_' => "\n".to_owned(),
        other => other.to_string(),
    });
    let cut = wrappers.cut(&spelled.collect::<String>()).into_owned();
    let marks = [("</a>", ")"), ("<a>", "("), ("</b>", ">"), ("<b>", "<"), ("---", "|"), ("\n", "_")];
    marks.iter().fold(cut, |text, (spelled, short)| text.replace(spelled, short))
}

#[test]
fn starts_and_ends_are_counted() {
    let table = [
        // Nested, alike and not.
        ("(x(y)z)q", "q"),
        ("((x)(y(z)))q(r)s", "qs"),
        ("(x<y>z)q", "q"),
        ("<(x)(y)>q", "q"),
        // Overlapping.
        ("(x<y)z>q", "q"),
        ("<x(y>z)q", "q"),
        ("(x<y)z(w>v)q", "q"),
        // One that only speaks of the mark.
        ("(x(y)q", "q"),
        ("(x(y)q(z)r", "qr"),
        ("(x<y)q<z>r", "qr"),
        ("what is ( for?", "what is ( for?"),
        ("what is ( for? (x)", "what is ( for? "),
        // Ends too many: what is left of a cut is cut.
        ("(x)y)q", "q"),
        ("(x(y)z))w)q", "q"),
        ("(x)_y)q", "_y)q"),
        ("(x)q>r", "q>r"),
        ("q)r(x)s", "q)rs"),
        // Marks that are spelled alike take turns.
        ("|x|q|y|r", "qr"),
        ("(|x)y|q", "q"),
    ];
    for (text, want) in table {
        assert_eq!(cut(text), want, "{text}");
    }
}

#[test]
fn a_start_without_an_end_reaches_to_the_end_of_the_text_from_the_beginning_of_a_line() {
    let table = [
        ("(x_y", ""),
        ("q_(x_y", "q_"),
        ("q_  (x_y", "q_  "),
        ("q (x_y", "q (x_y"),
        ("(x)(y_z", ""),
        ("(x) (y_z", " "),
        ("q (x)(y_z", "q "),
        ("(x_<y", ""),
        ("q_<x(y)z", "q_"),
        ("q ( r_(x", "q ( r_"),
    ];
    for (text, want) in table {
        assert_eq!(cut(text), want, "{text}");
    }
}

/// Were any of it looked at again for each mark, these would take hours.
#[test]
fn a_mebibyte_of_marks_is_cut_in_linear_time() {
    let fill = |unit: &str| unit.repeat((1 << 20) / unit.len());
    let wrappers: Wrappers =
        [Wrapper::tag("system-reminder"), Wrapper::tag("note")].into_iter().chain(Wrapper::marks("[", "]")).collect();
    let (start, end) = ("<system-reminder>", "</system-reminder>");
    let starts = fill(start);
    assert_eq!(wrappers.cut(&starts), "", "from the beginning of a line");
    let inline = format!("x{starts}");
    assert_eq!(wrappers.cut(&inline), inline);
    assert_eq!(wrappers.cut(&fill(end)), fill(end));
    assert_eq!(wrappers.cut(&format!("{}{}", fill(start), fill(end))), "");
    assert_eq!(wrappers.cut(&format!("{start}{}", fill(end))), "");
    assert_eq!(wrappers.cut(&fill(&format!("{start}{start}{end}"))), "");
    assert_eq!(wrappers.cut(&fill("<system-reminder> <note>x</system-reminder> </note>")), "");
    for near in ["<system-remindex", "<", "</", "x<note y"] {
        let _ = wrappers.cut(&fill(near));
    }
    assert_eq!(wrappers.cut(&fill("]")), fill("]"));
    let brackets = fill("[");
    assert_eq!(wrappers.cut(&format!("x{brackets}")), format!("x{brackets}"));
    let blanks = format!("x{}", fill("[                                                              "));
    assert_eq!(wrappers.cut(&blanks), blanks);
}

proptest! {
    /// What comes out is what went in less whole stretches: nothing is added, and nothing outside them is lost.
    #[test]
    fn only_wrapped_text_goes(pieces in prop::collection::vec(("[a-z ]{0,8}", "[a-z ]{0,8}", 1..4_usize), 0..6)) {
        let wrapped: String = pieces
            .iter()
            .map(|(own, theirs, depth)| format!("{own}{}{theirs}{}", "<w>".repeat(*depth), "</w>".repeat(*depth)))
            .collect();
        let own: String = pieces.iter().map(|(own, ..)| own.as_str()).collect();
        prop_assert_eq!(Wrappers::from_iter([Wrapper::tag("w")]).cut(&wrapped), own);
    }

    /// A stretch begins with a start, or there is none; stretches are in order and apart, and lie on characters.
    #[test]
    fn any_text_causes_no_panic(text in "[<>/wv\\[\\] \na中]{0,60}") {
        let wrappers: Wrappers =
            [Wrapper::tag("w"), Wrapper::tag("v")].into_iter().chain(Wrapper::marks("[", "]")).collect();
        let mut from = 0;
        for stretch in wrappers.stretches(&text) {
            prop_assert!(from <= stretch.start && stretch.start < stretch.end);
            prop_assert!(["<w", "<v", "["].iter().any(|mark| text[stretch.start..].starts_with(mark)));
            from = stretch.end;
        }
        prop_assert!(wrappers.cut(&text).len() <= text.len());
    }
}
