//! What is scored: which turns of a conversation, and which of their text.

use crate::request::api::{JsonString, Request, Turn, Unparsable};
use crate::request::text_results::{self, ResultMarks};
use crate::request::wrappers::{Wrapper, Wrappers};
use std::borrow::Cow;
use std::num::NonZeroUsize;

/// How the text to score is taken from a request.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryPolicy {
    /// Which turns.
    pub context: Context,
    /// What to do where the scored turns hold more than text.
    pub non_text: NonText,
    /// Harness text to be cut.
    pub wrappers: Wrappers,
    /// What a user's turn begins with that is a tool's result, of harnesses that call tools without the API's help.
    pub tool_results: Vec<ResultMarks>,
    /// A user's turn of at most this many words says too little: it is scored together with the turns before it. 0 scores
    /// every turn as it stands.
    pub follow_up_words: usize,
}

impl Default for QueryPolicy {
    fn default() -> Self {
        Self {
            context: Context::LastUser,
            non_text: NonText::Large,
            wrappers: usual_wrappers().collect(),
            tool_results: text_results::usual(),
            follow_up_words: 3,
        }
    }
}

/// What harnesses are known to put beside a user's words.
fn usual_wrappers() -> impl Iterator<Item = Wrapper> {
    let tags = [
        // Claude Code, and others that took it over.
        "system-reminder",
        "ide_opened_file",
        "ide_selection",
        "new-diagnostics",
        "task-notification",
        "local-command-caveat",
        "local-command-stdout",
        "local-command-stderr",
        "command-name",
        "command-message",
        // Cline and Roo Code.
        "environment_details",
        // Codex.
        "environment_context",
        "user_instructions",
        "turn_aborted",
        "subagent_notification",
        "user_shell_command",
        "skill",
        // The titles, tags and suggestions of Open WebUI.
        "chat_history",
    ];
    let marks = [("[Request interrupted by user", "]"), ("# AGENTS.md instructions for ", "</INSTRUCTIONS>")];
    tags.into_iter().map(Wrapper::tag).chain(marks.into_iter().filter_map(|(start, end)| Wrapper::marks(start, end)))
}

/// Which turns are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// The last user turn, as the paper scores the query.
    LastUser,
    /// The last so many user turns, newest first.
    Turns(NonZeroUsize),
    /// The last user turn, and then the system prompt.
    System,
}

/// What to do where the scored turns hold images, recordings or files, which the router can't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonText {
    /// Send the request to large.
    Large,
    /// Score the text beside them.
    Score,
}

/// What a user says in a turn.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// The user's words; empty where there are none.
    pub words: String,
    /// The turn is a tool's result that is written as text.
    pub is_result: bool,
}

/// The text to score.
#[derive(Debug, PartialEq, Eq)]
pub struct Query {
    /// The text; empty when there is none.
    pub text: String,
    /// The turns it was taken from hold more than text.
    pub has_media: bool,
}

impl QueryPolicy {
    /// Takes the query from a request: the last turn stands first, what came before it follows, and the system prompt is
    /// last, since a router reads only so much of a text and cuts off the rest. Pieces are joined by line feeds.
    ///
    /// # Errors
    /// The text is not UTF-8.
    pub fn query(&self, request: &Request<'_>) -> Result<Query, Unparsable> {
        self.query_with(request, None)
    }

    /// As [`Self::query`], where what was [`said`](Self::said) in the last turn is known already.
    ///
    /// # Errors
    /// The text is not UTF-8.
    pub fn query_with(&self, request: &Request<'_>, mut last: Option<Said>) -> Result<Query, Unparsable> {
        let wanted = if let Context::Turns(turns) = self.context { turns.get() } else { 1 };
        let (mut taken, mut said, mut has_media) = (Vec::new(), 0, false);
        for turn in request.users.iter().rev() {
            let Said { words: text, is_result } = match last.take() {
                Some(said) => said,
                None => self.said(turn)?,
            };
            // Images beside a tool's result are the tool's, as long as there are no words.
            has_media |= turn.media > 0 && !(text.is_empty() && (is_result || turn.tool_result));
            said += words(&text, self.follow_up_words.saturating_add(1));
            if !text.is_empty() {
                taken.push(text);
            }
            if said > self.follow_up_words && taken.len() >= wanted {
                break;
            }
        }
        if self.context == Context::System && !taken.is_empty() {
            taken.push(self.text(&request.system)?);
        }
        taken.retain(|text| !text.is_empty());
        Ok(Query { text: taken.join("\n"), has_media })
    }

