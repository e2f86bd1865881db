//! OpenAI chat completions, and every server that speaks it: `{"model", "messages": [{"role", "content"}], …}`.

use super::json::{Cursor, Walk, once};
use super::request::{Medium, Request, Speaker, Turn};
use super::settings::{self, Functions};
use super::{JsonString, Unparsable};

/// The older list, `functions`, has no types.
const FUNCTIONS: Functions = Functions::OfType(&["function"]);

/// Reads a chat completion request.
pub(super) fn read<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    let (mut model, mut messages) = (false, false);
    // Some servers give signed reasoning unasked.
    request.may_bind = true;
    json.members(|name, json| match name {
        "model" => request.read_model(json, &mut model),
        "messages" => {
            once(&mut messages)?;
            json.elements(|json| {
                let turn = message(json)?;
                request.push(turn);
                Ok(())
            })
        }
        "max_tokens" | "max_completion_tokens" => request.read_limit(json),
        "tools" | "functions" => request.read_tools(json, FUNCTIONS),
        "web_search_options" => {
            request.needs.hosted_tools = true;
            Ok(())
        }
        "chat_template_kwargs" => settings::template_variables(json, &mut request.needs),
        "extra_body" => extra_body(json, request),
        "response_format" => request.read_format(json),
        "modalities" => settings::modalities(json, &mut request.needs),
        "prompt_cache_key" => json.id().map(|key| request.ids.cache_key = key),
        "user" | "safety_identifier" => json.id().map(|user| request.ids.user = user.or(request.ids.user)),
        _ => settings::thinking_member(name, json, &mut request.needs).map(drop),
    })?;
    if messages { Ok(()) } else { Err(Unparsable) }
}

/// What stands beside OpenAI's own members: Gemini's `{"google": {"thinking_config"}}`, and what a client that knows such an object
/// only as its library's argument sends within it.
fn extra_body<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    json.if_members(|name, json| match name {
        "google" => json.if_members(|name, json| match name {
            "thinking_config" | "thinkingConfig" => settings::thinking(json, &mut request.needs),
            _ => Ok(()),
        }),
        "chat_template_kwargs" => settings::template_variables(json, &mut request.needs),
        _ => settings::thinking_member(name, json, &mut request.needs).map(drop),
    })
}

fn message<'a>(json: &mut Cursor<'a>) -> Result<Turn<'a>, Unparsable> {
    let mut turn = Turn::default();
    json.members(|name, json| match name {
        "role" => {
            let role = json.word()?;
            turn.speaker = match role.as_ref() {
                "user" => Speaker::User,
                "system" | "developer" => Speaker::System,
                _ => Speaker::Model,
            };
            turn.tool_result |= matches!(role.as_ref(), "tool" | "function");
            Ok(())
        }
        "content" => turn.read_content(json, part),
        // Ollama's: images beside the content.
        "images" if json.peek() == Some(b'[') => json.elements(|_| {
            turn.medium(Medium::Image);
            Ok(())
        }),
        "tool_calls" if json.peek() == Some(b'[') => tool_calls(&mut turn, json),
        "function_call" if json.peek() == Some(b'{') => {
            turn.needs.tools = true;
            turn.read_other(json)
        }
        "extra_content" => extra_content(&mut turn, json),
        // An answer that was spoken, by the name that its own upstream knows it by.
        "audio" => json.if_members(|name, json| {
            if name == "id" {
                let known = json.id()?.is_some();
                turn.reasoning |= known;
                turn.needs.audio |= known;
            }
            Ok(())
        }),
        // Not OpenAI's own: signed reasoning as OpenRouter and LiteLLM hand it on.
        "reasoning_details" | "thinking_blocks" => {
            turn.reasoning |= settings::any_element(json)?;
            Ok(())
        }
        _ => Ok(()),
    })?;
    Ok(turn)
}

/// Tool calls, which the model reads as they stand.
fn tool_calls<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    let start = json.at();
    json.elements(|json| {
        turn.needs.tools = true;
        json.if_members(|name, json| if name == "extra_content" { extra_content(turn, json) } else { Ok(()) })
    })?;
    turn.other_texts.extend(json.since(start));
    Ok(())
}

/// What Gemini says beside OpenAI's own members: `{"google": {"thought_signature"}}`.
fn extra_content<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    json.if_members(|name, json| match name {
        "google" => json.if_members(|name, json| {
            turn.reasoning |= name == "thought_signature" && json.id()?.is_some();
            Ok(())
        }),
        _ => Ok(()),
    })
}

/// A part; those of Anthropic's that some clients send here, a tool's call and its result, included.
fn part<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    read_part(turn, json, |turn, json| turn.read_result(json, inner_part))
}

/// A part in a tool's result; what that holds deeper still is passed over.
fn inner_part<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    read_part(turn, json, Turn::read_other)
}

fn read_part<'a>(
    turn: &mut Turn<'a>,
    json: &mut Cursor<'a>,
    content: impl Fn(&mut Turn<'a>, &mut Cursor<'a>) -> Walk,
) -> Walk {
    let (mut kind, mut text, mut named) = (None, None, Medium::Unknown);
    json.members(|name, json| match name {
        "content" => content(turn, json),
        "input" => turn.read_other(json),
        "type" => json.string().map(|string| kind = string),
        "text" | "refusal" => json.string().map(|string| text = string),
        // Mistral's: what the model thought, in text, and which sources it leans on.
        "thinking" | "reference_ids" => turn.read_other(json),
        "signature" => {
            turn.reasoning |= json.id()?.is_some();
            Ok(())
        }
        _ => {
            if named == Medium::Unknown {
                named = Medium::of_type(name);
            }
            Ok(())
        }
    })?;
    match kind.and_then(JsonString::decode).as_deref() {
        Some("text" | "refusal" | "input_text" | "output_text") => turn.texts.extend(text),
        Some("tool_use") => turn.needs.tools = true,
        Some("redacted_thinking") => turn.reasoning = true,
        Some("tool_result") => turn.end_result(),
        Some("image_url" | "video_url") => turn.medium(Medium::Image),
        Some("input_audio" | "audio_url") => turn.medium(Medium::Audio),
        Some("file" | "document_url") => turn.medium(Medium::File),
        Some("thinking" | "reference") => {}
        Some(kind) => turn.medium(Medium::of_type(kind)),
        // Some servers take parts that do not say their type: `{"text"}`, `{"image"}`.
        None if named == Medium::Unknown && text.is_some() => turn.texts.extend(text),
        None => turn.medium(named),
    }
    Ok(())
}
