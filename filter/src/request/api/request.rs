//! What routing needs from a request, whichever API it speaks.

use super::json::{Cursor, Walk};
use super::model_name::{ModelName, Place};
use super::settings::{self, Functions};
use super::text::JsonString;

/// A request as the rest of the filter sees it. Texts are slices of the body.
#[derive(Debug, Default, PartialEq)]
pub struct Request<'a> {
    /// The body as it was sent.
    pub body: &'a [u8],
    /// The model that the client asked for; `None` when the request names none.
    pub model: Option<ModelName<'a>>,
    /// The system prompt's texts: what the application says before the user does.
    pub system: Vec<JsonString<'a>>,
    /// The user's turns that say something, oldest first.
    pub users: Vec<Turn<'a>>,
    /// Everything that the model reads as text, for the estimate of the prompt's length: messages, tool schemas, tool
    /// calls and results, as JSON.
    pub texts: Vec<&'a [u8]>,
    /// Images, recordings and files in the whole conversation.
    pub media: u64,
    /// The most tokens the client lets the model answer with; 0 when it does not say.
    pub max_output_tokens: u64,
    /// What the request needs of a model beyond text.
    pub needs: Needs,
    /// How many of the `users` had spoken when the last tool call gave its result; `None`: there is no such result. Of a turn
    /// that holds a result only what follows the result counts as said.
    pub users_at_result: Option<usize>,
    /// The model has said something since the last tool call gave its result.
    pub has_answered: bool,
    /// It carries a model's reasoning or its signature, which another model may refuse.
    pub carries_reasoning: bool,
    /// The answer may bring reasoning, or be stored by the upstream.
    pub may_bind: bool,
    /// The upstream is to store the answer, under an id that the answer tells.
    pub is_stored: bool,
    /// The answer is to be fetched later, by a request that names no model.
    pub in_background: bool,
    /// The API's own names for the conversation.
    pub ids: ConversationIds<'a>,
}

impl<'a> Request<'a> {
    /// Whether the request holds what only the model that made it can continue: signed reasoning, or the name of a
    /// conversation that its API stores. For tool loops see [`QueryPolicy::in_tool_loop`](crate::request::query::QueryPolicy).
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.carries_reasoning || self.ids.stored.is_some()
    }

    /// Whether the answer may make the next request one that only this model can continue.
    #[must_use]
    pub fn may_be_continued(&self) -> bool {
        self.may_bind || self.needs.tools || self.users_at_result.is_some() || self.is_bound()
    }

    /// Reads the `model` member of a body.
    pub(super) fn read_model(&mut self, json: &mut Cursor<'a>, seen: &mut bool) -> Walk {
        super::json::once(seen)?;
        let value = json.value()?;
        let name = JsonString::new(value).and_then(JsonString::decode).ok_or(super::Unparsable)?;
        let end = json.at();
        let span = end - value.len()..end;
        self.model = Some(match self.model.take() {
            // Named twice, and the servers compare: both are rewritten.
            Some(ModelName { name, place: Place::Path(path) }) => ModelName { name, place: Place::Both(path, span) },
            _ => ModelName { name, place: Place::Body(span) },
        });
        Ok(())
    }

    /// Reads one of the names by which APIs call the limit of the answer's length.
    pub(super) fn read_limit(&mut self, json: &mut Cursor<'a>) -> Walk {
        self.max_output_tokens = self.max_output_tokens.max(json.count()?);
        Ok(())
    }

    /// Reads a list of tools.
    pub(super) fn read_tools(&mut self, json: &mut Cursor<'a>, functions: Functions) -> Walk {
        self.texts.extend(settings::tools(json, &mut self.needs, functions)?);
        Ok(())
    }

    /// Reads an object of which one member is the schema that the answer must follow.
    pub(super) fn read_schema(&mut self, json: &mut Cursor<'a>) -> Walk {
        self.needs.json_schema = true;
        self.texts.push(json.value()?);
        Ok(())
    }

    /// Reads a format of the answer: `{"type": "json_schema", …}`, or another type.
    pub(super) fn read_format(&mut self, json: &mut Cursor<'a>) -> Walk {
        if let Some(format) = settings::schema_format(json)? {
            self.needs.json_schema = true;
            self.texts.push(format);
        }
        Ok(())
    }

    /// Adds a turn, in the order of the conversation.
    pub(super) fn push(&mut self, mut turn: Turn<'a>) {
        self.add_content(&turn);
        self.carries_reasoning |= turn.reasoning;
        self.needs.tools |= turn.tool_result;
        // Only of the last turn is this so in the end.
        let says = turn.speaker == Speaker::Model && turn.texts.iter().any(|text| !text.is_blank());
        self.needs.prefill = says && !turn.tool_result;
        self.has_answered |= says;
        if turn.tool_result {
            self.has_answered = false;
            self.users_at_result = Some(self.users.len());
            turn.keep_what_follows_the_result();
        }
        match turn.speaker {
            // Notes that an application slips in later are not the system prompt.
            Speaker::System if self.users.is_empty() => self.system.extend(turn.texts),
            Speaker::User if turn.says_something() => self.users.push(turn),
            Speaker::System | Speaker::User | Speaker::Model => {}
        }
    }

    /// Adds the system prompt, where it stands beside the conversation.
    pub(super) fn push_system(&mut self, turn: Turn<'a>) {
        self.add_content(&turn);
        self.system.extend(turn.texts);
    }

    /// Adds what a turn, whoever speaks, gives the model to read, and what that needs of it.
    fn add_content(&mut self, turn: &Turn<'a>) {
        self.texts.extend(turn.texts.iter().map(|text| text.contents()));
        self.texts.extend(&turn.other_texts);
        self.media += turn.media;
        self.needs.add(turn.needs);
    }
}