    /// Whether a tool loop is under way: the user has said nothing since a tool gave its result. Notes of a harness, and
    /// the beginning of the model's own answer (a prefill), do not end a loop. `last` is what was [`said`](Self::said) in the last
    /// user turn, where that is known already.
    ///
    /// # Errors
    /// The text that might end it is not UTF-8.
    pub fn in_tool_loop(&self, request: &Request<'_>, mut last: Option<&Said>) -> Result<bool, Unparsable> {
        if request.users_at_result.is_none() && self.tool_results.is_empty() {
            return Ok(false);
        }
        let later = request.users_at_result.and_then(|users| request.users.get(users..)).unwrap_or(&request.users);
        for turn in later.iter().rev() {
            if self.begins_with_the_users_words(turn) {
                return Ok(false);
            }
            let (is_silent, is_result) = match last.take() {
                Some(said) => (said.words.is_empty(), said.is_result),
                None => self.said(turn).map(|said| (said.words.is_empty(), said.is_result))?,
            };
            match (is_silent, is_result) {
                (false, _) => return Ok(false),
                (true, true) => return Ok(true),
                // An image after a tool's result is what the tool has seen, where the API takes no images in results.
                (true, false) if turn.media > 0 && !turn.tool_result && request.has_answered => return Ok(false),
                (true, false) => {}
            }
        }
        Ok(request.users_at_result.is_some())
    }

    /// What a user says in a turn, harness text cut.
    ///
    /// # Errors
    /// The text is not UTF-8.
    pub fn said(&self, turn: &Turn<'_>) -> Result<Said, Unparsable> {
        let text = self.text(&turn.texts)?;
        let is_result = self.tool_results.iter().any(|marks| marks.begin(&text));
        if is_result {
            return Ok(Said { words: text_results::users_words(&text), is_result });
        }
        if let Some(words) = text_results::cursors_query(&text) {
            return Ok(Said { words, is_result });
        }
        let words = text_results::unwrapped(&text);
        let words = if words.len() == text.len() { text } else { words.to_owned() };
        Ok(Said { words, is_result })
    }

    /// Whether the first byte shows that a turn is a user's, as that of most is: so no text is decoded only to see that.
    fn begins_with_the_users_words(&self, turn: &Turn<'_>) -> bool {
        let text = turn.texts.first().map(|piece| piece.contents().trim_ascii_start()).unwrap_or_default();
        text.first().is_some_and(|&byte| {
            byte.is_ascii_graphic()
                && byte != b'\\'
                && !self.wrappers.may_begin_with(byte)
                && !self.tool_results.iter().any(|marks| marks.may_begin_with(byte))
        })
    }

    /// The text of some pieces, harness text cut and blank pieces left out.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn text(&self, pieces: &[JsonString<'_>]) -> Result<String, Unparsable> {
        let mut text = String::new();
        for piece in pieces {
            let mut decoded = piece.decode().ok_or(Unparsable)?;
            if let Cow::Owned(cut) = self.wrappers.cut(&decoded) {
                decoded = Cow::Owned(cut);
            }
            // Where harness text stood there are blanks left, which come and go with it.
            let trimmed = decoded.trim();
            if trimmed.is_empty() {
                continue;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(trimmed);
        }
        Ok(text)
    }
}

