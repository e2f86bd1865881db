//! Keys, sets of conversations, and what is remembered of each.

use super::*;
use crate::request::api::Api;
use proptest::prelude::*;

const HOUR: u32 = 3600;

fn outcome(affinity: Affinity, tier: Tier) -> Outcome {
    Outcome { tier, assigns: true, affinity, continues: false }
}

/// A turn that says nothing of the next.
fn stray(tier: Tier) -> Outcome {
    Outcome { tier, assigns: false, affinity: Affinity::Off, continues: false }
}

fn record(last_tier: Tier, assigned: Option<Tier>) -> Record {
    Record { last_tier, assigned }
}

fn key(header: Option<&str>, body: &str) -> Option<Key> {
    let request = Api::OpenAiResponses.read("/v1/responses", body.as_bytes()).unwrap();
    Key::of("chat", &QueryPolicy::default(), header.map(str::as_bytes), &request)
}

#[test]
fn the_same_conversation_has_the_same_key() {
    let first = r#"{"instructions":"s","input":[{"role":"user","content":"hi"}]}"#;
    let later = r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"hi"}]},{"role":"assistant","content":"ho"},
        {"role":"user","content":"more"}],"instructions":"s","temperature":1}"#;
    assert_eq!(key(None, first), key(None, later));
    let others = [
        r#"{"instructions":"t","input":"hi"}"#,
        r#"{"instructions":"s","input":"ho"}"#,
        r#"{"instructions":"s","input":"hi","user":"u1"}"#,
        r#"{"instructions":"s","input":"hi","prompt_cache_key":"k"}"#,
        r#"{"instructions":"s","input":"hi","previous_response_id":"k"}"#,
        r#"{"instructions":"sh","input":"i"}"#,
    ];
    let mut keys: Vec<_> = others.iter().map(|body| key(None, body).unwrap().0).collect();
    keys.extend([key(None, first).unwrap().0, key(Some("k"), first).unwrap().0]);
    keys.push(Key::of_stored("other pair", "k").0);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 9);
}

