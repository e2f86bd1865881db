//! Keys, sets of conversations, and what is remembered of each.

use super::set::ENTRY;
use super::*;
use crate::config::{Affinity, Memory};
use crate::request::api::Api;
use crate::request::query::QueryPolicy;
use crate::terms::Tier;
use proptest::prelude::*;

const HOUR: u32 = 3600;

/// The record of a turn that says nothing of the next.
fn stray(tier: Tier) -> Record {
    record(tier, None)
}

fn record(last_tier: Tier, assigned: Option<Tier>) -> Record {
    Record { last_tier, assigned }
}

fn keys(header: Option<&str>, body: &str) -> Keys {
    let request = Api::OpenAiResponses.read("/v1/responses", body.as_bytes()).unwrap();
    Keys::of("chat", &QueryPolicy::default(), header.map(str::as_bytes), &request, None, false)
}

/// The key of the turn itself.
fn turn(header: Option<&str>, body: &str) -> Option<Key> {
    keys(header, body).remembered().next()
}

/// A conversation of these user turns.
fn said(turns: &[&str]) -> String {
    let turns: Vec<_> = turns.iter().map(|text| serde_json::json!({"role": "user", "content": text})).collect();
    serde_json::json!({"instructions": "s", "input": turns}).to_string()
}

#[test]
fn a_turn_is_known_by_what_the_user_said_first_and_last() {
    let body = said(&["hi", "more"]);
    let same = r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},{"role":"assistant","content":"ho"},
        {"role":"user","content":"more"}],"instructions":"another prompt","temperature":1}"#;
    assert_eq!(turn(None, &body), turn(None, same));
    let with = |ids: &str| body.replacen('{', &format!("{{{ids},"), 1);
    let others = [
        said(&["hi"]),
        said(&["ho", "more"]),
        said(&["hi", "less"]),
        said(&["him", "ore"]),
        with(r#""user":"u1""#),
        with(r#""prompt_cache_key":"u1""#),
        with(r#""previous_response_id":"k""#),
    ];
    let mut all: Vec<_> = others.iter().map(|body| turn(None, body).unwrap().0).collect();
    all.extend([turn(None, &body).unwrap().0, turn(Some("k"), &body).unwrap().0]);
    all.push(Key::of_stored("other pair", "k").0);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 10);
}

#[test]
fn a_turn_continues_the_one_before() {
    let before = |body: &str| keys(None, body).continued().collect::<Vec<_>>();
    let key = |turns: &[&str]| turn(None, &said(turns)).unwrap();
    // Last comes its own: an image that is sent after it has no words of its own.
    assert_eq!(before(&said(&["a"])), [key(&["a"])]);
    assert_eq!(before(&said(&["a", "b"])), [key(&["a"]), key(&["a", "b"])]);
    assert_eq!(before(&said(&["a", "b", "c"])), [key(&["a", "b"]), key(&["a", "b", "c"])]);
    // In a loop the user has said nothing more.
    let body = said(&["a", "b"]);
    let request = Api::OpenAiResponses.read("", body.as_bytes()).unwrap();
    let in_loop = Keys::of("chat", &QueryPolicy::default(), None, &request, None, true);
    assert_eq!(in_loop.continued().collect::<Vec<_>>(), [key(&["a", "b"]), key(&["a"])]);
    assert_eq!(in_loop.remembered().next(), turn(None, &body));
}

/// Only their ends are looked at.
#[test]
fn long_texts_are_told_apart() {
    let long = "all work and no play makes a dull boy ".repeat(200);
    let key = |text: &str| turn(None, &said(&[text])).unwrap();
    assert_eq!(key(&long), key(&long));
    for other in
        [format!("{long}."), format!(".{long}"), long.replacen("all", "ALL", 1), format!("{}BOY", &long[..7597])]
    {
        assert_ne!(key(&long), key(&other));
    }
}

/// As agents do: a system prompt that is never quite the same, and reminders that come and go.
#[test]
fn what_harnesses_change_does_not_change_the_key() {
    let body = |system: &str, reminder: &str| {
        format!(
            r#"{{"instructions":"{system}","input":[{{"role":"user","content":"<system-reminder>{reminder}</system-reminder>hi"}}]}}"#
        )
    };
    assert_eq!(turn(None, &body("s 1", "a")), turn(None, &body("s 2", "b")));
    let plain = turn(None, &said(&["What is the\n\ncapital of Peru?"]));
    let reminder = "<system-reminder>x</system-reminder>";
    for same in [
        format!("What is the\n\ncapital of Peru?\n\n{reminder}"),
        format!("{reminder}\nWhat is the\n\ncapital of Peru?"),
        "What is the\r\n\r\ncapital of Peru?\r\n".to_owned(),
    ] {
        assert_eq!(turn(None, &said(&[&same])), plain, "{same}");
    }
}

#[test]
fn ids_go_before_contents() {
    let with = |ids: &str, text: &str| format!(r#"{{"input":"{text}"{ids}}}"#);
    for ids in [r#","previous_response_id":"r""#, r#","conversation":{"id":"c"}"#] {
        assert_eq!(keys(None, &with(ids, "a")), keys(None, &with(ids, "b")), "{ids}");
        // The response is known to one upstream only, whatever the session.
        assert_eq!(keys(Some("h"), &with(ids, "a")), keys(None, &with(ids, "a")), "{ids}");
        assert!(keys(None, &with(ids, "a")).is_stored());
    }
    let of_affinity = |header, body: &str| keys(header, body).of_affinity();
    let cached = with(r#","prompt_cache_key":"k""#, "b");
    assert_eq!(of_affinity(Some("h"), &with("", "a")), of_affinity(Some("h"), &cached));
    assert_ne!(of_affinity(Some("h"), &cached), of_affinity(Some("i"), &cached));
    assert_eq!(keys(None, r#"{"input":[{"type":"function_call_output","output":"x"}]}"#), Keys::default());
    assert_eq!(turn(None, &with(r#","previous_response_id":"r""#, "a")), Some(Key::of_stored("chat", "r")));
    let thread = r#"{"messages":[],"thread":{"type":"continue","previous_message_id":"msg_1"}}"#;
    let request = Api::AnthropicMessages.read("/v1/messages", thread.as_bytes()).unwrap();
    let keys = Keys::of("chat", &QueryPolicy::default(), None, &request, None, false);
    assert_eq!(keys.remembered().next(), Some(Key::of_stored("chat", "msg_1")));
}

#[test]
fn a_cache_key_is_shared_by_conversations() {
    let with = |input: &str| format!(r#"{{"input":{input},"prompt_cache_key":"the application's"}}"#);
    assert_ne!(turn(None, &with(r#""a""#)), turn(None, &with(r#""b""#)));
    let result = with(r#"[{"type":"function_call_output","output":"x"}]"#);
    assert!(turn(None, &result).is_some(), "better than nothing");
    assert_ne!(turn(None, &result), turn(None, &with(r#""x""#)));
}

#[test]
fn what_is_blank_is_shared_by_strangers() {
    let body = |text: &str, ids: &str| format!(r#"{{"instructions":"s","input":"{text}"{ids}}}"#);
    let plain = turn(None, &body("hi", ""));
    assert_eq!(turn(Some(""), &body("hi", "")), plain);
    assert_eq!(turn(Some("  "), &body("hi", "")), plain);
    for ids in [r#","user":"""#, r#","prompt_cache_key":" ""#, r#","previous_response_id":"""#, r#","conversation":"""#]
    {
        assert_eq!(turn(None, &body("hi", ids)), plain, "{ids}");
    }
    // The first thing that the user says, not the first turn: that may hold an image, or a harness's words alone.
    let image = r#"{"role":"user","content":[{"type":"input_image","image_url":"u"}]}"#;
    let note = r#"{"role":"user","content":"<system-reminder>now</system-reminder>"}"#;
    for first in [image, note] {
        let asks =
            |text: &str| format!(r#"{{"instructions":"s","input":[{first},{{"role":"user","content":"{text}"}}]}}"#);
        assert_eq!(turn(None, &asks("hi")), plain, "{first}");
        assert_ne!(turn(None, &asks("ho")), plain, "{first}");
    }
    assert_eq!(keys(None, &format!(r#"{{"input":[{image}]}}"#)), Keys::default());
}

#[test]
fn only_up_never_forgets_large() {
    use Tier::{Large, Small};
    for (affinity, after) in [(Affinity::OnlyUp, Large), (Affinity::Sticky, Small), (Affinity::Off, Small)] {
        let first = Record::after(None, Large, true, affinity);
        assert_eq!(first, record(Large, Some(Large)));
        assert_eq!(Record::after(Some(first), Small, true, affinity), record(Small, Some(after)), "{affinity:?}");
    }
}

#[test]
fn a_turn_that_assigns_none_moves_the_loop_and_not_the_conversation() {
    use Tier::{Large, Small};
    for affinity in [Affinity::Off, Affinity::Sticky, Affinity::OnlyUp] {
        for (assigned, astray) in [(Small, Large), (Large, Small)] {
            let first = Record::after(None, astray, false, affinity);
            assert_eq!((first, assigned_tier(affinity, Some(first))), (record(astray, None), None));
            let second = Record::after(Some(first), assigned, true, affinity);
            let third = Record::after(Some(second), astray, false, affinity);
            assert_eq!(third, record(astray, Some(assigned)), "{affinity:?}");
        }
    }
}

#[test]
fn modes() {
    use Tier::{Large, Small};
    let table = [
        (Affinity::Off, None, None),
        (Affinity::Off, Some(Small), None),
        (Affinity::Off, Some(Large), None),
        (Affinity::Sticky, None, None),
        (Affinity::Sticky, Some(Small), Some(Small)),
        (Affinity::Sticky, Some(Large), Some(Large)),
        (Affinity::OnlyUp, None, None),
        (Affinity::OnlyUp, Some(Small), None),
        (Affinity::OnlyUp, Some(Large), Some(Large)),
    ];
    for (affinity, assigned, want) in table {
        for last_tier in [Small, Large] {
            assert_eq!(assigned_tier(affinity, Some(record(last_tier, assigned))), want, "{affinity:?} {assigned:?}");
        }
        assert_eq!(assigned_tier(affinity, None), None);
    }
}

#[test]
fn a_set_remembers_until_the_time_is_over() {
    let mut set = Set::default();
    assert!(set.remember(Key(7), stray(Tier::Small), false, 1000, HOUR));
    assert_eq!(set.recall(Key(7), 1000 + HOUR, HOUR), Some(record(Tier::Small, None)));
    assert_eq!(set.recall(Key(7), 1001 + HOUR, HOUR), None);
    assert_eq!(set.recall(Key(8), 1000, HOUR), None);
    assert!(set.remember(Key(7), stray(Tier::Small), false, 1000, HOUR), "it continues");
    assert!(!set.remember(Key(7), stray(Tier::Small), false, 1000 + HOUR / 8, HOUR), "nothing new");
    assert!(set.remember(Key(7), stray(Tier::Small), false, 1000 + HOUR / 2, HOUR), "the time is brought up to date");
    assert!(set.remember(Key(7), stray(Tier::Large), false, 1001 + HOUR / 2, HOUR), "a change is stored at once");
    assert!(
        set.remember(Key(7), record(Tier::Large, Some(Tier::Large)), false, 1002 + HOUR / 2, HOUR),
        "so is the tier that it assigns"
    );
    assert_eq!(set.recall(Key(7), 1001 + HOUR, HOUR), Some(record(Tier::Large, Some(Tier::Large))));
}

#[test]
fn a_full_set_forgets_the_one_seen_longest_ago() {
    let mut set = Set::default();
    for i in 0..100 {
        set.remember(Key(i), stray(Tier::Small), false, i as u32, HOUR);
    }
    assert_eq!(set.encode().len(), WAYS * ENTRY);
    assert_eq!(set.recall(Key(91), 100, HOUR), None);
    for i in 92..100 {
        assert_eq!(set.recall(Key(i), 100, HOUR), Some(record(Tier::Small, None)), "{i}");
    }
}

#[test]
fn single_questions_do_not_push_out_what_continues() {
    let mut set = Set::default();
    for now in [0, 1] {
        set.remember(Key(7), stray(Tier::Small), false, now, HOUR);
    }
    for i in 100..200 {
        set.remember(Key(i), stray(Tier::Small), false, i as u32, HOUR);
    }
    assert_eq!(set.recall(Key(7), 200, HOUR), Some(record(Tier::Small, None)));
    assert_eq!(set.recall(Key(199), 200, HOUR), Some(record(Tier::Small, None)));
    // What has expired makes room like any other.
    for i in 200..220 {
        set.remember(Key(i), stray(Tier::Small), false, 2 + HOUR + i as u32, HOUR);
    }
    assert!(set.recall(Key(7), 0, u32::MAX).is_none());
    // Where all continue, there is still room for the newest.
    let mut set = Set::default();
    for i in 0..20 {
        set.remember(Key(i), stray(Tier::Small), false, i as u32, HOUR);
        assert!(set.recall(Key(i), 20, HOUR).is_some());
        set.remember(Key(i), stray(Tier::Small), false, i as u32, HOUR);
    }
    assert_eq!(set.encode().len(), WAYS * ENTRY);
}

/// A stored response is asked for again under its id, which no other conversation has.
#[test]
fn single_questions_do_not_push_out_a_stored_response() {
    let mut set = Set::default();
    set.remember(Key(7), stray(Tier::Small), true, 0, HOUR);
    for i in 100..200 {
        set.remember(Key(i), stray(Tier::Large), false, i as u32, HOUR);
    }
    assert_eq!(set.recall(Key(7), 200, HOUR), Some(record(Tier::Small, None)));
}

proptest! {
    #[test]
    fn a_set_comes_back_as_it_was_stored(keys in prop::collection::vec((0..12_u64, any::<u32>(), any::<bool>(), any::<bool>(), any::<bool>()), 0..20)) {
        let mut set = Set::default();
        for (key, now, large, assigns, continues) in keys {
            let tier = if large { Tier::Large } else { Tier::Small };
            let record = Record::after(None, tier, assigns, Affinity::Sticky);
            set.remember(Key(key << 40 | key), record, continues, now, HOUR);
        }
        prop_assert_eq!(Set::decode(&set.encode()), set);
    }

    #[test]
    fn any_bytes_cause_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..256), key in any::<u64>(), conversations in any::<u32>()) {
        let mut set = Set::decode(&bytes);
        set.remember(Key(key), stray(Tier::Small), false, 0, HOUR);
        prop_assert!(set.encode().len() <= WAYS * ENTRY);
        let sets = conversations.div_ceil(WAYS as u32).max(1);
        let memory = Memory { conversations, ttl: HOUR };
        prop_assert!(Key(key).set(memory) < sets);
    }
}