/// Who speaks in a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Speaker {
    /// The operator or the application: system prompts and developer messages.
    System,
    /// The user, and tools where the API has their results in the user's turns.
    User,
    /// The model, a tool with a turn of its own, and whoever else.
    #[default]
    Model,
}

/// One turn of a conversation.
#[derive(Debug, Default, PartialEq)]
pub struct Turn<'a> {
    /// Who speaks.
    pub speaker: Speaker,
    /// What is said, in pieces.
    pub texts: Vec<JsonString<'a>>,
    /// What else the model reads: tool calls and results, as JSON.
    pub other_texts: Vec<&'a [u8]>,
    /// Images, recordings, files, and parts of a kind that this filter does not know.
    pub media: u64,
    /// What the turn needs of a model.
    pub needs: Needs,
    /// It holds the result of a tool call.
    pub tool_result: bool,
    /// It holds a model's reasoning.
    pub reasoning: bool,
    /// How many of the texts and of the media stand before the end of the last result.
    pub before_result: (usize, u64),
}

impl<'a> Turn<'a> {
    /// Whether the speaker brings anything: not so where the turn only holds a tool's result, or nothing at all. Images beside
    /// a result are what the tool gave back, as long as there are no words.
    fn says_something(&self) -> bool {
        !self.texts.is_empty() || (self.media > 0 && !self.tool_result)
    }

    /// Notes that a tool's result ends here: the speaker's words that follow are said in the light of it.
    pub(super) fn end_result(&mut self) {
        self.tool_result = true;
        self.before_result = (self.texts.len(), self.media);
    }

    /// Leaves out what stands before the end of the last result. Such words go with the call that it answers: they are neither a
    /// question nor a turn to know a loop by.
    fn keep_what_follows_the_result(&mut self) {
        let (texts, media) = self.before_result;
        self.texts.drain(..texts.min(self.texts.len()));
        self.media = self.media.saturating_sub(media);
    }

