//! Route metadata, resolved.

use super::*;

fn config(dial: &str) -> Config {
    let text = format!(
        r#"{{"scorer":{{"cluster":"s"}},"pairs":{{"chat":{{"small":{{"cluster":"a","model":"m"}},"large":{{"cluster":"b","model":"n"}}{dial}}}}}}}"#
    );
    Config::parse(text.as_bytes()).unwrap()
}

fn with_dial() -> Config {
    config(r#","dial":{"small_share":0.4}"#)
}

fn applied(policy: ResolvedRoute) -> RoutePolicy {
    match policy {
        ResolvedRoute::Routed(policies) => <[RoutePolicy; 1]>::try_from(policies).unwrap().into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_pair_and_mode_off_leave_the_route_alone() {
    let config = with_dial();
    assert_eq!(RouteMetadata::default().resolve(&config), ResolvedRoute::NotRouted);
    let dial_only = RouteMetadata { threshold: Some(b"0.5"), ..Default::default() };
    assert_eq!(dial_only.resolve(&config), ResolvedRoute::NotRouted);
    let misspelt = || RouteMetadata { unknown: Some(b"pairs"), ..Default::default() };
    let ResolvedRoute::Invalid { pairs, error } = misspelt().resolve(&config) else { panic!("a pair by another name") };
    assert_eq!(error.to_string(), "pairs: unknown key; there are pair, mode, threshold, small_share and quality_drop");
    assert!(pairs.is_empty());
    assert_eq!(RouteMetadata { mode: Some(b"off"), ..misspelt() }.resolve(&config), ResolvedRoute::NotRouted);
    for mode in [&b"off"[..], b"\0"] {
        let off = RouteMetadata { pair: Some(b"chat"), mode: Some(mode), ..Default::default() };
        assert_eq!(off.resolve(&config), ResolvedRoute::NotRouted);
    }
}

#[test]
fn the_routes_dial_overrides_the_pairs() {
    let config = with_dial();
    let chat = || RouteMetadata { pair: Some(b"chat"), ..Default::default() };
    assert_eq!(applied(chat().resolve(&config)).dial, Dial::SmallShare(0.4));
    let table = [
        (RouteMetadata { threshold: Some(b"0.62"), ..chat() }, Dial::Threshold(0.62)),
        (RouteMetadata { threshold: Some(b"1"), ..chat() }, Dial::Threshold(1.0)),
        (RouteMetadata { small_share: Some(b"0.125000"), ..chat() }, Dial::SmallShare(0.125)),
        (RouteMetadata { quality_drop: Some(b"1e-2"), ..chat() }, Dial::QualityDrop(0.01)),
    ];
    for (metadata, dial) in table {
        assert_eq!(applied(metadata.resolve(&config)).dial, dial);
    }
    let shadow = RouteMetadata { mode: Some(b"shadow"), ..chat() };
    assert!(applied(shadow.resolve(&config)).shadow);
}

/// As Envoy 1.40 gives `{pair: chat, threshold: 0.62, mode: route}`.
const MAP: &[u8] = b"\x03\0\0\0\x09\0\0\0\x04\0\0\0\x04\0\0\0\x04\0\0\0\x04\0\0\0\x05\0\0\0\
    threshold\x000.62\0pair\0chat\0mode\0route\0";

#[test]
fn the_proxys_map_is_decoded() {
    let want =
        RouteMetadata { pair: Some(b"chat"), mode: Some(b"route"), threshold: Some(b"0.62"), ..Default::default() };
    assert_eq!(RouteMetadata::decode(MAP), want);
    let misspelt = RouteMetadata::decode(b"\x01\0\0\0\x08\0\0\0\x03\0\0\0treshold\x000.5\0").unknown;
    assert_eq!(misspelt, Some(&b"treshold"[..]));
}

#[test]
fn a_broken_map_gives_what_can_be_read() {
    for end in 0..MAP.len() {
        let cut = RouteMetadata::decode(&MAP[..end]);
        assert!(cut.mode.is_none(), "{end}");
    }
    assert_eq!(RouteMetadata::decode(&[0xff; 64]), RouteMetadata::default());
}

#[test]
fn doubles_are_read_too() {
    for value in [0.0f64, 0.1, 0.62, 1.0 / 3.0, 0.5, 1.0] {
        assert_eq!(number("threshold", Some(&value.to_le_bytes())), Ok(Some(value)));
    }
}

#[test]
fn mistakes_are_named() {
    let chat = || RouteMetadata { pair: Some(b"chat"), ..Default::default() };
    let table = [
        (
            RouteMetadata { pair: Some(b"chta"), ..Default::default() },
            r#"pair: "chta" is not one of the plugin configuration's pairs"#,
        ),
        (RouteMetadata { mode: Some(b"of"), ..chat() }, r#"mode: "of" is unknown; use route, shadow or off"#),
        (
            RouteMetadata { threshold: Some(b"high"), ..chat() },
            r#"threshold: "high" is not a number; use one from 0 to 1"#,
        ),
        (
            RouteMetadata { threshold: Some(b"0,625000"), ..chat() },
            r#"threshold: "0,625000" is not a number; use one from 0 to 1"#,
        ),
        (
            RouteMetadata { threshold: Some(b"62"), ..chat() },
            "threshold: 62 is not a fraction; use a number from 0 to 1",
        ),
        (
            RouteMetadata { unknown: Some(b"treshold"), ..chat() },
            "treshold: unknown key; there are pair, mode, threshold, small_share and quality_drop",
        ),
        (
            RouteMetadata { threshold: Some(b"0.5"), quality_drop: Some(b"0.1"), ..chat() },
            "threshold and quality_drop are both set; a dial is exactly one of threshold, small_share, quality_drop",
        ),
    ];
    for (metadata, message) in table {
        match metadata.resolve(&with_dial()) {
            ResolvedRoute::Invalid { error, pairs } => {
                assert_eq!(error.to_string(), message);
                assert_eq!(pairs.is_empty(), message.contains("chta"));
            }
            other => panic!("{message}: {other:?}"),
        }
    }
    let ResolvedRoute::Invalid { error, .. } = chat().resolve(&config("")) else { panic!("no dial anywhere") };
    assert_eq!(
        error.to_string(),
        r#"pair "chat" and its route both lack a dial; set threshold, small_share or quality_drop on either"#
    );
}

#[test]
fn a_route_may_name_several_pairs() {
    let text = r#"{"scorer":{"cluster":"s"},"pairs":{
        "chat":{"small":{"cluster":"a","model":"m"},"large":{"cluster":"b","model":"n"},"dial":{"threshold":0.4},"models":["auto"]},
        "code":{"small":{"cluster":"c","model":"o"},"large":{"cluster":"d","model":"p"},"models":["auto-code"]},
        "more":{"small":{"cluster":"a","model":"m"},"large":{"cluster":"b","model":"n"},"dial":{"threshold":0.4},"models":["x","auto"]},
        "rest":{"small":{"cluster":"e","model":"q"},"large":{"cluster":"f","model":"r"},"dial":{"threshold":0.4}}}}"#;
    let config = Config::parse(text.as_bytes()).unwrap();
    let both = RouteMetadata { pair: Some(b"code, chat"), threshold: Some(b"0.7"), ..Default::default() };
    let ResolvedRoute::Routed(policies) = both.resolve(&config) else { panic!("two pairs") };
    let got: Vec<_> = policies.iter().map(|policy| (policy.pair.name.as_str(), policy.dial)).collect();
    assert_eq!(got, [("code", Dial::Threshold(0.7)), ("chat", Dial::Threshold(0.7))]);
    let wrong = [
        (&b"chat,"[..], r#"pair: "" is not one of the plugin configuration's pairs"#),
        (b"chat,coed", r#"pair: "coed" is not one of the plugin configuration's pairs"#),
        (
            b"chat,code",
            r#"pair "code" and its route both lack a dial; set threshold, small_share or quality_drop on either"#,
        ),
        (
            b"chat,more,rest",
            r#"pair: "more" never gets "auto", since "chat" before it has that alias too; leave it to one of them"#,
        ),
        (
            b"chat,chat",
            r#"pair: "chat" never gets "auto", since "chat" before it has that alias too; leave it to one of them"#,
        ),
        (
            b"chat,rest,code",
            r#"pair: "code" gets no request, since "rest" before it has no aliases and takes them all; set its models"#,
        ),
    ];
    let last = RouteMetadata { pair: Some(b"chat,rest"), ..Default::default() };
    assert!(matches!(last.resolve(&config), ResolvedRoute::Routed(policies) if policies.len() == 2));
    for (names, message) in wrong {
        let threshold = message.contains("aliases").then_some(&b"0.5"[..]);
        let metadata = RouteMetadata { pair: Some(names), threshold, ..Default::default() };
        let ResolvedRoute::Invalid { pairs, error } = metadata.resolve(&config) else { panic!("{message}") };
        assert_eq!((pairs[0].name.as_str(), error.to_string().as_str()), ("chat", message));
    }
    // Aliases of every pair that exists are still known for what they are.
    let misspelt = RouteMetadata { pair: Some(b"code, coed, chat"), unknown: Some(b"treshold"), ..Default::default() };
    let ResolvedRoute::Invalid { pairs, .. } = misspelt.resolve(&config) else { panic!("a key that is misspelt") };
    assert_eq!(pairs.iter().map(|pair| pair.name.as_str()).collect::<Vec<_>>(), ["code", "chat"]);
}

/// What Envoy 1.40 does with a null: the whole map can't be had, nor the null, but the other keys can.
#[test]
fn a_null_is_told_like_any_other_mistake() {
    let config = with_dial();
    let read = |null: &'static str| {
        let whole = if null.is_empty() { Ok(None) } else { Err(HasNull) };
        readable(whole, |key| match key {
            key if key == null => Err(HasNull),
            "pair" => Ok(Some(b"chat".to_vec())),
            "mode" => Ok(Some(b"shadow".to_vec())),
            _ => Ok(None),
        })
    };
    assert_eq!(read(""), None);
    for (null, told, named) in [
        ("threshold", "threshold", 1),
        ("mode", "mode", 1),
        ("pair", "pair", 0),
        ("else", "(a key that is not known, or one within another)", 1),
    ] {
        let map = read(null).unwrap();
        let ResolvedRoute::Invalid { pairs, error } = RouteMetadata::decode(&map).resolve(&config) else {
            panic!("{null}")
        };
        assert_eq!((error, pairs.len()), (RouteError::Null(told.to_owned()), named), "{null}");
    }
    // A route that is switched off stays off.
    let off = encode(&[("pair", b"chat".to_vec()), ("mode", b"off".to_vec()), (NULL, b"threshold".to_vec())]);
    assert_eq!(RouteMetadata::decode(&off).resolve(&config), ResolvedRoute::NotRouted);
    // What is written here is what the proxy would give.
    let written = encode(&[("threshold", b"0.62".to_vec()), ("pair", b"chat".to_vec()), ("mode", b"route".to_vec())]);
    assert_eq!(written, MAP);
    assert_eq!(readable(Ok(Some(MAP.to_vec())), |_| Err(HasNull)).unwrap(), MAP);
}
