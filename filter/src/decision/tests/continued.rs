//! Whole conversations, through the memory itself: what binds later turns, and whose loop a tool's result belongs to.

use super::*;
use crate::decision::conversation::Set;
use crate::terms::Score;
use std::cell::RefCell;

/// A memory of one set, and the headers of the next request.
#[derive(Default)]
struct Store {
    set: RefCell<Set>,
    session: Option<&'static str>,
}

impl Lookup for Store {
    fn record(&self, key: Key) -> Option<Record> {
        self.set.borrow().recall(key, 1, 3600)
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        self.session.filter(|_| name == "x-session").map(|session| session.as_bytes().to_vec())
    }

    fn header_list(&self, name: &str) -> Option<Vec<u8>> {
        self.header(name)
    }
}

impl Store {
    /// Sends a request as the host does: it is planned, decided as `scored` says where the scorer is asked, and remembered.
    fn send(&self, policy: &RoutePolicy, api: Api, body: &str, scored: Decision) -> String {
        let request = api.read("", body.as_bytes()).unwrap();
        let conversation = Conversation::of(policy, &request, self).unwrap();
        let keys = conversation.keys;
        let plan = before_score(policy, Overrides::default(), &request, conversation, self).unwrap();
        let decision = match &plan {
            Plan::Decided(decision) => *decision,
            Plan::Ask { .. } => scored,
        };
        let before = keys.of_affinity().and_then(|key| self.record(key));
        for key in keys.remembered() {
            let record = record(policy, &decision, before);
            self.set.borrow_mut().remember(key, record, keys.is_stored(), 0, 3600);
        }
        told(plan)
    }

    fn chat(&self, policy: &RoutePolicy, body: &str, scored: Decision) -> String {
        self.send(policy, Api::OpenAiChat, body, scored)
    }
}

fn scored(tier: Tier) -> Decision {
    Decision::unscored(tier, Reason::Score)
}

fn chat(turns: &[serde_json::Value]) -> String {
    serde_json::json!({"model": "auto", "messages": turns, "tools": [{"type": "function"}]}).to_string()
}

fn user(text: &str) -> serde_json::Value {
    serde_json::json!({"role": "user", "content": text})
}

fn system(text: &str) -> serde_json::Value {
    serde_json::json!({"role": "system", "content": text})
}

fn call() -> serde_json::Value {
    let call = serde_json::json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    serde_json::json!({"role": "assistant", "content": null, "tool_calls": [call]})
}

fn result() -> serde_json::Value {
    serde_json::json!({"role": "tool", "tool_call_id": "c", "content": "rain"})
}

const RAIN: &str = "Is it going to rain in Oslo today?";
const TOMORROW: &str = "And is it going to rain tomorrow?";

#[test]
fn what_is_remembered() {
    let off = with(serde_json::json!({"affinity_header": null}));
    let sticky = with(serde_json::json!({"affinity": "sticky", "affinity_header": null}));
    let is_remembered = |policy: &RoutePolicy, request: &Request<'_>| {
        Conversation::of(policy, request, &Store::default()).unwrap().keys.remembered().next().is_some()
    };
    let text = Api::OpenAiCompletions.read("", br#"{"prompt":"hi"}"#).unwrap();
    assert!(!is_remembered(&off, &text) && is_remembered(&sticky, &text));
    // Models think and sign unasked: any turn may bind the next.
    let turn = br#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":5}"#;
    for api in [Api::OpenAiChat, Api::AnthropicMessages, Api::BedrockConverse, Api::BedrockInvoke] {
        let request = api.read("", turn).unwrap();
        assert!(is_remembered(&off, &request), "{api:?}");
        assert!(!is_remembered(&RoutePolicy { shadow: true, ..sticky.clone() }, &request), "{api:?}");
    }
}

/// One bad minute of the scorer, one forced request, one experiment, and what continues them: the next turn is decided anew.
#[test]
fn which_decisions_bind_later_turns() {
    use Reason::{Capability, Context, NonText, Score, ToolLoop};
    let sticky = with(serde_json::json!({"affinity": "sticky"}));
    for &reason in Reason::ALL {
        let decision = Decision::unscored(Tier::Small, reason);
        let assigns = matches!(reason, Score | Context | Capability | NonText | ToolLoop);
        let want = Record { last_tier: Tier::Small, assigned: assigns.then_some(Tier::Small) };
        assert_eq!(record(&sticky, &decision, None), want, "{reason:?}");
        let before = Some(Record { last_tier: Tier::Large, assigned: Some(Tier::Large) });
        let want = Record { assigned: Some(if assigns { Tier::Small } else { Tier::Large }), ..want };
        assert_eq!(record(&sticky, &decision, before), want, "{reason:?}");
    }
}