/// Only their ends are looked at.
#[test]
fn long_texts_are_told_apart() {
    let long = "all work and no play makes a dull boy ".repeat(200);
    let said = |text: &str| key(None, &format!(r#"{{"instructions":"s","input":"{text}"}}"#)).unwrap();
    assert_eq!(said(&long), said(&long));
    for other in
        [format!("{long}."), format!(".{long}"), long.replacen("all", "ALL", 1), format!("{}BOY", &long[..7597])]
    {
        assert_ne!(said(&long), said(&other));
    }
    let told = |system: &str| key(None, &format!(r#"{{"instructions":"{system}","input":"hi"}}"#)).unwrap();
    assert_ne!(told(&long), told(&format!("{}BOY", &long[..7597])));
}

/// As agents do: a system prompt that is never quite the same, and reminders that come and go.
#[test]
fn what_harnesses_change_does_not_change_the_key() {
    let body = |system: &str, reminder: &str| {
        format!(
            r#"{{"user":"u1","instructions":"{system}","input":[{{"role":"user","content":"<system-reminder>{reminder}</system-reminder>hi"}}]}}"#
        )
    };
    assert_eq!(key(None, &body("s 1", "a")), key(None, &body("s 2", "b")));
    let unnamed = |system: &str, reminder: &str| key(None, &body(system, reminder).replace(r#""user":"u1","#, ""));
    assert_eq!(unnamed("s", "a"), unnamed("s", "b"));
    assert_ne!(unnamed("s", "a"), unnamed("t", "a"));
}

#[test]
fn ids_go_before_contents() {
    let with = |ids: &str, text: &str| format!(r#"{{"input":"{text}"{ids}}}"#);
    for ids in [r#","previous_response_id":"r""#, r#","conversation":{"id":"c"}"#] {
        assert_eq!(key(None, &with(ids, "a")), key(None, &with(ids, "b")), "{ids}");
        // The response is known to one upstream only, whatever the session.
        assert_eq!(key(Some("h"), &with(ids, "a")), key(None, &with(ids, "a")), "{ids}");
    }
    assert_eq!(key(Some("h"), &with("", "a")), key(Some("h"), &with(r#","prompt_cache_key":"k""#, "b")));
    assert_eq!(key(None, r#"{"input":[{"type":"function_call_output","output":"x"}]}"#), None);
    assert_eq!(key(None, &with(r#","previous_response_id":"r""#, "a")), Some(Key::of_stored("chat", "r")));
    let thread = r#"{"messages":[],"thread":{"type":"continue","previous_message_id":"msg_1"}}"#;
    let request = Api::AnthropicMessages.read("/v1/messages", thread.as_bytes()).unwrap();
    assert_eq!(Key::of("chat", &QueryPolicy::default(), None, &request), Some(Key::of_stored("chat", "msg_1")));
}

#[test]
fn a_cache_key_is_shared_by_conversations() {
    let with = |input: &str| format!(r#"{{"input":{input},"prompt_cache_key":"the application's"}}"#);
    assert_ne!(key(None, &with(r#""a""#)), key(None, &with(r#""b""#)));
    let result = with(r#"[{"type":"function_call_output","output":"x"}]"#);
    assert!(key(None, &result).is_some(), "better than nothing");
    assert_ne!(key(None, &result), key(None, &with(r#""x""#)));
}

#[test]
fn what_is_blank_is_shared_by_strangers() {
    let body = |text: &str, ids: &str| format!(r#"{{"instructions":"s","input":"{text}"{ids}}}"#);
    let plain = key(None, &body("hi", ""));
    assert_eq!(key(Some(""), &body("hi", "")), plain);
    assert_eq!(key(Some("  "), &body("hi", "")), plain);
    for ids in [r#","user":"""#, r#","prompt_cache_key":" ""#, r#","previous_response_id":"""#, r#","conversation":"""#]
    {
        assert_eq!(key(None, &body("hi", ids)), plain, "{ids}");
    }
    // The first thing that the user says, not the first turn: that may hold an image, or a harness's words alone.
    let image = r#"{"role":"user","content":[{"type":"input_image","image_url":"u"}]}"#;
    let note = r#"{"role":"user","content":"<system-reminder>now</system-reminder>"}"#;
    for first in [image, note] {
        let asks =
            |text: &str| format!(r#"{{"instructions":"s","input":[{first},{{"role":"user","content":"{text}"}}]}}"#);
        assert_eq!(key(None, &asks("hi")), plain, "{first}");
        assert_ne!(key(None, &asks("ho")), plain, "{first}");
    }
    assert_eq!(key(None, &format!(r#"{{"input":[{image}]}}"#)), None);
}

#[test]
fn only_up_never_forgets_large() {
    use Tier::{Large, Small};
    for (affinity, after) in [(Affinity::OnlyUp, Large), (Affinity::Sticky, Small), (Affinity::Off, Small)] {
        let mut set = Set::default();
        set.remember(Key(7), outcome(affinity, Large), 1000, HOUR);
        set.remember(Key(7), outcome(affinity, Small), 1001, HOUR);
        assert_eq!(set.recall(Key(7), 1002, HOUR), Some(record(Small, Some(after))), "{affinity:?}");
        // What has expired weighs nothing.
        set.remember(Key(7), outcome(affinity, Small), 1002 + HOUR, HOUR);
        assert_eq!(set.recall(Key(7), 1002 + HOUR, HOUR), Some(record(Small, Some(Small))), "{affinity:?}");
    }
}

#[test]
fn a_turn_that_binds_none_moves_the_loop_and_not_the_conversation() {
    use Tier::{Large, Small};
    for affinity in [Affinity::Off, Affinity::Sticky, Affinity::OnlyUp] {
        for (assigned, astray) in [(Small, Large), (Large, Small)] {
            let mut set = Set::default();
            set.remember(Key(7), stray(astray), 1000, HOUR);
            assert_eq!(set.recall(Key(7), 1001, HOUR), Some(record(astray, None)));
            assert_eq!(assigned_tier(affinity, set.recall(Key(7), 1001, HOUR)), None);
            set.remember(Key(7), outcome(affinity, assigned), 1002, HOUR);
            set.remember(Key(7), stray(astray), 1003, HOUR);
            assert_eq!(set.recall(Key(7), 1004, HOUR), Some(record(astray, Some(assigned))), "{affinity:?}");
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
    assert!(set.remember(Key(7), stray(Tier::Small), 1000, HOUR));
    assert_eq!(set.recall(Key(7), 1000 + HOUR, HOUR), Some(record(Tier::Small, None)));
    assert_eq!(set.recall(Key(7), 1001 + HOUR, HOUR), None);
    assert_eq!(set.recall(Key(8), 1000, HOUR), None);
    assert!(set.remember(Key(7), stray(Tier::Small), 1000, HOUR), "it goes on");
    assert!(!set.remember(Key(7), stray(Tier::Small), 1000 + HOUR / 8, HOUR), "nothing new");
    assert!(set.remember(Key(7), stray(Tier::Small), 1000 + HOUR / 2, HOUR), "the time is brought up to date");
    assert!(set.remember(Key(7), stray(Tier::Large), 1001 + HOUR / 2, HOUR), "a change is stored at once");
    assert!(
        set.remember(Key(7), outcome(Affinity::Sticky, Tier::Large), 1002 + HOUR / 2, HOUR),
        "so is where it assigned"
    );
    assert_eq!(set.recall(Key(7), 1001 + HOUR, HOUR), Some(record(Tier::Large, Some(Tier::Large))));
}

#[test]
fn a_full_set_forgets_the_one_seen_longest_ago() {
    let mut set = Set::default();
    for i in 0..100 {
        set.remember(Key(i), stray(Tier::Small), i as u32, HOUR);
    }
    assert_eq!(set.encode().len(), WAYS * ENTRY);
    assert_eq!(set.recall(Key(91), 100, HOUR), None);
    for i in 92..100 {
        assert_eq!(set.recall(Key(i), 100, HOUR), Some(record(Tier::Small, None)), "{i}");
    }
}

#[test]
fn single_questions_do_not_push_out_what_goes_on() {
    let mut set = Set::default();
    for now in [0, 1] {
        set.remember(Key(7), stray(Tier::Small), now, HOUR);
    }
    for i in 100..200 {
        set.remember(Key(i), stray(Tier::Small), i as u32, HOUR);
    }
    assert_eq!(set.recall(Key(7), 200, HOUR), Some(record(Tier::Small, None)));
    assert_eq!(set.recall(Key(199), 200, HOUR), Some(record(Tier::Small, None)));
    // What has expired makes room like any other.
    for i in 200..220 {
        set.remember(Key(i), stray(Tier::Small), 2 + HOUR + i as u32, HOUR);
    }
    assert!(!set.0.iter().any(|entry| entry.key == 7));
    // Where all go on, there is still room for the newest.
    let mut set = Set::default();
    for i in 0..20 {
        set.remember(Key(i), stray(Tier::Small), i as u32, HOUR);
        assert!(set.recall(Key(i), 20, HOUR).is_some());
        set.remember(Key(i), stray(Tier::Small), i as u32, HOUR);
    }
    assert_eq!(set.0.len(), WAYS);
}

/// A stored response is asked for again under its id, which no other conversation has.
#[test]
fn single_questions_do_not_push_out_a_stored_response() {
    let mut set = Set::default();
    set.remember(Key(7), Outcome { continues: true, ..stray(Tier::Small) }, 0, HOUR);
    for i in 100..200 {
        set.remember(Key(i), stray(Tier::Large), i as u32, HOUR);
    }
    assert_eq!(set.recall(Key(7), 200, HOUR), Some(record(Tier::Small, None)));
}

proptest! {
    #[test]
    fn a_set_comes_back_as_it_was_stored(keys in prop::collection::vec((0..12_u64, any::<u32>(), any::<bool>(), any::<bool>(), any::<bool>()), 0..20)) {
        let mut set = Set::default();
        for (key, now, large, assigns, continues) in keys {
            let tier = if large { Tier::Large } else { Tier::Small };
            set.remember(Key(key << 40 | key), Outcome { tier, assigns, affinity: Affinity::Sticky, continues }, now, HOUR);
        }
        prop_assert_eq!(Set::decode(&set.encode()), set);
    }

    #[test]
    fn any_bytes_are_taken_calmly(bytes in prop::collection::vec(any::<u8>(), 0..256), key in any::<u64>(), conversations in any::<u32>()) {
        let mut set = Set::decode(&bytes);
        set.remember(Key(key), stray(Tier::Small), 0, HOUR);
        prop_assert!(set.encode().len() <= WAYS * ENTRY);
        let sets = conversations.div_ceil(WAYS as u32).max(1);
        let memory = Memory { conversations, ttl: HOUR };
        prop_assert!(Key(key).set(memory) < sets);
    }
}
