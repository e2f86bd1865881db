//! OpenAI responses: `{"model", "input": "…" | [items], "instructions", "previous_response_id", …}`.

use super::json::{Cursor, Walk, once};
use super::request::{Medium, Request, Speaker, Turn};
use super::settings::{self, Functions};
use super::{JsonString, Unparsable};

const FUNCTIONS: Functions = Functions::OfType(&["function"]);

/// Reads a responses request. Its answers are stored unless it says otherwise, and carry reasoning: the next request may
/// well be bound to the model of this one.
pub(super) fn read<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    let (mut model, mut input, mut stored_prompt) = (false, false, false);
    request.may_bind = true;
    request.is_stored = true;
    json.members(|name, json| match name {
        "model" => request.read_model(json, &mut model),
        "input" => {
            once(&mut input)?;
            read_input(json, request)
        }
        "instructions" => {
            let mut turn = Turn::default();
            turn.read_content(json, part)?;
            request.push_system(turn);
            Ok(())
        }
        "max_output_tokens" => request.read_limit(json),
        "tools" => request.read_tools(json, FUNCTIONS),
        "reasoning" => settings::thinking(json, &mut request.needs),
        "include" if json.peek() == Some(b'[') => json.elements(|json| {
            request.needs.thinking |= json.string()?.is_some_and(|what| what.is("reasoning.encrypted_content"));
            Ok(())
        }),
        "text" => json.if_members(|name, json| if name == "format" { request.read_format(json) } else { Ok(()) }),
        "previous_response_id" => json.id().map(|id| request.ids.stored = id.or(request.ids.stored)),
        "conversation" => read_conversation(json, request),
        "prompt" => {
            stored_prompt = json.peek() == Some(b'{');
            Ok(())
        }
        "store" => json.value().map(|store| request.is_stored = store != b"false"),
        "background" => json.value().map(|background| request.in_background = background == b"true"),
        "prompt_cache_key" => json.id().map(|key| request.ids.cache_key = key),
        "user" | "safety_identifier" => json.id().map(|user| request.ids.user = user.or(request.ids.user)),
        _ => Ok(()),
    })?;
    // The API has no half-made answers: the model answers anew.
    request.needs.prefill = false;
    if input || stored_prompt || request.ids.stored.is_some() { Ok(()) } else { Err(Unparsable) }
}

/// A conversation that the API keeps: its id, or an object with it.
fn read_conversation<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    if json.peek() == Some(b'"') {
        return json.id().map(|id| request.ids.stored = id);
    }
    json.if_members(|name, json| match name {
        "id" => json.id().map(|id| request.ids.stored = id),
        _ => Ok(()),
    })
}

fn read_input<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    if json.peek() == Some(b'"') {
        request.push(Turn { speaker: Speaker::User, texts: json.string()?.into_iter().collect(), ..Turn::default() });
        return Ok(());
    }
    json.elements(|json| {
        let turn = item(json)?;
        request.push(turn);
        Ok(())
    })
}

/// Reads one item: a message, a tool call, a tool's result, reasoning, or a reference to a stored item.
fn item<'a>(json: &mut Cursor<'a>) -> Result<Turn<'a>, Unparsable> {
    let (mut kind, mut role, mut id, mut result, mut text) = (None, None, None, None, None);
    let mut turn = Turn::default();
    json.members(|name, json| match name {
        "type" => json.string().map(|string| kind = string),
        "role" => json.string().map(|string| role = string),
        "id" => json.id().map(|string| id = string),
        "content" => turn.read_content(json, part),
        "output" | "outputs" => turn.read_result(json, part),
        "arguments" | "input" | "action" | "summary" | "operation" | "code" | "queries" | "results" => {
            turn.read_other(json)
        }
        "result" => json.string().map(|string| result = string),
        "tools" => turn.read_tools(json, FUNCTIONS),
        "text" if json.peek() == Some(b'"') => json.string().map(|string| text = string),
        // The settings of all answers from here on.
        "text" => json.if_members(|name, json| if name == "format" { turn.read_format(json) } else { Ok(()) }),
        _ => Ok(()),
    })?;
    let kind = kind.and_then(JsonString::decode);
    match kind.as_deref() {
        // Nobody's words, but something's name: a reference, whose type may be left out.
        None if role.is_none() && id.is_some() => turn.reasoning = true,
        None | Some("message") => {
            turn.speaker = match role.and_then(JsonString::decode).as_deref() {
                Some("user") => Speaker::User,
                Some("system" | "developer") => Speaker::System,
                _ => Speaker::Model,
            }
        }
        // Encrypted, or known to the upstream that stored it alone.
        Some("reasoning" | "item_reference" | "compaction") => turn.reasoning = true,
        Some("mcp_approval_response") => turn.tool_result = true,
        // Elsewhere a result is an image's bytes.
        Some("program_output") => {
            turn.tool_result = true;
            turn.other_texts.extend(result.map(JsonString::contents));
        }
        Some(kind) => {
            turn.tool_result = kind.ends_with("_output");
            let is_tools = turn.tool_result || kind.ends_with("_call") || kind.starts_with("mcp_");
            turn.needs.tools |= is_tools;
            turn.needs.hosted_tools |= is_tools && !matches!(kind, "function_call" | "function_call_output");
            if !is_tools && !SILENT.contains(&kind) {
                bare_part(&mut turn, kind, text);
            }
        }
    }
    Ok(turn)
}

/// Items that need nothing of a model beyond what their members do.
const SILENT: &[&str] = &["additional_tools", "agent_message", "compaction_trigger", "configuration_update", "program"];

/// An item that is a part of a message, without the message, or of a kind that nobody knows: it needs what such a part does.
fn bare_part<'a>(turn: &mut Turn<'a>, kind: &str, text: Option<JsonString<'a>>) {
    if kind.starts_with("input_") {
        turn.speaker = Speaker::User;
    }
    match kind {
        "input_text" | "output_text" => turn.texts.extend(text),
        _ => turn.medium(Medium::of_type(kind)),
    }
}

fn part<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    let (mut kind, mut text, mut printed) = (None, None, false);
    json.members(|name, json| match name {
        "type" => json.string().map(|string| kind = string),
        "text" | "refusal" => json.string().map(|string| text = string),
        // What a shell or an interpreter printed; the shell's pieces have no type.
        "stdout" | "stderr" | "logs" => {
            printed = true;
            turn.read_other(json)
        }
        _ => Ok(()),
    })?;
    match kind.and_then(JsonString::decode).as_deref() {
        // `reasoning_text` stands in reasoning items, whose turn is the model's.
        Some("input_text" | "output_text" | "text" | "refusal" | "reasoning_text") => turn.texts.extend(text),
        Some("input_image" | "computer_screenshot" | "image") => turn.medium(Medium::Image),
        Some("input_audio") => turn.medium(Medium::Audio),
        Some("input_file") => turn.medium(Medium::File),
        // What one agent told another.
        Some("encrypted_content") => turn.reasoning = true,
        _ if printed => {}
        kind => turn.medium(kind.map_or(Medium::Unknown, Medium::of_type)),
    }
    Ok(())
}
