//! What is sent, what is written, and what is refused.

use std::{fs, sync::Arc};

use serde_json::{Value, json};

use super::{
    Place,
    endpoint::{Act, Asked, Endpoint, run},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_is_what_is_sent_and_written() {
    let (small, large) = (Endpoint::plain("small").await, Endpoint::plain("large").await);
    let place = Place::new(1);
    let more = [
        "--samples",
        "1",
        "--temperature",
        "0",
        "--max-tokens",
        "7",
        "--system",
        "be brief",
        "--small-price",
        "50,100",
    ];
    let more =
        [&more[..], &["--large-extra-body", r#"{"max_tokens": null, "max_completion_tokens": 8}"#, "--json"]].concat();
    let more = [&more[..], &["--large-key-env", "MY_KEY"]].concat();
    let args = place.args(&small.url, &large.url, &more);
    let outcome = run(&args, &[("MY_KEY", "sk-secret"), ("OPENAI_API_KEY", "sk-other")]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let messages = json!([{"role": "system", "content": "be brief"}, {"role": "user", "content": "query 0"}]);
    let (to_small, to_large) = (&small.asked()[0], &large.asked()[0]);
    assert_eq!(to_small.path, "/v1/chat/completions");
    let body = json!({"model": "s", "messages": messages, "temperature": 0.0, "max_tokens": 7});
    assert_eq!((&to_small.body, to_small.authorization.as_deref()), (&body, None), "no host gets a key unasked");
    let body = json!({"model": "l", "messages": messages, "temperature": 0.0, "max_completion_tokens": 8});
    assert_eq!((&to_large.body, to_large.authorization.as_deref()), (&body, Some("Bearer sk-secret")));
    let line = json!({
        "id": "0", "source": "queries", "query": "query 0", "reference": "answer 0", "model": "s", "tier": "small",
        "sample": 0, "response": "small 0", "finish_reason": "stop", "input_tokens": 10, "output_tokens": 20,
    });
    assert_eq!(place.recorded()[&("0".to_owned(), "s".to_owned(), 0)], line);
    let mut report = outcome.json();
    assert!(report["seconds"].take().as_f64().unwrap() > 0.0);
    let model = |model: &str, cost: Value| {
        json!({"model": model, "responses": 1, "missing": 0, "failures": {}, "requests": 1, "retries": 0, "input_tokens": 10,
               "output_tokens": 20, "without_tokens": 0, "wasted_input_tokens": 0, "wasted_output_tokens": 0, "cost_usd": cost, "cut": 0, "mean_characters": 7.0})
    };
    let expected = json!({"queries": 1, "samples": 1, "seconds": null, "small": model("s", json!(0.0025)),
                          "large": model("l", json!(null)), "ended": "complete"});
    assert_eq!(report, expected);
    let settings = fs::read_to_string(place.folder.path().join("out.jsonl.settings")).unwrap();
    for text in [outcome.stdout, outcome.stderr, settings, fs::read_to_string(&place.out).unwrap()] {
        assert!(!text.contains("sk-"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_stops_the_run_at_once() {
    let echo = |asked: Asked, _| async move {
        // As if somebody's server quoted the key and the query.
        let message = format!("{:?} {}", asked.authorization, asked.query());
        Act::Status(401, "", json!({"error": {"message": message, "code": "invalid_api_key"}}))
    };
    let (small, large) = (Endpoint::plain("small").await, Endpoint::start(echo).await);
    let place = Place::new(50);
    let more = ["--large-key-env", "MY_KEY", "--samples", "2", "--concurrency", "4"];
    let outcome = run(&place.args(&small.url, &large.url, &more), &[("MY_KEY", "sk-secret")]).await;
    assert_eq!(outcome.code, Some(1));
    assert!(large.asked().len() <= 4, "{}", large.asked().len());
    let error = format!(
        "error: the large model: {}/chat/completions answered 401 (invalid_api_key): check the API key in MY_KEY\n",
        large.url
    );
    assert!(outcome.stderr.starts_with(&error), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("fix this and run the same command again to continue"), "{}", outcome.stderr);
    for text in [outcome.stdout, outcome.stderr] {
        assert!(!text.contains("sk-") && !text.contains("query "), "{text}");
    }
}

/// What it takes to be `localhost` with TLS, and the certificate to trust.
pub(crate) fn certified() -> (tokio_rustls::TlsAcceptor, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = tokio_rustls::rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = tokio_rustls::rustls::ServerConfig::builder_with_provider(Arc::new(
        tokio_rustls::rustls::crypto::ring::default_provider(),
    ));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    (tokio_rustls::TlsAcceptor::from(Arc::new(config)), certified.cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_spoken_and_certificates_are_checked() {
    let (tls, roots_pem) = certified();
    let say = |_, _| async { Act::Say("a".to_owned()) };
    let small = Endpoint::start_with(say, Some(tls)).await;
    let large = Endpoint::plain("large").await;
    let place = Place::new(2);
    let roots = place.folder.path().join("roots.pem");
    fs::write(&roots, roots_pem).unwrap();
    let args = place.args(&small.url, &large.url, &["--samples", "1", "--retries", "0"]);
    let outcome = run(&args, &[("SSL_CERT_FILE", roots.to_str().unwrap())]).await;
    assert_eq!((outcome.code, place.recorded().len()), (Some(0), 4), "{outcome:?}");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&roots, other.cert.pem()).unwrap();
    fs::remove_file(&place.out).unwrap();
    let outcome = run(&args, &[("SSL_CERT_FILE", roots.to_str().unwrap())]).await;
    assert_eq!((outcome.code, small.asked().len()), (Some(1), 2), "{outcome:?}");
    assert!(outcome.stdout.contains("invalid peer certificate"), "{outcome:?}");
    let outcome = run(&args, &[("SSL_CERT_FILE", "/nowhere")]).await;
    assert!(outcome.stderr.contains("https needs root certificates"), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_named_and_nothing_is_asked_or_written() {
    let (small, large) = (Endpoint::plain("small").await, Endpoint::plain("large").await);
    let place = Place::new(1);
    let mut report = String::new();
    let mut failure = async |code, queries: &[u8], more: &[&str]| {
        place.write(queries);
        let outcome = place.run(&small, &large, more).await;
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        report += outcome.stderr.lines().next().unwrap();
        report += "\n";
    };
    failure(1, b"{\"query\": \"a\"}\n{\"query\": \" \"}\n", &[]).await;
    failure(1, b"{\"query\": \"a\"}\nsecret\n", &[]).await;
    failure(1, format!("a\n{}\n", "x".repeat(10 << 20)).as_bytes(), &[]).await;
    failure(1, b"a\nb\na\n", &[]).await;
    failure(1, b"", &[]).await;
    failure(2, b"a\n", &["--small-key-env", "NOT_SET"]).await;
    failure(2, b"a\n", &["--temperature", "0"]).await;
    failure(2, b"a\n", &["--temperature", "hot"]).await;
    failure(2, b"a\n", &["--samples", "0"]).await;
    failure(2, b"a\n", &["--small-price", "1"]).await;
    failure(2, b"a\n", &["--small-extra-body", "[]"]).await;
    let queries = place.queries.to_str().unwrap();
    let args = |url, model| {
        [
            "collect",
            queries,
            "--out",
            "/nowhere/out",
            "--small-url",
            url,
            "--small-model",
            "s",
            "--large-url",
            "http://h",
            "--large-model",
            model,
        ]
    };
    for args in
        [args("localhost:80", "l"), args("http://me:secret@h", "l"), args("http://h", "s"), args("http://h", "l")]
    {
        report += run(&args, &[]).await.stderr.lines().next().unwrap();
        report += "\n";
    }
    insta::assert_snapshot!(place.clean(&report), @r#"
    error: DIR/queries.jsonl, line 2: query: must not be empty
    error: DIR/queries.jsonl, line 2: is not JSON (column 1; NaN and Infinity are no JSON numbers); a line must be {"id"?, "source"?, "query", "reference"?} (--format text takes lines as they are)
    error: DIR/queries.jsonl, line 2: is longer than 4 MiB: one query must stand on a line
    error: DIR/queries.jsonl, line 3: is the same query as line 1: take one of them out, or give each an "id"
    error: DIR/queries.jsonl has no queries: it must have one a line, as text or as JSON objects {"id"?, "source"?, "query", "reference"?}
    error: the environment variable NOT_SET is not set or empty: it must hold the API key
    error: --temperature 0 gives the same response again and again: add --samples 1, or sample with more
    error: invalid value 'hot' for '--temperature <T>': must be a number from 0 to 2
    error: invalid value '0' for '--samples <N>': number would be zero for non-zero type
    error: invalid value '1' for '--small-price <IN,OUT>': must be two prices, of a million input and output tokens in US dollars, such as 0.05,0.08
    error: invalid value '[]' for '--small-extra-body <JSON>': must be a JSON object such as {"reasoning_effort": "low"}
    error: invalid value 'localhost:80' for '--small-url <URL>': must be a URL such as http://127.0.0.1:8000/v1 or https://api.openai.com/v1
    error: invalid value 'http://me:secret@h' for '--small-url <URL>': must hold no user name or password: keys come from an environment variable
    error: --small-model and --large-model are the same: their responses could not be told apart
    error: cannot write /nowhere/out: No such file or directory (os error 2)
    "#);
    assert!(small.asked().is_empty() && large.asked().is_empty());
    let left: Vec<_> = fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["queries.jsonl"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_run_is_refused() {
    let (small, large) = (Endpoint::plain("small").await, Endpoint::plain("large").await);
    let place = Place::new(2);
    assert_eq!(place.run(&small, &large, &["--samples", "1", "--concurrency", "1"]).await.code, Some(0));
    let before = fs::read(&place.out).unwrap();
    let mut report = String::new();
    report += &place.run(&small, &large, &["--samples", "1", "--temperature", "1", "--system", "s"]).await.stderr;
    report += &place.run(&small, &large, &["--samples", "1", "--small-extra-body", "{\"top_p\": 0.5}"]).await.stderr;
    place.write("{\"id\": 0, \"query\": \"another\"}\n");
    report += &place.run(&small, &large, &["--samples", "1"]).await.stderr;
    for query in [json!({"id": 0, "query": "query 0", "reference": "mended"}), json!({"id": 0, "query": "query 0"})] {
        place.write(format!("{query}\n"));
        report += &place.run(&small, &large, &["--samples", "2"]).await.stderr;
    }
    insta::assert_snapshot!(place.clean(&report), @r#"
    error: DIR/out.jsonl was made with other settings: system was null, now "s", temperature was 0.7, now 1.0; use the same again, or choose another --out
    error: DIR/out.jsonl was made with other settings: small.extra_body.top_p was null, now 0.5; use the same again, or choose another --out
    error: DIR/out.jsonl, line 1: has another query under its id than the file of queries: give the new one a new id
    error: DIR/out.jsonl, line 1: has another reference than the file of queries under its id: make it the same in all lines of this id, which keeps their responses, or give the query a new id
    error: DIR/out.jsonl, line 1: has another reference than the file of queries under its id: make it the same in all lines of this id, which keeps their responses, or give the query a new id
    "#);
    assert_eq!((fs::read(&place.out).unwrap(), small.asked().len()), (before.clone(), 2));

    // A reference is mended as the message says.
    place.write("{\"id\": 0, \"query\": \"query 0\", \"reference\": \"mended\"}\n");
    fs::write(&place.out, String::from_utf8(before).unwrap().replace("answer 0", "mended")).unwrap();
    let outcome = place.run(&small, &large, &["--samples", "2"]).await;
    assert_eq!((outcome.code, small.asked().len()), (Some(0), 3), "what was there is kept: {outcome:?}");
    let recorded = place.recorded();
    let of_query = recorded.iter().filter(|(key, _)| key.0 == "0").map(|(_, line)| line["reference"].as_str());
    assert_eq!(of_query.collect::<Vec<_>>(), [Some("mended"); 4]);
}
