//! Gemini: `{"contents": [{"role", "parts": [{"text"} | …]}], "systemInstruction", "generationConfig", …}`; the model is in the
//! path. The API takes names in camel case and in snake case alike.

use super::json::{Cursor, Walk, once};
use super::request::{Medium, Request, Speaker, Turn};
use super::settings::{self, Functions};
use super::{JsonString, Unparsable};

const FUNCTIONS: Functions = Functions::WithMembers(&["functionDeclarations", "function_declarations"]);

/// Reads a `generateContent` or `streamGenerateContent` request.
pub(super) fn read<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    let mut contents = false;
    // The newer models sign their thoughts, asked to think or not.
    request.may_bind = true;
    json.members(|name, json| match name {
        "contents" => {
            once(&mut contents)?;
            // A turn without a role is the user's.
            let mut each = |json: &mut Cursor<'a>| {
                let turn = content(json, Speaker::User)?;
                request.push(turn);
                Ok(())
            };
            // The API takes a list of one without its brackets, here and for the parts.
            if json.peek() == Some(b'{') { each(json) } else { json.elements(each) }
        }
        "systemInstruction" | "system_instruction" => {
            if json.peek() != Some(b'{') {
                return Ok(());
            }
            let turn = content(json, Speaker::System)?;
            request.push_system(turn);
            Ok(())
        }
        "tools" => request.read_tools(json, FUNCTIONS),
        "generationConfig" | "generation_config" => json.if_members(|name, json| match name {
            "maxOutputTokens" | "max_output_tokens" => request.read_limit(json),
            "responseSchema" | "response_schema" | "responseJsonSchema" | "response_json_schema" => {
                request.read_schema(json)
            }
            "thinkingConfig" | "thinking_config" => settings::thinking(json, &mut request.needs),
            "responseFormat" | "response_format" if json.peek() == Some(b'[') => {
                json.elements(|json| response_format(json, request))
            }
            "responseFormat" | "response_format" => response_format(json, request),
            "responseModalities" | "response_modalities" => settings::modalities(json, &mut request.needs),
            "speechConfig" | "speech_config" => {
                request.needs.audio = true;
                Ok(())
            }
            "imageConfig" | "image_config" => {
                request.needs.unknown = true;
                Ok(())
            }
            _ => Ok(()),
        }),
        // Made with one model, and of no use to another.
        "cachedContent" | "cached_content" => json.id().map(|name| request.ids.stored = name),
        // An answer that was cut short is to be finished: only the model that began it can.
        "continuationToken" | "continuation_token" => {
            request.carries_reasoning |= json.id()?.is_some();
            Ok(())
        }
        _ => Ok(()),
    })?;
    if contents { Ok(()) } else { Err(Unparsable) }
}

/// A format of the answer, in the newer form: `{"text": {"mimeType", "schema"}}`, or one of another medium.
fn response_format<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    json.if_members(|name, json| match name {
        "text" => json.if_members(|name, json| if name == "schema" { request.read_schema(json) } else { Ok(()) }),
        "audio" => {
            request.needs.audio = true;
            Ok(())
        }
        "image" | "video" => {
            request.needs.unknown = true;
            Ok(())
        }
        _ => Ok(()),
    })
}

fn content<'a>(json: &mut Cursor<'a>, speaker: Speaker) -> Result<Turn<'a>, Unparsable> {
    let mut turn = Turn { speaker, ..Turn::default() };
    json.members(|name, json| match name {
        "role" => {
            turn.speaker = match json.string()?.and_then(JsonString::decode).as_deref() {
                Some("model") => Speaker::Model,
                _ => speaker,
            };
            Ok(())
        }
        "parts" if json.peek() == Some(b'{') => part(&mut turn, json),
        "parts" => turn.read_content(json, part),
        _ => Ok(()),
    })?;
    Ok(turn)
}

fn part<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    read_part(turn, json, |turn, name, json| {
        match name {
            "text" => turn.texts.extend(json.string()?),
            "functionResponse" | "function_response" | "toolResponse" | "tool_response" => {
                json.if_members(|name, json| match name {
                    "parts" => turn.read_result(json, |turn, json| read_part(turn, json, |_, _, _| Ok(false))),
                    _ => turn.read_other(json),
                })?;
                turn.end_result();
            }
            "functionCall" | "function_call" => {
                turn.needs.tools = true;
                turn.read_other(json)?;
            }
            "toolCall"
            | "tool_call"
            | "executableCode"
            | "executable_code"
            | "codeExecutionResult"
            | "code_execution_result" => {
                turn.needs.hosted_tools = true;
                turn.read_other(json)?;
            }
            "thoughtSignature" | "thought_signature" => turn.reasoning |= json.id()?.is_some(),
            _ => return Ok(false),
        }
        Ok(true)
    })
}

/// Reads a part: one member says what it is, others may say something about it. `read` tells whether it knows a member; an
/// image, a recording or a file is known here.
fn read_part<'a>(
    turn: &mut Turn<'a>,
    json: &mut Cursor<'a>,
    read: impl Fn(&mut Turn<'a>, &str, &mut Cursor<'a>) -> Result<bool, Unparsable>,
) -> Walk {
    let (mut is_known, mut unknown) = (false, None);
    json.members(|name, json| {
        match name {
            "inlineData" | "inline_data" | "fileData" | "file_data" => {
                blob(turn, json)?;
                is_known = true;
            }
            "thought" | "videoMetadata" | "video_metadata" | "mediaResolution" | "media_resolution"
            | "partMetadata" | "part_metadata" => {}
            _ if read(turn, name, json)? => is_known = true,
            _ => unknown = Some(Medium::of_type(name)),
        }
        Ok(())
    })?;
    if let Some(medium) = unknown.filter(|_| !is_known) {
        turn.medium(medium);
    }
    Ok(())
}

/// An image, a recording or a file, in place or by its address.
fn blob<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    let mut medium = Medium::File;
    json.if_members(|name, json| match name {
        "mimeType" | "mime_type" => json.string().map(|name| {
            medium = name.and_then(JsonString::decode).map_or(medium, |name| Medium::of_mime_type(&name));
        }),
        _ => Ok(()),
    })?;
    turn.medium(medium);
    Ok(())
}
