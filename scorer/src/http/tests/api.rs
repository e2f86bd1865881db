//! Every endpoint and every error.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::channel::Channel;
use hyper::{Method, Request};
use serde_json::json;

use super::{client::Client, *};

#[tokio::test]
async fn a_score_comes_with_its_share_and_bounded_drop() {
    let (server, _stage) = Server::ready().await;
    let mut client = server.client().await;
    let answer = client.score("query 0.5").await;
    assert_eq!(answer.status, 200);
    let expected = json!({
        "score": 0.5, "small_share": 0.375, "quality_drop": 0.0625, "router": "default", "version": "7"
    });
    assert_eq!(answer.json(), expected);
    let below = client.score("query 0.125").await.json();
    let expected = json!({"score": 0.125, "small_share": 1.0, "router": "default", "version": "7"});
    assert_eq!(below, expected, "no drop was measured below the table");
}

#[tokio::test]
async fn a_router_is_chosen_by_name_and_what_it_does_not_know_is_left_out() {
    let (server, _stage) = Server::ready().await;
    let mut client = server.client().await;
    let body = json!({"router": "plain", "query": "query 0.5", "later": {"unknown": true}});
    let answer = client.post("/v1/score", &body.to_string()).await;
    let expected = json!({"score": 0.5, "router": "plain", "version": "7"});
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn a_batch_is_answered_in_order_even_when_it_is_longer_than_the_queue() {
    let (server, _stage) = Server::ready().await;
    let queries: Vec<String> = (0..50).map(|n| format!("query {}", f64::from(n) / 64.0)).collect();
    let mut client = server.client().await;
    // 50 queries do not fit a thousand bytes in one request.
    for half in queries.chunks(25) {
        let body = json!({"queries": half}).to_string();
        let answer = client.post("/v1/score/batch", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!(answer["router"], "default");
        let results = answer["results"].as_array().unwrap();
        let scores: Vec<_> = results.iter().map(|result| result["score"].clone()).collect();
        let expected: Vec<_> = half.iter().map(|query| json!(query[6..].parse::<f64>().unwrap())).collect();
        assert_eq!(scores, expected);
        assert!(results[24]["small_share"].is_number());
    }
}

#[tokio::test]
async fn bad_input_is_400_and_says_why() {
    let (server, _stage) = Server::ready().await;
    let mut client = server.client().await;
    let many = json!({"queries": vec![""; 1025]}).to_string();
    let cases = [
        ("/v1/score", "{", "bad_json"),
        ("/v1/score", r#"{"query": 1}"#, "bad_json"),
        ("/v1/score", r#"{"router": "default"}"#, "missing_query"),
        ("/v1/score", r#"{"query": null}"#, "missing_query"),
        ("/v1/score", r#"{"query": " \n"}"#, "empty_query"),
        ("/v1/score/batch", r#"{"queries": "one"}"#, "bad_json"),
        ("/v1/score/batch", r#"{"query": "one"}"#, "missing_query"),
        ("/v1/score/batch", r#"{"queries": []}"#, "empty_query"),
        ("/v1/score/batch", r#"{"queries": ["a", ""]}"#, "empty_query"),
        ("/v1/score/batch", &many, "too_large"),
    ];
    for (path, body, code) in cases {
        let answer = client.post(path, body).await;
        let status = if code == "too_large" { 413 } else { 400 };
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path} {body}");
        assert_eq!(answer.retry_after(), None);
    }
}

#[tokio::test]
async fn unknown_routers_paths_and_methods_are_told_apart() {
    let (server, _stage) = Server::ready().await;
    let mut client = server.client().await;
    let body = r#"{"router": "other", "query": "q"}"#;
    let answer = client.post("/v1/score", body).await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "unknown_router"));
    let answer = client.get("/v2/score").await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"));
    for (method, path, allow) in [
        (Method::GET, "/v1/score", "POST"),
        (Method::PUT, "/v1/score/batch", "POST"),
        (Method::POST, "/v1/routers", "GET, HEAD"),
        (Method::POST, "/readyz", "GET, HEAD"),
    ] {
        let answer = client.request(method, path, "").await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"));
        assert_eq!(answer.headers["allow"], allow);
    }
    let head = client.request(Method::HEAD, "/healthz", "").await;
    assert_eq!((head.status, head.text()), (200, ""));
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_with_and_without_a_length() {
    let (server, _stage) = Server::ready().await;
    let large = "x".repeat(1001);
    let answer = server.client().await.post("/v1/score", &large).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"));

    let (mut sender, body) = Channel::<Bytes, Infallible>::new(2);
    for _ in 0..2 {
        sender.send_data(Bytes::from(vec![b'x'; 600])).await.unwrap();
    }
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = "/v1/score".parse().unwrap();
    let answer = Client::tcp(server.address).await.send(request).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"));
}

#[tokio::test]
async fn an_overloaded_scorer_answers_429_with_retry_after() {
    let (server, mut stage) = Server::ready().await;
    let held = server.begin("hold").await;
    stage.held().await;
    let waiting = server.begin("waiting").await;
    server.until("hybrid_llm_scorer_queue_jobs 1").await;
    let answer = server.client().await.score("refused").await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "overloaded"));
    assert!(answer.retry_after().unwrap() >= 1);
    stage.release();
    assert_eq!(held.await.unwrap().status, 200);
    assert_eq!(waiting.await.unwrap().status, 200);
    server.until("hybrid_llm_scorer_refused_total{reason=\"queue_full\"} 1").await;
}

#[tokio::test]
async fn a_deadline_from_envoy_is_kept() {
    let (server, mut stage) = Server::ready().await;
    let mut client = server.client().await;
    let body = r#"{"query": "hold"}"#;
    let answer = client.with_deadline(Method::POST, "/v1/score", body, Some(30)).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "deadline_exceeded"));
    assert_eq!(answer.retry_after(), Some(1));
    stage.held().await;
    stage.release();
    assert_eq!(client.score("query 0.5").await.status, 200, "the connection lives on");
}

#[tokio::test]
async fn a_model_that_fails_is_500_and_the_next_query_is_scored() {
    let (server, _stage) = Server::ready().await;
    let mut client = server.client().await;
    for query in ["fail", "panic", "garble"] {
        let answer = client.score(query).await;
        assert_eq!((answer.status, answer.code().as_str()), (500, "internal"));
    }
    assert_eq!(client.score("query 0.5").await.status, 200);
}

#[tokio::test]
async fn routers_are_listed_with_what_a_dial_can_rely_on() {
    let (server, _stage) = Server::ready().await;
    let answer = server.client().await.get("/v1/routers").await.json();
    let routers = answer["routers"].as_array().unwrap();
    assert_eq!(routers.len(), 2);
    insta::assert_snapshot!(routers[0], @r#"{"calibration":{"bounded":true,"quality_drop":true,"rows":2,"small_share":true},"encoder":"scripted","label":"prob","large":"l","max_tokens":64,"metrics":null,"name":"default","output":"sigmoid","relaxation":null,"small":"s","trained_on":null,"version":"7"}"#);
}

#[tokio::test]
async fn metrics_count_requests_and_scores_but_not_probes() {
    let (server, _stage) = Server::ready().await;
    let mut client = server.client().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(client.get(path).await.status, 200);
    }
    client.score("query 0.5").await;
    client.score("query 0.5").await;
    client.get("/nowhere/near").await;
    let answer = client.get("/metrics").await;
    assert_eq!(answer.headers["content-type"], crate::metrics::CONTENT_TYPE);
    let requests: Vec<_> =
        answer.text().lines().filter(|line| line.starts_with("hybrid_llm_scorer_requests_total")).collect();
    assert_eq!(
        requests,
        [
            r#"hybrid_llm_scorer_requests_total{code="200",endpoint="score"} 2"#,
            r#"hybrid_llm_scorer_requests_total{code="404",endpoint="other"} 1"#,
        ]
    );
    for line in [
        r#"hybrid_llm_scorer_ready 1"#,
        r#"hybrid_llm_scorer_scores_total{router="default"} 2"#,
        r#"hybrid_llm_scorer_score_bucket{router="default",le="0.5"} 2"#,
        r#"hybrid_llm_scorer_cache_total{result="hit"} 1"#,
        r#"hybrid_llm_scorer_cache_total{result="miss"} 1"#,
        r#"hybrid_llm_scorer_tokens_total 9"#,
        r#"hybrid_llm_scorer_batch_size_count 1"#,
    ] {
        assert!(answer.text().lines().any(|found| found == line), "{line} in\n{}", answer.text());
    }
}
