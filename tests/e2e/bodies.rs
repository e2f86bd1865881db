//! Request and response bodies: bytes, sizes, encodings, streams.

use crate::stack::{CHAT, Stack, chat};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hybrid_llm_tests::envoy::Route;
use hybrid_llm_tests::http::{self, open, post};
use hybrid_llm_tests::upstream::STREAMED_PIECES;
use hybrid_llm_tests::wait::{PATIENCE, until};
use hyper::Request;
use serde_json::json;
use std::convert::Infallible;
use std::io::Write;

#[tokio::test]
async fn every_byte_but_the_models_name_arrives_as_sent() {
    let stack = Stack::start(|setup| setup).await;
    let body = "\n{ \"temperature\" : 1.0e-0, \"seed\":12345678901234567890123,\t\"unknown\":{\"model\":\"auto\",\"b\":[1,  2]},\r\n \
                \"messages\":[{\"content\":\"score 0.9 \\u00e9 é 中文 \\ud83d\\ude00 😀 \\/\",\"role\":\"user\"}], \"model\"  :\"a\\u0075to\" ,\"z\":null}\n";
    let answer = stack.send(CHAT, body, &[]).await;
    answer.expect("small", "score");
    let want = body.replace(r#""a\u0075to""#, r#""llama-3.1-8b""#);
    assert_eq!(String::from_utf8(answer.upstream.body.to_vec()).unwrap(), want);
    assert_eq!(answer.upstream.headers["content-length"], want.len().to_string());
    // The scorer reads the same text that the client wrote.
    let asked: serde_json::Value = serde_json::from_slice(&stack.scorer.take()[0].body).unwrap();
    assert_eq!(asked["query"], "score 0.9 é é 中文 😀 😀 /");
}

#[tokio::test]
async fn large_bodies_pass_whole_up_to_the_limit_and_beyond() {
    let stack = Stack::start(|setup| {
        setup.plugin("/max_body_bytes", json!(600_000)).plugin("/pairs/chat/small/context_tokens", json!(1_000_000))
    })
    .await;
    for size in [10_000, 300_000, 590_000] {
        let body = chat("auto", &format!("score 0.9 {}", "x".repeat(size)));
        let answer = stack.send(CHAT, body.clone(), &[]).await;
        answer.expect("small", "score");
        assert_eq!(answer.upstream.body, body.replace("\"auto\"", "\"llama-3.1-8b\""), "{size}");
    }
    let body = chat("auto", &format!("score 0.9 {}", "x".repeat(700_000)));
    let answer = stack.send(CHAT, body.clone(), &[]).await;
    answer.expect("large", "body_too_large");
    assert_eq!(answer.upstream.body, body);

    // Without a content-length the size shows only as the body arrives. 3 MiB is three times what Envoy would buffer.
    let body = chat("auto", &format!("score 0.9 {}", "x".repeat(3 << 20)));
    let answer = stack.answer(send_in_chunks(&stack, &body, 64 << 10).await);
    answer.expect("large", "body_too_large");
    assert_eq!(answer.upstream.body, body);
}

#[tokio::test]
async fn the_reference_limits_agree_with_each_other() {
    // Over its own limit Envoy answers 413 to what a filter holds back, so max_body_bytes must be reached first.
    let stack = Stack::start(|setup| setup.plugin("/pairs/chat/small/context_tokens", json!(10_000_000))).await;
    let frame = chat("auto", "score 0.9 ").len();
    for (size, tier, reason) in
        [(1 << 20, "small", "score"), ((1 << 20) + 1, "large", "body_too_large"), (3 << 20, "large", "body_too_large")]
    {
        let body = chat("auto", &format!("score 0.9 {}", "x".repeat(size - frame)));
        assert_eq!(body.len(), size);
        stack.send(CHAT, body.clone(), &[]).await.expect(tier, reason);
        stack.answer(send_in_chunks(&stack, &body, 10_000).await).expect(tier, reason);
    }
}

#[tokio::test]
async fn a_body_in_chunks_is_routed_like_any_other() {
    let stack = Stack::start(|setup| setup).await;
    let body = chat("auto", "score 0.9 in many pieces");
    let answer = stack.answer(send_in_chunks(&stack, &body, 7).await);
    answer.expect("small", "score");
    assert_eq!(answer.upstream.body, body.replace("\"auto\"", "\"llama-3.1-8b\""));
}

async fn send_in_chunks(stack: &Stack, body: &str, size: usize) -> http::Reply {
    let (mut sender, channel) = Channel::<Bytes, Infallible>::new(1);
    let request = Request::post(CHAT).header("host", "rig").header("content-type", "application/json");
    let request = request.body(channel).unwrap();
    let pieces: Vec<Bytes> = body.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
    tokio::spawn(async move {
        for piece in pieces {
            if sender.send_data(piece).await.is_err() {
                return;
            }
        }
    });
    stack.envoy.send(request).await.unwrap()
}

#[tokio::test]
async fn trailers_end_a_body_too() {
    let stack = Stack::start(|setup| {
        setup.bootstrap(
            "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_protocol_options",
            json!({"enable_trailers": true}),
        )
    })
    .await;
    let (mut sender, channel) = Channel::<Bytes, Infallible>::new(4);
    let request = Request::post(CHAT).header("host", "rig").header("te", "trailers").header("trailer", "x-check");
    let request = request.body(channel).unwrap();
    let body = chat("auto", "score 0.9");
    let sent = Bytes::from(body.clone());
    tokio::spawn(async move {
        sender.send_data(sent).await.unwrap();
        let mut trailers = hyper::HeaderMap::new();
        trailers.insert("x-check", hyper::header::HeaderValue::from_static("1"));
        sender.send_trailers(trailers).await.unwrap();
    });
    let answer = stack.answer(stack.envoy.send(request).await.unwrap());
    answer.expect("small", "score");
    assert_eq!(answer.upstream.body, body.replace("\"auto\"", "\"llama-3.1-8b\""));
}

#[tokio::test]
async fn what_cant_be_read_goes_to_large_unchanged() {
    let stack = Stack::start(|setup| setup).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(chat("auto", "score 0.9").as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let answer = stack.send(CHAT, gzip.clone(), &[("content-encoding", "gzip")]).await;
    assert_eq!(answer.expect("large", "encoded_body").upstream.body, gzip);
    // Compressed, but the client forgot to say so.
    let answer = stack.send(CHAT, gzip.clone(), &[]).await;
    assert_eq!(answer.expect("large", "unparsable").upstream.body, gzip);

    let bodies: [&[u8]; 6] = [
        b"",
        b"{",
        b"not json",
        b"null",
        b"{\"model\":\"auto\",\"messages\":[]}, ",
        b"{\"model\":\"auto\",\"model\":\"auto\",\"messages\":[]}",
    ];
    for body in bodies {
        let answer = stack.send(CHAT, body, &[]).await;
        assert_eq!(answer.expect("large", "unparsable").upstream.body, body);
    }
    assert_eq!(stack.counted(&[("reason", "unparsable")]).await, 7.0);
    assert_eq!(stack.counted(&[("reason", "encoded_body")]).await, 1.0);

    // Nothing to score, but the alias is made a real name all the same.
    let image = json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]);
    for content in [json!(""), json!(" \n\t"), json!(null), image] {
        let body = json!({"model": "auto", "messages": [{"role": "user", "content": content}]}).to_string();
        let answer = stack.send(CHAT, body.clone(), &[]).await;
        answer.expect("large", "no_text");
        assert_eq!(answer.upstream.body, body.replace("\"auto\"", "\"gpt-4.1\""));
    }
    assert!(stack.scorer.take().is_empty(), "the scorer is not asked");
}

