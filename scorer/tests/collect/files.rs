//! Files of queries as people have them: with half a character, or of another kind than text and JSONL.

use super::{Place, endpoint::Endpoint};

#[tokio::test(flavor = "multi_thread")]
async fn half_a_character_is_asked_as_a_replacement_and_the_rest_as_it_is() {
    let (small, large) = (Endpoint::plain("small").await, Endpoint::plain("large").await);
    let place = Place::new(0);
    place.write(
        r#"{"id": "1", "query": "Translate: \ud83d"}
{"id": "2", "query": "What is 2+2? \ud83d\ude00"}
"#,
    );
    let outcome = place.run(&small, &large, &["--samples", "1", "--concurrency", "1"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let asked: Vec<_> = small.asked().iter().map(|asked| asked.query().to_owned()).collect();
    assert_eq!(asked, ["Translate: \u{fffd}", "What is 2+2? 😀"]);
    // What was recorded is known again.
    let again = place.run(&small, &large, &["--samples", "1"]).await;
    assert_eq!((again.code, small.asked().len()), (Some(0), 2), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_kind_is_named_with_what_to_do_and_nothing_is_asked() {
    let (small, large) = (Endpoint::plain("small").await, Endpoint::plain("large").await);
    let place = Place::new(0);
    let utf_16: Vec<u8> = "\u{feff}{\"query\": \"secret\"}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (content, what) in [
        (&b"\xef\xbb\xbfid,query\n1,\"What is the capital of Peru?\"\n"[..], "is CSV with the columns id, query"),
        (b"prompt\tanswer\nsecret\tx\n", "is TSV with the columns prompt, answer"),
        (b"[{\"query\": \"secret\"}, {\"query\": \"more\"}]\n", "is one JSON array"),
        (b"[\n  \"secret\",\n  \"more\"\n]\n", "is one JSON array"),
        (b"[\"secret\", \"more\"]", "is one JSON array"),
        (b"{\n  \"data\": [\n    {\"query\": \"secret\"}]}\n", "is JSON over several lines"),
        (b"{\"data\": [{\"query\": \"secret\"}]}\n", "is one JSON object with a list in it"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", "is compressed with gzip: decompress it with gunzip first"),
        (&utf_16, "is UTF-16: convert it with iconv -f UTF-16 -t UTF-8"),
    ] {
        place.write(content);
        let outcome = place.run(&small, &large, &["--samples", "1"]).await;
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        let error = place.clean(&outcome.stderr);
        assert!(error.starts_with(&format!("error: DIR/queries.jsonl {what}")) && !error.contains("secret"), "{error}");
        assert!(!place.out.exists());
    }
    assert!(small.asked().is_empty() && large.asked().is_empty());
    // Lines are taken as they are where that is asked for.
    place.write("id,query\n");
    assert_eq!(place.run(&small, &large, &["--samples", "1", "--format", "text"]).await.code, Some(0));
    assert_eq!(small.asked().len(), 1);
}
