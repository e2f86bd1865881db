//! OpenAI completions, the older API: `{"model", "prompt": "…" | ["…"] | [tokens], …}`.

use super::Unparsable;
use super::json::{Cursor, Walk, once};
use super::request::{Request, Speaker, Turn};

/// Reads a completion request. The prompt is the user's one turn; several prompts in one request are scored together,
/// and prompts that are token numbers are no text.
pub(super) fn read<'a>(json: &mut Cursor<'a>, request: &mut Request<'a>) -> Walk {
    let (mut model, mut prompt) = (false, false);
    json.members(|name, json| match name {
        "model" => request.read_model(json, &mut model),
        "prompt" => {
            once(&mut prompt)?;
            let mut turn = Turn { speaker: Speaker::User, ..Turn::default() };
            let start = json.at();
            turn.read_content(json, |_, _| Err(Unparsable))?;
            if turn.texts.is_empty() {
                // Token numbers, which are some four bytes each, as words are.
                if json.at() == start {
                    json.value()?;
                }
                turn.other_texts.extend(json.since(start));
            }
            request.push(turn);
            Ok(())
        }
        "suffix" => {
            request.texts.push(json.value()?);
            Ok(())
        }
        "max_tokens" => request.read_limit(json),
        "user" => json.id().map(|user| request.ids.user = user),
        _ => Ok(()),
    })?;
    if prompt { Ok(()) } else { Err(Unparsable) }
}