/// A client that turns its own dial for one turn has not said where the conversation belongs.
#[test]
fn a_clients_own_dial_binds_no_later_turn() {
    let own = Dial::Threshold(0.0);
    let next = chat(&[user(RAIN), user(TOMORROW)]);
    let ask = r#"ask "And is it going to rain tomorrow?" Threshold(0.5)"#;
    let table = [
        ("sticky", own, 0.1, ask),
        ("sticky", Dial::Threshold(0.5), 0.1, "large affinity"),
        ("only_up", Dial::Threshold(1.0), 0.9, ask),
        ("only_up", Dial::Threshold(0.5), 0.1, "large affinity"),
    ];
    for (mode, dial, score, want) in table {
        let policy = with(serde_json::json!({"affinity": mode, "allow_override": true}));
        let answer = Ok(Score { score, small_share: None, quality_drop: None });
        let decision = super::super::after_score(&policy, dial, answer, b"id");
        assert_eq!(decision.reason, Reason::Score);
        let store = Store::default();
        store.chat(&policy, &chat(&[user(RAIN)]), decision);
        let in_loop = store.chat(&policy, &chat(&[user(RAIN), call(), result()]), scored(Tier::Large));
        assert_eq!(in_loop, format!("{} affinity", decision.tier.as_str()), "a tool loop follows all the same");
        assert_eq!(store.chat(&policy, &next, scored(Tier::Large)), want, "{mode} {dial:?}");
    }
    // What decided without the dial assigns as ever.
    let policy = with(serde_json::json!({"affinity": "sticky"}));
    let decision = Decision { by_client_dial: true, ..Decision::unscored(Tier::Large, Reason::Context) };
    assert_eq!(record(&policy, &decision, None).assigned, Some(Tier::Large));
}

/// A conversation with an agent, whose every turn declares tools.
#[test]
fn a_stray_turn_does_not_bind_the_next_user_turn() {
    let (opening, in_loop) = (chat(&[user(RAIN)]), chat(&[user(RAIN), call(), result()]));
    let then = chat(&[user(RAIN), call(), result(), user(TOMORROW)]);
    let ask = r#"ask "And is it going to rain tomorrow?" Threshold(0.5)"#;
    let table = [
        // Mode, what decided the first turn and where it went, its loop, and the next user turn.
        ("sticky", Reason::Score, Tier::Small, "small affinity", "small affinity"),
        ("sticky", Reason::Score, Tier::Large, "large affinity", "large affinity"),
        ("sticky", Reason::Timeout, Tier::Large, "large affinity", ask),
        ("sticky", Reason::Explore, Tier::Small, "small affinity", ask),
        ("only_up", Reason::Score, Tier::Large, "large affinity", "large affinity"),
        ("only_up", Reason::ScorerError, Tier::Large, "large affinity", ask),
        ("off", Reason::Score, Tier::Large, "large affinity", ask),
    ];
    for session in [None, Some("s-1")] {
        for (mode, reason, tier, followed, next) in table {
            let policy = with(serde_json::json!({"affinity": mode}));
            let store = Store { session, ..Store::default() };
            store.chat(&policy, &opening, Decision::unscored(tier, reason));
            assert_eq!(store.chat(&policy, &in_loop, scored(Tier::Large)), followed, "{mode} {reason:?} {session:?}");
            assert_eq!(store.chat(&policy, &then, scored(Tier::Large)), next, "{mode} {reason:?} {session:?}");
        }
    }
}

/// The tier that a conversation keeps is handed on from turn to turn, also by turns that say nothing of it themselves.
#[test]
fn affinity_lasts_through_the_conversation() {
    let policy = with(serde_json::json!({"affinity": "sticky"}));
    let store = Store::default();
    let mut turns = vec![user("question 1 of a long conversation")];
    store.chat(&policy, &chat(&turns), scored(Tier::Small));
    for n in 2..6 {
        turns.push(user(&format!("question {n} of a long conversation")));
        assert_eq!(store.chat(&policy, &chat(&turns), scored(Tier::Large)), "small affinity", "{n}");
    }
    let up = with(serde_json::json!({"affinity": "only_up"}));
    let store = Store::default();
    let mut turns = vec![user("question 1 of a long conversation")];
    store.chat(&up, &chat(&turns), scored(Tier::Small));
    for (n, tier, want) in
        [(2, Tier::Large, "ask"), (3, Tier::Small, "large affinity"), (4, Tier::Small, "large affinity")]
    {
        turns.push(user(&format!("question {n} of a long conversation")));
        let got = store.chat(&up, &chat(&turns), scored(tier));
        assert!(got.starts_with(want), "{n}: {got}");
    }
}

