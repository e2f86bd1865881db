//! Amazon Bedrock: `converse`, whose body is the same for all models, and `invoke`, whose body is in the model's own shape.
//! The model is in the path.

use super::json::{Cursor, Walk, once};
use super::request::{Medium, Request, Speaker, Turn};
use super::settings::{self, Functions};
use super::{Unparsable, anthropic_messages};
use anthropic_messages::Block;

const FUNCTIONS: Functions = Functions::WithMembers(&["toolSpec", "cachePoint"]);

/// Reads a `converse` or `converse-stream` request:
/// `{"messages": [{"role", "content": [{"text"} | …]}], "system", "inferenceConfig", "toolConfig", …}`.
pub(super) fn read_converse<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    let mut messages = false;
    // Some models reason unasked, and sign it.
    request.may_bind = true;
    json.members(|name, json| match name {
        "messages" => {
            once(&mut messages)?;
            json.elements(|json| {
                let turn = message(json)?;
                request.push(turn);
                Ok(())
            })
        }
        "system" => {
            let mut turn = Turn::default();
            turn.read_content(json, block)?;
            request.push_system(turn);
            Ok(())
        }
        "inferenceConfig" => read_inference_config(json, request),
        "toolConfig" => read_tool_config(json, request),
        "additionalModelRequestFields" => json.if_members(|name, json| read_setting(name, json, request)),
        "outputConfig" => json.if_members(|name, json| match name {
            "textFormat" => request.read_format(json),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })?;
    if messages { Ok(()) } else { Err(Unparsable) }
}

/// Reads an `invoke` request, as far as it is in one of the common shapes: Anthropic's messages, Nova's (which is much like
/// `converse`), the chat completions of Mistral and OpenAI, or a prompt in one string (Llama's and Mistral's `prompt`, Titan's
/// `inputText`).
pub(super) fn read_invoke<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    let (mut model, mut prompt) = (false, false);
    json.members(|name, json| match name {
        // Models that others serve too have it here as well.
        "model" => request.read_model(json, &mut model),
        "messages" => {
            once(&mut prompt)?;
            request.may_bind = true;
            anthropic_messages::read_messages(json, request, invoke_block)
        }
        "prompt" | "inputText" => {
            once(&mut prompt)?;
            let mut turn = Turn { speaker: Speaker::User, ..Turn::default() };
            turn.texts.push(json.string()?.ok_or(Unparsable)?);
            request.push(turn);
            Ok(())
        }
        _ => read_setting(name, json, request),
    })?;
    if prompt { Ok(()) } else { Err(Unparsable) }
}

/// Reads a setting in a model's own shape.
fn read_setting<'a>(name: &str, json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    match name {
        "max_gen_len" | "max_tokens_to_sample" | "max_completion_tokens" => request.read_limit(json),
        "response_format" => request.read_format(json),
        "inferenceConfig" | "textGenerationConfig" => read_inference_config(json, request),
        "toolConfig" => read_tool_config(json, request),
        "chat_template_kwargs" => settings::template_variables(json, &mut request.needs),
        _ if settings::thinking_member(name, json, &mut request.needs)? => Ok(()),
        _ => anthropic_messages::read_setting(name, json, request),
    }
}

fn read_inference_config<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    json.if_members(|name, json| match name {
        "maxTokens" | "max_new_tokens" | "maxTokenCount" => request.read_limit(json),
        _ => settings::thinking_member(name, json, &mut request.needs).map(drop),
    })
}

fn read_tool_config<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    json.if_members(|name, json| if name == "tools" { request.read_tools(json, FUNCTIONS) } else { Ok(()) })
}

fn message<'a>(json: &mut Cursor<'a>) -> Result<Turn<'a>, Unparsable> {
    let mut turn = Turn::default();
    json.members(|name, json| match name {
        "role" => {
            turn.speaker = match json.word()?.as_ref() {
                "user" => Speaker::User,
                "system" => Speaker::System,
                _ => Speaker::Model,
            };
            Ok(())
        }
        "content" => turn.read_content(json, block),
        _ => Ok(()),
    })?;
    Ok(turn)
}

/// A block of an `invoke` message: Anthropic's, which has a `type`, or Nova's, which is one of `converse`.
fn invoke_block<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    let (mut typed, mut is_novas) = (Block::default(), false);
    json.members(|name, json| match name {
        "toolUse" | "toolResult" | "reasoningContent" | "image" | "video" | "audio" | "document" | "cachePoint" => {
            is_novas = true;
            read_block(turn, name, json)
        }
        _ => typed.read(turn, name, json),
    })?;
    if !(is_novas && typed.is_silent()) {
        typed.note(turn);
    }
    Ok(())
}

/// A block is an object with one member, whose name says what it is.
fn block<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    json.members(|name, json| read_block(turn, name, json))
}

fn read_block<'a>(turn: &mut Turn<'a>, name: &str, json: &mut Cursor<'a>) -> Walk {
    match name {
        "toolResult" => {
            json.if_members(|name, json| match name {
                "content" => turn.read_result(json, leaf),
                _ => Ok(()),
            })?;
            turn.end_result();
            Ok(())
        }
        "guardContent" => leaf_text(turn, json),
        "toolUse" => {
            turn.needs.tools = true;
            turn.read_other(json)
        }
        "toolAddition" => {
            turn.needs.tools = true;
            turn.read_other(json)
        }
        "toolRemoval" => Ok(()),
        "reasoningContent" => {
            turn.reasoning = true;
            Ok(())
        }
        _ => read_leaf(turn, name, json),
    }
}

/// A block in a tool's result.
fn leaf<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    json.members(|name, json| read_leaf(turn, name, json))
}

fn read_leaf<'a>(turn: &mut Turn<'a>, name: &str, json: &mut Cursor<'a>) -> Walk {
    match name {
        "text" => return json.string().map(|text| turn.texts.extend(text)),
        "json" | "searchResult" | "citationsContent" => return turn.read_other(json),
        "image" | "video" => turn.medium(Medium::Image),
        "audio" => turn.medium(Medium::Audio),
        "document" => {
            turn.medium(Medium::File);
            return document(turn, json);
        }
        "cachePoint" => {}
        _ => turn.medium(Medium::of_type(name)),
    }
    Ok(())
}

/// A document may be text, all of it or in pieces, and not bytes: such text counts, and is not the speaker's.
fn document<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    json.if_members(|name, json| match name {
        "source" => json.if_members(|name, json| match name {
            "text" | "content" => turn.read_other(json),
            _ => Ok(()),
        }),
        _ => Ok(()),
    })
}

/// Text that a guardrail is to look at: `{"text": {"text", "qualifiers"}}`, or an image.
fn leaf_text<'a>(turn: &mut Turn<'a>, json: &mut Cursor<'a>) -> Walk {
    json.if_members(|name, json| match name {
        "text" => json.if_members(|name, json| match name {
            "text" => json.string().map(|text| turn.texts.extend(text)),
            _ => Ok(()),
        }),
        _ => read_leaf(turn, name, json),
    })
}
