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
    if json.peek() != Some(b'[') {
        return Ok(None);
    }
    let (start, mut any) = (json.at(), false);
    json.elements(|json| {
        any = true;
        needs.hosted_tools |= !is_function(json, functions)?;
        Ok(())
    })?;
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

/// Reads a setting that says whether, or how much, the model is to think before it answers: an effort (`"high"`), a switch
/// (`true`), a budget (`1024`), or an object of such. One that switches thinking off (`"none"`, `"disabled"`, `false`, `0`) asks
/// for none.
pub(super) fn thinking(json: &mut Cursor<'_>, needs: &mut Needs) -> Walk {
    let (mut on, mut off) = (false, false);
    if json.peek() == Some(b'{') {
        json.members(|name, json| {
            let setting = Setting::of(json.value()?);
            on |= setting == Setting::On;
            off |= setting == Setting::Off && SWITCHES.contains(&name);
            Ok(())
        })?;
    } else {
        on = Setting::of(json.value()?) == Setting::On;
    }
    needs.thinking |= on && !off;
    Ok(())
}

/// The members that switch thinking off. Others, such as `includeThoughts`, only say what is shown of it.
const SWITCHES: &[&str] =
    &["type", "enabled", "effort", "budget_tokens", "max_tokens", "thinkingBudget", "thinking_budget", "thinkingLevel"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    On,
    Off,
    Unset,
}

impl Setting {
    fn of(json: &[u8]) -> Self {
        match json {
            b"null" => Self::Unset,
            b"false" | b"0" | b"{}" | b"[]" => Self::Off,
            _ => match JsonString::new(json).and_then(JsonString::decode).as_deref() {
                Some("none" | "disabled" | "off" | "") => Self::Off,
                _ => Self::On,
            },
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
            ("null", false),
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
            (r#"{"includeThoughts":false}"#, false),
        ];
        for (json, want) in table {
            let mut needs = Needs::default();
            thinking(&mut Cursor::new(json.as_bytes()), &mut needs).unwrap();
            assert_eq!(needs.thinking, want, "{json}");
        }
    }
}