/// System prompts of the shapes that agents send: no two requests have the same one.
#[test]
fn a_loop_is_known_whatever_the_system_prompt_says() {
    let shapes: [fn(u32) -> String; 7] = [
        |n| format!("You are a helpful assistant. Current time: 2026-10-09 10:01:{n:02}."),
        |n| {
            format!(
                "x-anthropic-billing-header: cc_version=2.1.{n}; cc_entrypoint=cli; cch=a{n}f3;\nYou are a coding agent."
            )
        },
        |n| format!("Request id: 7f0c9d2e-{n:04x}-4b7e-9c1e-000000000000\nYou answer questions on the weather."),
        |n| format!("<env>\nWorking directory: /src\nIs git repo: yes\nGit status: {n} files changed\n</env>"),
        |n| format!("Today is {}, October {n}, 2026. Answer briefly.", ["Thursday", "Friday"][n as usize % 2]),
        |n| format!("You are Ana. Memory: the user has asked {n} questions. Tokens left: {}.", 20_000 - 17 * n),
        |n| if n % 2 == 0 { String::new() } else { "Plan mode is on.".to_owned() },
    ];
    let policy = with(serde_json::json!({}));
    for tier in [Tier::Small, Tier::Large] {
        for shape in shapes {
            let store = Store::default();
            let mut turns = vec![system(&shape(1)), user(RAIN)];
            assert!(store.chat(&policy, &chat(&turns), scored(tier)).starts_with("ask"));
            for n in 2..6 {
                turns[0] = system(&shape(n));
                turns.extend([call(), result()]);
                let want = format!("{} affinity", tier.as_str());
                assert_eq!(store.chat(&policy, &chat(&turns), scored(tier.other())), want, "{}", shape(n));
            }
        }
    }
}

/// Agents run others under the session's own header, at once, and interleave their requests.
#[test]
fn loops_of_one_session_do_not_move_each_other() {
    let (main, sub) = ("Redesign the scheduler, please.", "Find all files that name the scheduler.");
    for session in [None, Some("s-1")] {
        for affinity in ["off", "sticky"] {
            let policy = with(serde_json::json!({"affinity": affinity}));
            let store = Store { session, ..Store::default() };
            let at = |who: &str, task: &str, loops: usize| {
                let mut turns = vec![system(who), user(task)];
                (0..loops).for_each(|_| turns.extend([call(), result()]));
                chat(&turns)
            };
            store.chat(&policy, &at("You are a coding agent.", main, 0), scored(Tier::Large));
            // By a session that keeps its tier the other agent goes where the first one went.
            let shares = affinity == "sticky" && session.is_some();
            let subs = if shares { Tier::Large } else { Tier::Small };
            store.chat(&policy, &at("You are a search agent.", sub, 0), scored(Tier::Small));
            for loops in 1..4 {
                let got = store.chat(&policy, &at("You are a coding agent.", main, loops), scored(Tier::Small));
                assert_eq!(got, "large affinity", "{session:?} {affinity} {loops}");
                let got = store.chat(&policy, &at("You are a search agent.", sub, loops), scored(Tier::Large));
                assert_eq!(got, format!("{} affinity", subs.as_str()), "{session:?} {affinity} {loops}");
            }
        }
    }
}

/// Signed reasoning is bound to the model that signed it, also when the user asks something new, and whatever the clock says.
#[test]
fn signed_reasoning_follows_the_turn_before() {
    let signed = serde_json::json!({"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": "It is."}]});
    let body = |time: &str, turns: &[serde_json::Value]| {
        let system = format!("The time is {time}.");
        serde_json::json!({"model": "auto", "max_tokens": 9, "system": system, "messages": turns}).to_string()
    };
    let policy = with(serde_json::json!({}));
    for tier in [Tier::Small, Tier::Large] {
        let store = Store::default();
        store.send(&policy, Api::AnthropicMessages, &body("10:01", &[user(RAIN)]), scored(tier));
        let next = body("10:02", &[user(RAIN), signed.clone(), user(TOMORROW)]);
        let got = store.send(&policy, Api::AnthropicMessages, &next, scored(tier.other()));
        assert_eq!(got, format!("{} affinity", tier.as_str()));
        let third = body("10:03", &[user(RAIN), signed.clone(), user(TOMORROW), signed.clone(), user("And then?")]);
        assert_eq!(store.send(&policy, Api::AnthropicMessages, &third, scored(tier.other())), got);
    }
}

