//! Anthropic messages: `{"model", "max_tokens", "system", "messages": [{"role", "content": "…" | [blocks]}], …}`. On Google's
//! Vertex AI the model is in the path.

use super::json::{Cursor, Walk, once};
use super::request::{Medium, Request, Speaker, Turn};
use super::settings::{self, Functions};
use super::{JsonString, Unparsable};

/// Bedrock's `invoke` has OpenAI's functions in the same place.
const FUNCTIONS: Functions = Functions::OfType(&["custom", "function"]);

/// Reads a messages request.
pub(super) fn read<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    let (mut model, mut messages) = (false, false);
    // Some models think unasked, and sign it.
    request.may_bind = true;
    json.members(|name, json| match name {
        "model" => request.read_model(json, &mut model),
        "messages" => {
            once(&mut messages)?;
            read_messages(json, request, block)
        }
        "thread" => read_thread(json, request),
        _ => read_setting(name, json, request),
    })?;
    if messages { Ok(()) } else { Err(Unparsable) }
}

/// A conversation that the API keeps under the id of each of its answers: a new one, or the answer that it continues from.
fn read_thread<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    request.is_stored = json.peek() == Some(b'{');
    json.if_members(|name, json| match name {
        "previous_message_id" => json.id().map(|id| request.ids.stored = id),
        _ => Ok(()),
    })
}

/// Reads the list of messages, in whose content `block` reads each block. By Bedrock's `invoke` the models of others get
/// theirs in nearly the same shape, with the tools' turns as OpenAI has them.
pub(super) fn read_messages<'a>(
    json: &mut Cursor<'a>,
    request: &mut Request<'a>,
    block: impl Fn(&mut Turn<'a>, &mut Cursor<'a>) -> Walk,
) -> Walk {
    json.elements(|json| {
        let mut turn = Turn::default();
        json.members(|name, json| match name {
            "role" => {
                let role = json.word()?;
                turn.speaker = match role.as_ref() {
                    "user" => Speaker::User,
                    "system" | "developer" => Speaker::System,
                    _ => Speaker::Model,
                };
                turn.tool_result |= role == "tool";
                Ok(())
            }
            "content" => turn.read_content(json, &block),
            "tool_calls" if json.peek() == Some(b'[') => {
                let start = json.at();
                turn.needs.tools |= settings::any_element(json)?;
                turn.other_texts.extend(json.since(start));
                Ok(())
            }
            _ => Ok(()),
        })?;
        request.push(turn);
        Ok(())
    })
}

/// Reads any member but the model and the messages.
pub(super) fn read_setting<'a>(name: &str, json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    match name {
        "system" => {
            let mut turn = Turn::default();
            turn.read_content(json, block)?;
            request.push_system(turn);
            Ok(())
        }
        "max_tokens" => request.read_limit(json),
        "tools" => request.read_tools(json, FUNCTIONS),
        "mcp_servers" => {
            request.needs.hosted_tools |= settings::any_element(json)?;
            Ok(())
        }
        "thinking" | "reasoning_effort" => settings::thinking(json, &mut request.needs),
        "output_format" => request.read_format(json),
        "output_config" => json.if_members(|name, json| match name {
            "format" => request.read_format(json),
            "effort" => settings::thinking(json, &mut request.needs),
            _ => Ok(()),
        }),
        "metadata" => json.if_members(|name, json| match name {
            "user_id" => json.id().map(|user| request.ids.user = user),
            _ => Ok(()),
        }),
        _ => Ok(()),
    }
}

fn block<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    let mut block = Block::default();
    json.members(|name, json| block.read(turn, name, json))?;
    block.note(turn);
    Ok(())
}

/// A block in a tool's result; what that holds deeper still is passed over.
fn inner_block<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    let mut block = Block::default();
    json.members(|name, json| match name {
        "content" => turn.read_other(json),
        "source" => source(turn, json, Turn::read_other).map(drop),
        "input" | "thinking" => Ok(()),
        _ => block.read(turn, name, json),
    })?;
    block.note(turn);
    Ok(())
}

