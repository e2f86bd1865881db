//! Settings that several APIs have in forms much alike: lists of tools, formats of the answer, and how much to think.

use super::json::{Cursor, Walk};
use super::request::Needs;
use super::{JsonString, Unparsable};

/// How an API tells the client's own functions from other tools.
#[derive(Debug, Clone, Copy)]
pub(super) enum Functions {
    /// A tool without a `type`, or with one of these.
    OfType(&'static [&'static str]),
    /// A tool whose members all have these names.
    WithMembers(&'static [&'static str]),
}

/// Reads a list of tools and notes what they need; `None` where it is empty, or no list.
pub(super) fn tools<'a>(
    json: &mut Cursor<'a>,
    needs: &mut Needs,
    functions: Functions,
) -> Result<Option<&'a [u8]>, Unparsable> {
    let kind = json.peek();
    let (start, mut any) = (json.at(), false);
    let mut tool = |json: &mut Cursor<'a>| {
        any = true;
        needs.hosted_tools |= !is_function(json, functions)?;
        Ok(())
    };
    match kind {
        Some(b'[') => json.elements(tool)?,
        // Gemini takes a list of one without its brackets.
        Some(b'{') => tool(json)?,
        _ => {}
    }
    needs.tools |= any;
    Ok(json.since(start).filter(|_| any))
}

fn is_function(json: &mut Cursor<'_>, functions: Functions) -> Result<bool, Unparsable> {
    let mut is_function = true;
    json.if_members(|name, json| {
        match functions {
            Functions::OfType(kinds) if name == "type" => {
                let kind = json.string()?.and_then(JsonString::decode);
                is_function = kind.is_none_or(|kind| kinds.contains(&kind.as_ref()));
            }
            Functions::OfType(_) => {}
            Functions::WithMembers(names) => is_function &= names.contains(&name),
        }
        Ok(())
    })?;
    Ok(is_function)
}

/// Passes over a list and tells whether it has an element; anything else has none.
pub(super) fn any_element(json: &mut Cursor<'_>) -> Result<bool, Unparsable> {
    let mut any = false;
    if json.peek() == Some(b'[') {
        json.elements(|_| {
            any = true;
            Ok(())
        })?;
    }
    Ok(any)
}

/// Reads a list of the media that the answer is to have, or the only one of them.
pub(super) fn modalities(json: &mut Cursor<'_>, needs: &mut Needs) -> Walk {
    let mut modality = |json: &mut Cursor<'_>| {
        match json.string()?.and_then(JsonString::decode).map(|name| name.to_ascii_lowercase()).as_deref() {
            Some("audio") => needs.audio = true,
            Some("image" | "video") => needs.unknown = true,
            _ => {}
        }
        Ok(())
    };
    if json.peek() == Some(b'[') { json.elements(modality) } else { modality(json) }
}

/// Reads a format of the answer; `None` where it is none with a schema.
pub(super) fn schema_format<'a>(json: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, Unparsable> {
    json.peek();
    let (mut is_schema, start) = (false, json.at());
    json.if_members(|name, json| {
        if name == "type" {
            is_schema = json.string()?.is_some_and(|kind| kind.is("json_schema"));
        }
        Ok(())
    })?;
    Ok(json.since(start).filter(|_| is_schema))
}

/// Reads a member by which servers are told to think, or how much; tells whether it is one.
pub(super) fn thinking_member(name: &str, json: &mut Cursor<'_>, needs: &mut Needs) -> Result<bool, Unparsable> {
    match name {
        "reasoning" | "reasoning_effort" | "reasoning_config" | "reasoningConfig" | "thinking" | "enable_thinking"
        | "thinking_budget" => thinking(json, needs)?,
        // Mistral's.
        "prompt_mode" => needs.thinking |= json.string()?.is_some_and(|mode| mode.is("reasoning")),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Reads the variables of an open model's chat template, such as `{"enable_thinking": true}`.
pub(super) fn template_variables(json: &mut Cursor<'_>, needs: &mut Needs) -> Walk {
    json.if_members(|name, json| thinking_member(name, json, needs).map(drop))
}

/// Reads a setting that says whether, or how much, the model is to think before it answers: an effort (`"high"`), a switch
/// (`true`), a budget (`1024`), or an object of such. One that switches thinking off (`"none"`, `"disabled"`, `false`, `0`) asks
/// for none.
pub(super) fn thinking(json: &mut Cursor<'_>, needs: &mut Needs) -> Walk {
    let (mut on, mut off) = (false, false);
    if json.peek() == Some(b'{') {
        json.members(|name, json| {
            let is_on = switches_on(json.value()?);
            // OpenRouter's `exclude` keeps the thoughts of a model that thinks anyway from the client.
            on |= is_on && name != "exclude";
            off |= !is_on && SWITCHES.contains(&name);
            Ok(())
        })?;
    } else {
        on = switches_on(json.value()?);
    }
    needs.thinking |= on && !off;
    Ok(())
}

/// The members that switch thinking off. Others, such as `includeThoughts`, only say what is shown of it.
const SWITCHES: &[&str] = &[
    "type",
    "enabled",
    "effort",
    "budget_tokens",
    "max_tokens",
    "thinkingBudget",
    "thinking_budget",
    "thinkingLevel",
    "thinking_level",
];

fn switches_on(json: &[u8]) -> bool {
    match json {
        b"false" | b"0" | b"{}" | b"[]" => false,
        _ => {
            let word = JsonString::new(json).and_then(JsonString::decode);
            !matches!(word.as_deref(), Some("none" | "disabled" | "off" | ""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_asked_for_in_many_ways() {
        let table = [
            (r#""high""#, true),
            (r#""minimal""#, true),
            (r#""none""#, false),
            ("true", true),
            ("false", false),
            ("1024", true),
            ("-1", true),
            ("0", false),
            ("{}", false),
            (r#"{"type":"enabled","budget_tokens":2048}"#, true),
            (r#"{"type":"adaptive"}"#, true),
            (r#"{"type":"disabled"}"#, false),
            (r#"{"effort":"low","summary":"auto"}"#, true),
            (r#"{"effort":"none","summary":"auto"}"#, false),
            (r#"{"effort":null,"summary":null}"#, false),
            (r#"{"enabled":false,"exclude":true}"#, false),
            (r#"{"thinkingBudget":0,"includeThoughts":true}"#, false),
            (r#"{"thinkingBudget":512,"includeThoughts":false}"#, true),
            (r#"{"thinkingLevel":"low"}"#, true),
            (r#"{"thinking_level":"low"}"#, true),
            (r#"{"thinking_level":"none","include_thoughts":true}"#, false),
            (r#"{"includeThoughts":false}"#, false),
            (r#"{"includeThoughts":true}"#, true),
            (r#"{"exclude":true}"#, false),
            (r#"{"exclude":true,"effort":"low"}"#, true),
            (r#"{"type":"disabled","maxReasoningEffort":"low"}"#, false),
        ];
        for (json, want) in table {
            let mut needs = Needs::default();
            thinking(&mut Cursor::new(json.as_bytes()), &mut needs).unwrap();
            assert_eq!(needs.thinking, want, "{json}");
        }
    }
}
