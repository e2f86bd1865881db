//! Stand-ins for two models: servers that answer the questions they know, right or wrong by chance, and judge answers to them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use fastrand::Rng;
use hybrid_llm_tests::upstream::{StandIn, reply};
use serde_json::{Value, json};

use crate::questions::{Difficulty, Question};

/// How often a stand-in is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Skill {
    simple: f64,
    middling: f64,
    hard: f64,
}

/// Right about simple questions, and rarely about hard ones.
pub(crate) const SMALL: Skill = Skill { simple: 0.97, middling: 0.6, hard: 0.1 };
/// Nearly always right.
pub(crate) const LARGE: Skill = Skill { simple: 0.98, middling: 0.97, hard: 0.93 };

/// Starts a stand-in. Asked the same again, it may answer otherwise, as a model that samples does; the whole of its answers
/// depends on the seed alone.
pub(crate) async fn start(questions: &[Question], skill: Skill, seed: u64) -> StandIn {
    let known: HashMap<_, _> = questions.iter().map(|question| (question.text.clone(), question.clone())).collect();
    let known = Arc::new(known);
    let times = Arc::new(Mutex::new(HashMap::<String, u64>::new()));
    StandIn::start(move |request, _| {
        let (known, times) = (Arc::clone(&known), Arc::clone(&times));
        async move {
            let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let text = asked.pointer("/messages/0/content").and_then(Value::as_str).unwrap_or_default();
            let asked_about = between(text, "query");
            let Some(question) = known.get(asked_about.unwrap_or(text)) else {
                return reply(
                    400,
                    r#"{"error": {"code": "unknown_question", "message": "a stand-in knows its own questions only"}}"#,
                );
            };
            let time = {
                let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
                let time = times.entry(text.to_owned()).or_default();
                *time += 1;
                *time
            };
            let mut rng = Rng::with_seed(mix(seed, text) ^ time);
            let said = match (asked_about, between(text, "response")) {
                (None, _) => answer(question, skill, &mut rng),
                (Some(_), Some(response)) => grade(question, response),
                (Some(_), None) => expectation(question, &mut rng),
            };
            let tokens = |text: &str| text.len().div_ceil(4);
            let body = json!({
                "object": "chat.completion", "model": asked.get("model"),
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}],
                "usage": {"prompt_tokens": tokens(text) + 8, "completion_tokens": tokens(&said)},
            });
            reply(200, body.to_string())
        }
    })
    .await
}

fn answer(question: &Question, skill: Skill, rng: &mut Rng) -> String {
    let right = match question.difficulty {
        Difficulty::Simple => skill.simple,
        Difficulty::Middling => skill.middling,
        Difficulty::Hard => skill.hard,
    };
    let given = if rng.f64() < right { question.answer.clone() } else { wrong(&question.answer, rng) };
    match rng.u8(0..3) {
        0 => given,
        1 => format!("The answer is {given}."),
        _ => format!("It is {given}, I think."),
    }
}

/// What stands between two tags of a judge's prompt.
fn between<'t>(text: &'t str, tag: &str) -> Option<&'t str> {
    let (_, behind) = text.split_once(&format!("<{tag}>\n"))?;
    Some(behind.split_once(&format!("\n</{tag}>"))?.0)
}

/// A judge's rating of a response: high where the answer stands in it.
fn grade(question: &Question, response: &str) -> String {
    let right = response.split(|c: char| !c.is_alphanumeric()).any(|word| word == question.answer);
    if right { "9".to_owned() } else { "2".to_owned() }
}

/// What a judge expects of the two models, about as their skills are, and never quite the same.
fn expectation(question: &Question, rng: &mut Rng) -> String {
    let small = match question.difficulty {
        Difficulty::Simple => 8.5,
        Difficulty::Middling => 6.5,
        Difficulty::Hard => 4.0,
    };
    let small = small + f64::from(rng.i8(-3..=3)) / 2.0;
    format!("{{\"small\": {:.1}, \"large\": {:.1}}}", small.min(9.0), 9.5)
}

fn wrong(answer: &str, rng: &mut Rng) -> String {
    match answer.parse::<u64>() {
        Ok(number) => (number + rng.u64(1..20)).to_string(),
        Err(_) => "not known to me".to_owned(),
    }
}

/// A seed for a text (FNV-1a).
fn mix(seed: u64, text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    #[test]
    fn a_judge_reads_the_answer_and_the_difficulty() {
        let question = |difficulty| Question { text: "q".to_owned(), answer: "42".to_owned(), difficulty };
        let ratings = ["It is 42, I think.", "The answer is 420."].map(|said| grade(&question(Difficulty::Hard), said));
        assert_eq!(ratings, ["9", "2"]);
        let small = |difficulty| {
            let said = expectation(&question(difficulty), &mut Rng::with_seed(1));
            serde_json::from_str::<Value>(&said).unwrap_or_default()["small"].as_f64().unwrap_or_default()
        };
        assert!(small(Difficulty::Simple) > small(Difficulty::Hard));
        assert_eq!(between("<query>\nq\n</query>", "query"), Some("q"));
        assert_eq!(between("q", "query"), None);
    }

    #[test]
    fn the_skill_is_how_often_the_answer_is_right() {
        let question = Question { text: "q".to_owned(), answer: "42".to_owned(), difficulty: Difficulty::Hard };
        let right = |skill: Skill| {
            let right = |n| answer(&question, skill, &mut Rng::with_seed(n)).contains("42");
            (0..1000).filter(|n| right(*n)).count()
        };
        assert!((70..130).contains(&right(SMALL)) && (900..960).contains(&right(LARGE)));
    }
}