    /// Reads content that is a string, or a list of parts each of which `part` reads.
    pub(super) fn read_content(
        &mut self,
        json: &mut Cursor<'a>,
        part: impl Fn(&mut Self, &mut Cursor<'a>) -> Walk,
    ) -> Walk {
        match json.peek() {
            Some(b'"') => self.texts.extend(json.string()?),
            Some(b'[') => json.elements(|json| match json.peek() {
                Some(b'{') => part(self, json),
                Some(b'"') => {
                    self.texts.extend(json.string()?);
                    Ok(())
                }
                _ => Ok(()),
            })?,
            _ => {}
        }
        Ok(())
    }

    /// Reads what a tool gave back: content in the same forms, or one part alone. Its text is not the speaker's.
    pub(super) fn read_result(
        &mut self,
        json: &mut Cursor<'a>,
        part: impl Fn(&mut Self, &mut Cursor<'a>) -> Walk,
    ) -> Walk {
        let said = std::mem::take(&mut self.texts);
        let walked = if json.peek() == Some(b'{') { part(self, json) } else { self.read_content(json, part) };
        let given = std::mem::replace(&mut self.texts, said);
        self.other_texts.extend(given.iter().map(|text| text.contents()));
        walked
    }

    /// Reads a value that the model gets as text, such as the arguments of a tool call.
    pub(super) fn read_other(&mut self, json: &mut Cursor<'a>) -> Walk {
        self.other_texts.push(json.value()?);
        Ok(())
    }

    /// Reads a list of tools that stands within the conversation.
    pub(super) fn read_tools(&mut self, json: &mut Cursor<'a>, functions: Functions) -> Walk {
        self.other_texts.extend(settings::tools(json, &mut self.needs, functions)?);
        Ok(())
    }

    /// Notes a call of a tool that the API runs itself, with what it gave back.
    pub(super) fn hosted_call(&mut self) {
        self.end_result();
        self.needs.hosted_tools = true;
    }

    /// Reads a format of the answer that is set within the conversation.
    pub(super) fn read_format(&mut self, json: &mut Cursor<'a>) -> Walk {
        if let Some(format) = settings::schema_format(json)? {
            self.needs.json_schema = true;
            self.other_texts.push(format);
        }
        Ok(())
    }

    /// Notes a part that is not text.
    pub(super) fn medium(&mut self, medium: Medium) {
        self.media += 1;
        match medium {
            Medium::Image => self.needs.vision = true,
            Medium::Audio => self.needs.audio = true,
            Medium::File => self.needs.files = true,
            Medium::Unknown => self.needs.unknown = true,
        }
    }
}

/// A kind of part that is not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Medium {
    /// A picture, or a film.
    Image,
    /// A recording.
    Audio,
    /// A document.
    File,
    /// Something that this filter does not know.
    Unknown,
}

impl Medium {
    /// The kind that the type or the name of a part speaks of, in APIs that do not have it themselves: servers take each other's
    /// `input_image`, `video`, `audio_url` and their like.
    pub(super) fn of_type(name: &str) -> Self {
        let speaks_of = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if speaks_of(&["image", "video", "screenshot"]) {
            Self::Image
        } else if speaks_of(&["audio"]) {
            Self::Audio
        } else if speaks_of(&["file", "document"]) {
            Self::File
        } else {
            Self::Unknown
        }
    }

    /// The kind that a MIME type names.
    pub(super) fn of_mime_type(name: &str) -> Self {
        match name.split('/').next() {
            Some("image" | "video") => Self::Image,
            Some("audio") => Self::Audio,
            _ => Self::File,
        }
    }
}

/// What a request needs of a model beyond text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// It shows images or films.
    pub vision: bool,
    /// It plays recordings.
    pub audio: bool,
    /// It holds documents.
    pub files: bool,
    /// It declares tools, or holds a call of a tool or a tool's result.
    pub tools: bool,
    /// It declares tools that are no functions of the client's: those that the API runs itself, and the API's own kinds.
    pub hosted_tools: bool,
    /// The answer must follow a JSON schema.
    pub json_schema: bool,
    /// It asks the model to think before it answers, or how much.
    pub thinking: bool,
    /// It ends with the beginning of the model's answer, for the model to continue. Blank text is none, and neither is what
    /// stands before a note of the application's: the providers that refuse a prefill take both.
    pub prefill: bool,
    /// It holds parts of a kind that this filter does not know, or asks for an answer in images, and so no list of what a model
    /// can do has it: `vision` is to read images, which says nothing of drawing them.
    pub unknown: bool,
}

impl Needs {
    /// Whether all of these are among `others`.
    #[must_use]
    pub fn within(self, others: Self) -> bool {
        let mut both = others;
        both.add(self);
        both == others
    }

    fn add(&mut self, other: Self) {
        self.vision |= other.vision;
        self.audio |= other.audio;
        self.files |= other.files;
        self.tools |= other.tools;
        self.hosted_tools |= other.hosted_tools;
        self.json_schema |= other.json_schema;
        self.thinking |= other.thinking;
        self.prefill |= other.prefill;
        self.unknown |= other.unknown;
    }
}

/// What the API itself says of which conversation a request belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConversationIds<'a> {
    /// A response or conversation that the upstream has stored, and other upstreams do not know.
    pub stored: Option<JsonString<'a>>,
    /// The client's own key for prompts that share a beginning.
    pub cache_key: Option<JsonString<'a>>,
    /// Who asks.
    pub user: Option<JsonString<'a>>,
}
