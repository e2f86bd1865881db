//! What the files in `envoy/` promise beyond routing: their limits, and the examples that lie beside them.

use crate::stack::{CHAT, Stack, chat};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::channel::Channel;
use hybrid_llm_tests::envoy::Setup;
use hybrid_llm_tests::http::{Reply, get, post, send};
use hybrid_llm_tests::upstream::{StandIn, reply};
use hybrid_llm_tests::wait::until;
use hyper::Request;
use serde_json::json;
use std::convert::Infallible;
use std::io::Write;

/// A listener ends what is idle for five minutes, unless a route says otherwise. Here it is a second, and a route without an
/// idle timeout of its own shows when it is over.
#[tokio::test]
async fn an_answer_may_take_longer_than_the_listeners_idle_timeout() {
    let thinking = StandIn::start(|_, pieces| async move {
        pieces.acquire().await.expect("open").forget();
        reply(200, r#"{"object":"chat.completion"}"#)
    })
    .await;
    let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    let stack = Stack::start(|setup| {
        let setup = setup.cluster("gpt", &thinking.endpoint());
        setup.bootstrap(&format!("{manager}/stream_idle_timeout"), json!("1s")).change_routes(|routes| {
            let mut bare = routes[0].clone();
            bare["match"] = json!({"prefix": "/bare/"});
            assert!(bare["route"].as_object_mut().unwrap().remove("idle_timeout").is_some(), "the reference sets one");
            routes.insert(0, bare);
        })
    })
    .await;
    let listener = stack.envoy.listener.clone();
    let slow = tokio::spawn(async move { send(&listener, post(CHAT, chat("auto", "score 0.1"), &[])).await.unwrap() });
    until("a request at the model", async || thinking.take().pop()).await;
    // Its last sign of life is younger than that of the first, and the listener's timeout ends it.
    let bare = stack.envoy.send(post(&format!("/bare{CHAT}"), chat("auto", "score 0.1"), &[])).await.unwrap();
    assert_eq!((bare.status, bare.text().as_str()), (504, "stream timeout"));
    assert!(!slow.is_finished(), "the reference's own route still waits");
    (0..2).for_each(|_| thinking.release_piece());
    let slow = slow.await.unwrap();
    assert_eq!((slow.status, slow.header("x-hybrid-llm-tier")), (200, "large"));
}

/// How much larger the decompressor lets a body become; the one below becomes about 250 times as large.
const RATIO: u32 = 1000;

/// As the README's limits have it: what Envoy inflates of one read reaches the filter in one piece, beside what is held already.
#[tokio::test]
async fn an_inflated_body_needs_room_for_a_whole_read() {
    let decompressor = json!({
        "name": "decompressor",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.decompressor.v3.Decompressor",
            "decompressor_library": {
                "name": "gzip",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.compression.gzip.decompressor.v3.Gzip",
                    "max_inflate_ratio": RATIO,
                },
            },
        },
    });
    let stack = Stack::start(|setup| setup.http_filter_before(decompressor.clone())).await;
    let (plain, zipped) = zipped_chat(500_000);
    let answer = stack.answer(send_in_two_reads(&stack, zipped).await);
    answer.expect("small", "score");
    assert_eq!(answer.upstream.body, plain.replace("\"auto\"", "\"llama-3.1-8b\""));
    let (plain, zipped) = zipped_chat(4 << 20);
    let refused = send_in_two_reads(&stack, zipped.clone()).await;
    assert_eq!(refused.status, 413, "{}", refused.text());

    let (one_read, max_body) = (16 << 10, 1 << 20);
    let roomy = |setup: Setup| {
        let listener = "/static_resources/listeners/0/per_connection_buffer_limit_bytes";
        setup.http_filter_before(decompressor).bootstrap(listener, json!(one_read)).change_routes(|routes| {
            routes[0]["request_body_buffer_limit"] = json!(max_body + RATIO * (one_read + (16 << 10)) + (64 << 10));
        })
    };
    let stack = Stack::start(roomy).await;
    let answer = stack.answer(send_in_two_reads(&stack, zipped).await);
    assert_eq!(answer.expect("large", "body_too_large").upstream.body, plain);
}

/// A chat request of about this size, and the same compressed.
fn zipped_chat(size: usize) -> (String, Bytes) {
    let body = chat("auto", &format!("score 0.9 {}", "some words ".repeat(size / 11)));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(body.as_bytes()).unwrap();
    (body, gzip.finish().unwrap().into())
}

/// Sends a compressed body of which Envoy has inflated the first eighth before it reads the rest.
async fn send_in_two_reads(stack: &Stack, mut zipped: Bytes) -> Reply {
    let inflated = async || {
        let stats =
            get(&stack.envoy.admin, "/stats?filter=decompressor.*request.*total_uncompressed_bytes").await.unwrap();
        let values = stats.text();
        values.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum::<u64>()
    };
    let before = inflated().await;
    let first = zipped.split_to(zipped.len() / 8);
    let (mut sender, channel) = Channel::<Bytes, Infallible>::new(1);
    let request = Request::post(CHAT).header("host", "rig").header("content-type", "application/json");
    let request = request.header("content-encoding", "gzip").body(channel).unwrap();
    let listener = stack.envoy.listener.clone();
    let reply = tokio::spawn(async move { send(&listener, request).await.unwrap() });
    sender.send_data(first).await.unwrap();
    until("the first piece inflated", async || (inflated().await > before).then_some(())).await;
    sender.send_data(zipped).await.unwrap();
    drop(sender);
    reply.await.unwrap()
}

/// `envoy/routes-per-tier.yaml` as it stands.
#[tokio::test]
async fn each_tier_may_have_its_own_path_and_key() {
    let stack = Stack::start(|setup| setup.routes_file("routes-per-tier.yaml")).await;
    let client = [("authorization", "Bearer the-clients"), ("x-api-key", "the-clients")];
    let tiers = [
        ("small", "score 0.9", "llama-3.1-8b", "/openai/v1/chat/completions", "Bearer SMALL-KEY"),
        ("large", "score 0.1", "gpt-4.1", "/api/v1/chat/completions", "Bearer LARGE-KEY"),
    ];
    for (tier, query, model, path, key) in tiers {
        let routed = stack.send(CHAT, chat("auto", query), &client).await;
        routed.expect(tier, "score");
        assert_eq!(routed.model(), model);
        // Whoever asks for a model by its own name reaches it by the same path and with the same key.
        let named = stack.send(CHAT, chat(model, "score 0.5"), &client).await;
        for answer in [&routed, &named] {
            assert_eq!((answer.by, answer.upstream.path.as_str()), (tier, path));
            let headers = &answer.upstream.headers;
            assert_eq!(headers["authorization"], key);
            assert!(!headers.contains_key("x-api-key") && !headers.contains_key("x-hybrid-llm-cluster"), "{headers:?}");
        }
        assert_eq!(stack.counted(&[("route", "chat"), ("pair", "chat"), ("tier", tier)]).await, 1.0);
    }
    // What is not read at all.
    let other = stack.send("/v1/embeddings", "{}", &client).await;
    assert_eq!(other.expect_untouched().upstream.headers["authorization"], "Bearer LARGE-KEY");
    assert_eq!(
        stack.send(CHAT, "{", &client).await.expect("large", "unparsable").upstream.path,
        "/api/v1/chat/completions"
    );
}