/// An alias is replaced wherever the body is one JSON object with a model in it, of the path's API or not.
#[tokio::test]
async fn a_body_of_another_api_keeps_no_alias() {
    let stack = Stack::start(|setup| {
        let code = json!({
            "small": {"cluster": "llama-8b", "model": "coder-7b"}, "large": {"cluster": "gpt", "model": "coder-xl"},
            "models": ["auto-code"], "dial": {"threshold": 0.3},
        });
        setup.plugin("/pairs/code", code).routes(&[Route::new("both", "/", json!({"pair": "chat, code"}))])
    })
    .await;
    let of_responses = json!({
        "instructions": "You are a coding agent.", "model": "MODEL",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "score 0.9 What is the capital of Peru?"}]}],
    });
    let body = |model: &str| of_responses.to_string().replace("MODEL", model);
    for path in [CHAT, "/v1/messages", "/v1/completions"] {
        for (alias, model) in [("auto", "gpt-4.1"), ("auto-code", "coder-xl")] {
            let answer = stack.send(path, body(alias), &[]).await;
            assert_eq!(answer.expect("large", "unparsable").upstream.body, body(model), "{path}");
            assert_eq!(answer.reply.header("x-hybrid-llm-model"), model);
            assert_eq!(answer.upstream.headers["content-length"], body(model).len().to_string());
        }
    }
    // A model of its own goes to the cluster that has it, as it came.
    for (model, by) in [("coder-7b", "small"), ("gpt-4.1-mini", "large")] {
        let answer = stack.send(CHAT, body(model), &[]).await;
        assert_eq!((answer.by, answer.reply.header("x-hybrid-llm-reason")), (by, ""), "{model}");
        assert_eq!(answer.upstream.body, body(model));
    }
    // Text that turns out not to be UTF-8.
    let bytes = |model: &str| {
        let head = format!("{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"");
        [head.as_bytes(), b"\xff\xfe\"}]}"].concat()
    };
    let answer = stack.send(CHAT, bytes("auto"), &[]).await;
    assert_eq!(answer.expect("large", "unparsable").upstream.body, bytes("gpt-4.1"));
    assert!(stack.scorer.take().is_empty(), "the scorer is not asked");
}