/// What a tool of the API's own has found, in one object: a fetched document, the output of code, references to tools.
fn found<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    json.members(|name, json| match name {
        "content" if json.peek() == Some(b'{') => fetched(turn, json),
        _ => turn.read_other(json),
    })
}

/// A fetched document: text, or the bytes of a file.
fn fetched<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    let mut is_text = false;
    json.members(|name, json| {
        if name == "source" {
            is_text = source(turn, json, Turn::read_other)?;
        }
        Ok(())
    })?;
    if !is_text {
        turn.medium(Medium::File);
    }
    Ok(())
}

/// Where an image or a document comes from. A document may be text, all of it or in blocks that `content` reads: such text
/// counts, and is not the speaker's. Tells whether it is plain text.
fn source<'a>(
    turn: &mut Turn<'a>,
    json: &mut Cursor<'a>,
    content: impl Fn(&mut Turn<'a>, &mut Cursor<'a>) -> Walk,
) -> Result<bool, Unparsable> {
    let (mut is_text, mut data) = (false, None);
    json.if_members(|name, json| match name {
        "type" => json.string().map(|kind| is_text = kind.is_some_and(|kind| kind.is("text"))),
        "data" => json.string().map(|string| data = string),
        "content" => content(turn, json),
        _ => Ok(()),
    })?;
    let text = data.filter(|_| is_text);
    turn.other_texts.extend(text.map(JsonString::contents));
    Ok(text.is_some())
}

/// What a block says of itself; its members stand in any order.
#[derive(Default)]
pub(super) struct Block<'a> {
    kind: Option<JsonString<'a>>,
    text: Option<JsonString<'a>>,
}

impl<'a> Block<'a> {
    /// Reads one member of the block.
    pub(super) fn read(&mut self, turn: &mut Turn<'a>, name: &str, json: &mut Cursor<'a>) -> Walk {
        match name {
            "type" => json.string().map(|string| self.kind = string),
            "text" => json.string().map(|string| self.text = string),
            // What a tool that the API runs itself has found.
            "content" if json.peek() == Some(b'{') => found(turn, json),
            // What a tool gave back, a search result's text, and their like.
            "content" => turn.read_result(json, inner_block),
            "source" => source(turn, json, |turn, json| turn.read_result(json, inner_block)).map(drop),
            "input" | "thinking" | "tabs" => turn.read_other(json),
            "tools" => turn.read_tools(json, FUNCTIONS),
            "tool" => {
                turn.needs.tools = true;
                turn.read_other(json)
            }
            _ => Ok(()),
        }
    }

    /// Whether the block says nothing of itself.
    pub(super) fn is_silent(&self) -> bool {
        self.kind.is_none() && self.text.is_none()
    }

    /// Adds the block to its turn, once all of it is read.
    pub(super) fn note(self, turn: &mut Turn<'a>) {
        match self.kind.and_then(JsonString::decode).as_deref() {
            // Bedrock's own models leave the type out.
            Some("text") | None => match self.text {
                Some(text) => turn.texts.push(text),
                None => turn.medium(Medium::Unknown),
            },
            Some("image" | "image_url") => turn.medium(Medium::Image),
            Some("document" | "container_upload") => turn.medium(Medium::File),
            Some("thinking" | "redacted_thinking" | "compaction") => turn.reasoning = true,
            // Tools that the API runs itself stand in the model's own turn, with what they gave back. A request that ends in
            // them continues a turn that was paused.
            Some("tool_result") => turn.end_result(),
            Some("server_tool_use" | "mcp_tool_use") => turn.hosted_call(),
            Some(kind) if kind.ends_with("_tool_result") => turn.hosted_call(),
            Some("tool_use") => turn.needs.tools = true,
            Some("tool_reference" | "tool_addition" | "tool_removal" | "mcp_tool_listing") => {}
            Some("fallback" | "browser_state") => {}
            Some(kind) if kind.ends_with("_result") => {}
            Some(kind) => turn.medium(Medium::of_type(kind)),
        }
    }
}