/// Counts words, as far as `most`. In scripts that do not part them, two characters are taken as one.
fn words(text: &str, most: usize) -> usize {
    let (mut words, mut halves, mut inside) = (0, 0, false);
    for c in text.chars() {
        if words + halves / 2 >= most {
            break;
        }
        if is_unspaced(c) {
            halves += 1;
            inside = false;
        } else {
            words += usize::from(c.is_alphanumeric() && !inside);
            inside = c.is_alphanumeric() || (inside && !c.is_whitespace());
        }
    }
    words + usize::div_ceil(halves, 2)
}

/// Thai to Khmer, and the Chinese and Japanese scripts.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::api::Api;

    const FOLLOW_UP: &str = r#"{"messages":[
        {"role":"system","content":"You write code."},
        {"role":"user","content":"Write a parser for TOML in Rust."},
        {"role":"assistant","content":"Which version of TOML?"},
        {"role":"user","content":"1.0, with good error messages please"},
        {"role":"assistant","content":"Shall I?"},
        {"role":"user","content":"go on"}]}"#;

    fn query(policy: &QueryPolicy, body: &str) -> Query {
        policy.query(&Api::OpenAiChat.read("/v1/chat/completions", body.as_bytes()).unwrap()).unwrap()
    }

    fn text(policy: &QueryPolicy, body: &str) -> String {
        query(policy, body).text
    }

    fn with(context: Context, follow_up_words: usize) -> QueryPolicy {
        QueryPolicy { context, follow_up_words, ..QueryPolicy::default() }
    }

    #[test]
    fn the_context_decides_which_turns_are_scored() {
        let turns = |n| Context::Turns(NonZeroUsize::new(n).unwrap());
        let parser = "Write a parser for TOML in Rust.";
        let errors = "1.0, with good error messages please";
        let table = [
            (with(Context::LastUser, 0), "go on".to_owned()),
            (with(Context::LastUser, 3), format!("go on\n{errors}")),
            (with(Context::LastUser, 100), format!("go on\n{errors}\n{parser}")),
            (with(turns(1), 0), "go on".to_owned()),
            (with(turns(2), 0), format!("go on\n{errors}")),
            (with(turns(3), 0), format!("go on\n{errors}\n{parser}")),
            (with(turns(9), 0), format!("go on\n{errors}\n{parser}")),
            (with(Context::System, 0), "go on\nYou write code.".to_owned()),
            (with(Context::System, 3), format!("go on\n{errors}\nYou write code.")),
        ];
        for (policy, want) in table {
            assert_eq!(text(&policy, FOLLOW_UP), want, "{policy:?}");
        }
    }

    /// A router reads the first so many tokens: what it does not reach must be the oldest.
    #[test]
    fn the_question_stands_first_however_long_the_rest_is() {
        let long = "Never promise a refund. ".repeat(100);
        let body = format!(
            r#"{{"messages":[{{"role":"system","content":"{long}"}},{{"role":"user","content":"{long}"}},
                {{"role":"user","content":[{{"type":"text","text":"Prove it:"}},{{"type":"text","text":"now!"}}]}}]}}"#
        );
        for context in [Context::LastUser, Context::Turns(NonZeroUsize::MAX), Context::System] {
            let scored = text(&with(context, 3), &body);
            assert!(scored.starts_with("Prove it:\nnow!\nNever promise"), "{context:?}: {scored:.60}");
        }
    }

    #[test]
    fn text_that_is_no_utf_8_is_no_query() {
        let read = |body: &'static [u8]| Api::OpenAiChat.read("", body).unwrap();
        let asked = read(b"{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\xfe\"}]}");
        assert_eq!(QueryPolicy::default().query(&asked), Err(Unparsable));
        let answered =
            read(b"{\"messages\":[{\"content\":\"\xff\",\"role\":\"model\"},{\"role\":\"user\",\"content\":\"hi\"}]}");
        assert_eq!(QueryPolicy::default().query(&answered).unwrap().text, "hi");
    }

    #[test]
    fn short_follow_ups_in_any_script() {
        let table = [
            ("yes", 1),
            ("commit it", 2),
            ("go on, please!", 3),
            ("don't stop", 2),
            ("1.0", 1),
            ("...", 0),
            ("👍", 0),
            ("继续", 1),
            ("法国的首都是哪里?", 4),
            ("ja, weiter", 2),
            ("계속 해 주세요", 3),
            ("続けてください", 4),
        ];
        for (said, count) in table {
            assert_eq!(words(said, usize::MAX), count, "{said}");
        }
        assert_eq!(words(&"word ".repeat(100_000), 4), 4);
    }

    #[test]
    fn a_follow_up_without_anything_before_it_is_scored_alone() {
        assert_eq!(text(&QueryPolicy::default(), r#"{"messages":[{"role":"user","content":"yes"}]}"#), "yes");
        assert_eq!(text(&QueryPolicy::default(), r#"{"messages":[{"role":"user","content":" "}]}"#), "");
        assert_eq!(text(&with(Context::System, 3), r#"{"messages":[{"role":"system","content":"s"}]}"#), "");
    }

    #[test]
    fn harness_text_is_no_query() {
        let body = r#"{"messages":[{"role":"user","content":[
            {"type":"text","text":"\u003csystem-reminder\u003eThe user opened main.rs\u003c/system-reminder\u003e"},
            {"type":"text","text":"<system-reminder>x</system-reminder>Why does this not compile at all?"}]}]}"#;
        assert_eq!(text(&QueryPolicy::default(), body), "Why does this not compile at all?");
        let none = QueryPolicy { wrappers: Wrappers::default(), ..QueryPolicy::default() };
        assert!(text(&none, body).starts_with("<system-reminder>The user opened"));
        let only = r#"{"messages":[{"role":"user","content":"Explain how rainbows form."},{"role":"assistant","content":"…"},
            {"role":"user","content":"<system-reminder>tick</system-reminder>"}]}"#;
        assert_eq!(text(&QueryPolicy::default(), only), "Explain how rainbows form.");
    }

    /// Each of these is no question, whatever stands in it.
    #[test]
    fn what_harnesses_are_known_to_send_is_no_query() {
        let harness = [
            "<ide_opened_file>The user opened a.rs</ide_opened_file>",
            "<ide_selection>lines 1 to 3</ide_selection>",
            "<command-name>/model</command-name>\n<command-message>model</command-message>\n<command-args></command-args>",
            "<local-command-stdout>Set the model</local-command-stdout>",
            "<task-notification>done</task-notification>",
            "# AGENTS.md instructions for /src\n\n<INSTRUCTIONS>\nBe brief.\n</INSTRUCTIONS>",
            "<user_shell_command>ls</user_shell_command>",
            "[Request interrupted by user for tool use]",
        ];
        let said =
            |text: &str| QueryPolicy::default().text(&[JsonString::new(json(text).as_bytes()).unwrap()]).unwrap();
        for text in harness {
            let turn = said(text);
            assert_eq!(text_results::unwrapped(&turn), "", "{text}");
        }
        let asked = "[Request interrupted by user for tool use]\nWhat does a[0] mean in Rust and C?";
        assert_eq!(said(asked), "What does a[0] mean in Rust and C?");
    }

    fn json(text: &str) -> String {
        serde_json::to_string(text).unwrap()
    }

    #[test]
    fn media_are_noted_in_the_scored_turns_only() {
        let image = r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}"#;
        let body = |first: &str, last: &str| {
            format!(
                r#"{{"messages":[{{"role":"user","content":[{first}]}},{{"role":"assistant","content":"…"}},{{"role":"user","content":[{last}]}}]}}"#
            )
        };
        let long = r#"{"type":"text","text":"What is the tallest mountain on Earth?"}"#;
        let short = r#"{"type":"text","text":"and now?"}"#;
        assert!(query(&QueryPolicy::default(), &body(long, &format!("{image},{long}"))).has_media);
        assert!(!query(&QueryPolicy::default(), &body(&format!("{image},{long}"), long)).has_media);
        let follow_up = query(&QueryPolicy::default(), &body(&format!("{image},{long}"), short));
        assert!(follow_up.has_media && follow_up.text.starts_with("and now?\n"));
    }
}