/// Compaction replaces what the user said first; the session's header still tells.
#[test]
fn a_header_is_the_second_guess() {
    let policy = with(serde_json::json!({}));
    for (session, want) in [(None, "large tool_loop"), (Some("s-1"), "small affinity")] {
        let store = Store { session, ..Store::default() };
        store.chat(&policy, &chat(&[user(RAIN)]), scored(Tier::Small));
        let compacted = chat(&[user("Summary: the user asked about rain."), call(), result()]);
        assert_eq!(store.chat(&policy, &compacted, scored(Tier::Small)), want, "{session:?}");
    }
}

/// Words that stand before a result, and results that are written as text, are not what a loop is known by.
#[test]
fn a_loop_is_known_whatever_stands_beside_its_results() {
    let policy = with(serde_json::json!({}));
    let ask = |store: &Store, body: &serde_json::Value| {
        store.send(&policy, Api::AnthropicMessages, &body.to_string(), scored(Tier::Small))
    };
    let body = |turns: &[serde_json::Value]| serde_json::json!({"model": "auto", "max_tokens": 9, "messages": turns});
    let called = |text: &str| serde_json::json!({"role": "assistant", "content": text});
    let used = serde_json::json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]});
    let result = serde_json::json!({"type": "tool_result", "tool_use_id": "t", "content": "rain"});
    let before = serde_json::json!({"role": "user", "content": [{"type": "text", "text": "Here it is:"}, result]});
    let text = serde_json::json!({"role": "user", "content": [{"type": "text", "text": "[read_file for 'a.rs'] Result:"},
        {"type": "text", "text": "fn main() {}"}]});
    for (call, result) in [(used, before), (called("<read_file><path>a.rs</path></read_file>"), text)] {
        let store = Store::default();
        assert!(ask(&store, &body(&[user(RAIN)])).starts_with("ask"));
        let once = [user(RAIN), call.clone(), result.clone()];
        assert_eq!(ask(&store, &body(&once)), "small affinity", "{result}");
        let twice = [&once[..], &[call, result.clone()]].concat();
        assert_eq!(ask(&store, &body(&twice)), "small affinity", "{result}");
    }
}

/// What an image, a reminder or a queued message does to the turn that a request continues.
#[test]
fn a_turn_without_words_continues_the_one_before() {
    let signed = serde_json::json!({"role": "assistant", "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": "It is."}]});
    let image =
        serde_json::json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}});
    let seen = serde_json::json!({"role": "user", "content": [image]});
    let reminder = user("<system-reminder>tick</system-reminder>");
    let sees = serde_json::json!({"cluster": "a", "model": "m", "capabilities": ["tools", "vision", "prefill"]});
    let policy = with(serde_json::json!({"small": sees, "affinity_header": null}));
    let body = |turns: &[serde_json::Value]| {
        serde_json::json!({"model": "auto", "max_tokens": 9, "messages": turns}).to_string()
    };
    for last in [vec![seen], vec![reminder], vec![]] {
        let store = Store::default();
        store.send(&policy, Api::AnthropicMessages, &body(&[user(RAIN)]), scored(Tier::Small));
        let next = [&[user(RAIN), signed.clone()][..], &last].concat();
        let got = store.send(&policy, Api::AnthropicMessages, &body(&next), scored(Tier::Large));
        assert_eq!(got, "small affinity", "{last:?}");
    }
    // A picture that a tool took, where the API has no images in results; and one after the model has answered.
    let picture = serde_json::json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]});
    let answer = serde_json::json!({"role": "assistant", "content": "Like this?"});
    let store = Store::default();
    store.chat(&policy, &chat(&[user(RAIN)]), scored(Tier::Small));
    let in_loop = chat(&[user(RAIN), call(), result(), picture.clone()]);
    assert_eq!(store.chat(&policy, &in_loop, scored(Tier::Large)), "small affinity");
    let answered = chat(&[user(RAIN), call(), result(), answer, picture]);
    assert_eq!(store.chat(&policy, &answered, scored(Tier::Large)), "large non_text");
    // A message that was put into a loop as a harness's, and stands there as the user's later.
    let store = Store::default();
    store.chat(&policy, &chat(&[user(RAIN)]), scored(Tier::Small));
    let queued = chat(&[user(RAIN), call(), result(), user("<system-reminder>Hurry up, please!</system-reminder>")]);
    assert_eq!(store.chat(&policy, &queued, scored(Tier::Large)), "small affinity");
    let bare = chat(&[user(RAIN), call(), result(), user("Hurry up, please!"), call(), result()]);
    assert_eq!(store.chat(&policy, &bare, scored(Tier::Large)), "small affinity");
}