#[tokio::test]
async fn a_streamed_answer_arrives_in_pieces_as_sent() {
    let stack = Stack::start(|setup| setup).await;
    let request = json!({"model": "auto", "stream": true, "messages": [{"role": "user", "content": "score 0.9"}]});
    // Each piece leaves the model only once the client holds the one before it: a filter that buffered would hang here.
    stack.small.release_piece();
    let response = open(&stack.envoy.listener, post(CHAT, request.to_string(), &[])).await.unwrap();
    assert_eq!(response.headers()["x-hybrid-llm-tier"], "small");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut text = String::new();
    for piece in 0..STREAMED_PIECES {
        let want = format!("piece {piece} ");
        while !text.contains(&want) {
            let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("a piece in time");
            text += std::str::from_utf8(frame.unwrap().unwrap().data_ref().unwrap()).unwrap();
        }
        stack.small.release_piece();
    }
    let rest = tokio::time::timeout(PATIENCE, body.collect()).await.expect("the end in time").unwrap();
    text += std::str::from_utf8(&rest.to_bytes()).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(text.contains("llama-3.1-8b"));
}

#[tokio::test]
async fn a_body_that_is_late_is_released_to_large() {
    let stack = Stack::start(|setup| setup.plugin("/body_timeout_ms", json!(300))).await;
    let body = chat("auto", "score 0.9");
    let (mut sender, channel) = Channel::<Bytes, Infallible>::new(1);
    let request = Request::post(CHAT).header("host", "rig").header("content-length", body.len());
    let response = tokio::spawn({
        let listener = stack.envoy.listener.clone();
        async move { http::send(&listener, request.body(channel).unwrap()).await.unwrap() }
    });
    let (head, tail) = body.split_at(20);
    sender.send_data(Bytes::copy_from_slice(head.as_bytes())).await.unwrap();
    // The counter says when the filter has let the request go; only then does the rest follow.
    let released = async || (stack.counted(&[("reason", "body_timeout")]).await == 1.0).then_some(());
    until("a request that is released", released).await;
    sender.send_data(Bytes::copy_from_slice(tail.as_bytes())).await.unwrap();
    drop(sender);
    let answer = stack.answer(response.await.unwrap());
    assert_eq!(answer.expect("large", "body_timeout").upstream.body, body);
}

#[tokio::test]
async fn without_stop_iteration_on_headers_requests_are_released_not_hung() {
    let stack = Stack::start(|setup| {
        setup.wasm("/allow_on_headers_stop_iteration", json!(false)).plugin("/body_timeout_ms", json!(300))
    })
    .await;
    let body = chat("auto", "score 0.9");
    let answer = stack.send(CHAT, body.clone(), &[]).await;
    assert_eq!(answer.expect("large", "body_timeout").upstream.body, body);
}

/// A conversation of 200 turns is held in the VM's memory, and as few copies of it as there have to be.
#[tokio::test]
async fn a_long_conversation_takes_a_few_times_its_size() {
    let window = json!(1_000_000);
    let stack = Stack::start(|setup| {
        let breaker = json!({"failures": 1, "open_ms": 1});
        setup.plugin("/pairs/chat/small/context_tokens", window).plugin("/scorer/breaker", breaker)
    })
    .await;
    let mut grown = Vec::new();
    for size in [1_000, 250_000, 500_000, 1_000_000] {
        let turns = (0..200).map(|turn| {
            let role = if turn % 2 == 0 { "user" } else { "assistant" };
            json!({"role": role, "content": format!("score 0.9 {}", "said before, ".repeat(size / 200 / 13))})
        });
        let body = json!({"messages": turns.collect::<Vec<_>>(), "model": "auto"}).to_string();
        stack.send(CHAT, body.clone(), &[]).await.expect("small", "score");
        // The filter's clock tells of it. By the same clock an open breaker tries again, and so it has ticked then.
        stack.ask("status 500").await.expect("large", "scorer_error");
        let ticked = async || (stack.ask("score 0.9").await.by == "small").then_some(());
        until("a tick", ticked).await;
        grown.push((body.len() / 1024, stack.envoy.vm_memory_kib().unwrap()));
    }
    println!("KiB of body, KiB of VM memory: {grown:?}");
    let (_, empty) = grown[0];
    for (body, memory) in &grown[1..] {
        assert!(memory - empty <= 3 * body, "{grown:?}");
    }
}
