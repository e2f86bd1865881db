//! Loading, draining, sockets, and clients that leave.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use super::{super::api, *};

#[tokio::test]
async fn before_the_routers_are_loaded_only_health_is_fine() {
    let server = Server::loading(Duration::ZERO, None).await;
    let mut client = server.client().await;
    assert_eq!(client.get("/healthz").await.status, 200);
    for answer in [client.get("/readyz").await, client.score("query").await, client.get("/v1/routers").await] {
        assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
        assert_eq!(answer.retry_after(), Some(1));
    }
    server.until("hybrid_llm_scorer_ready 0").await;
    let _stage = server.load();
    assert_eq!(client.get("/readyz").await.status, 200);
    assert_eq!(client.score("query 0.5").await.status, 200);
    server.until("hybrid_llm_scorer_ready 1").await;
}

#[tokio::test]
async fn a_drain_answers_what_is_under_way_and_nothing_else() {
    let (server, mut stage) = Server::ready().await;
    let mut idle = server.client().await;
    assert_eq!(idle.get("/readyz").await.status, 200);
    let held = server.begin("hold 0.25").await;
    stage.held().await;
    server.stop.send(()).unwrap();
    // The port closes once the drain has begun; the last request is still under way.
    while tokio::net::TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    for path in ["/readyz", "/v1/routers"] {
        let mut request = Request::new(Full::<Bytes>::default());
        *request.uri_mut() = path.parse().unwrap();
        let reply = api::handle(Arc::clone(&server.scorer), request).await;
        assert_eq!(reply.status(), 503, "{path} on a connection that was open");
    }
    assert!(!server.done.is_finished());
    stage.release();
    let answer = held.await.unwrap();
    assert_eq!((answer.status, answer.json()["score"].as_f64()), (200, Some(0.25)));
    server.done.await.unwrap();
}

#[tokio::test]
async fn a_drain_ends_when_its_time_is_up() {
    let server = Server::loading(Duration::from_millis(50), None).await;
    let mut stage = server.load();
    let held = server.begin("hold").await;
    stage.held().await;
    let started = Instant::now();
    server.stop.send(()).unwrap();
    server.done.await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(50));
    stage.release();
    assert_eq!(held.await.unwrap().status, 200, "the runtime still lives in this test");
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_query_along() {
    let (server, mut stage) = Server::ready().await;
    let held = server.begin("hold").await;
    stage.held().await;
    let leaver = server.begin("left").await;
    server.until("hybrid_llm_scorer_queue_jobs 1").await;
    leaver.abort();
    server.until(r#"hybrid_llm_scorer_requests_total{code="499",endpoint="score"} 1"#).await;
    stage.release();
    assert_eq!(held.await.unwrap().status, 200);
    server.until(r#"hybrid_llm_scorer_dropped_total{reason="abandoned"} 1"#).await;
    assert_eq!(stage.batches(), [["hold"]]);
}

#[tokio::test]
async fn a_unix_socket_serves_and_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scorer.sock");
    let server = Server::loading(Duration::ZERO, Some(&path)).await;
    let _stage = server.load();
    let mut client = Client::unix(&path).await;
    assert_eq!(client.score("query 0.5").await.status, 200);
    let error = Listeners::bind(None, Some(&open_to_all(&path))).await.unwrap_err();
    assert!(matches!(error, ListenError::Live { .. }), "{error}");
    server.stop.send(()).unwrap();
    server.done.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let stale = folder.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    assert!(Listeners::bind(None, Some(&open_to_all(&stale))).await.is_ok());

    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let error = Listeners::bind(None, Some(&open_to_all(&file))).await.unwrap_err();
    assert!(matches!(error, ListenError::NotASocket { .. }), "{error}");
    assert!(file.exists());
}

#[tokio::test]
async fn a_missing_directory_of_the_socket_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run/hybrid-llm/scorer.sock");
    let fault = async || {
        let error = Listeners::bind(None, Some(&open_to_all(&path))).await.unwrap_err();
        error.to_string().replace(&folder.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!(fault().await, @"cannot listen on the Unix socket DIR/run/hybrid-llm/scorer.sock: the directory DIR/run does not exist (create it with mkdir -p)");
    std::fs::create_dir(folder.path().join("run")).unwrap();
    insta::assert_snapshot!(fault().await, @"cannot listen on the Unix socket DIR/run/hybrid-llm/scorer.sock: the directory DIR/run/hybrid-llm does not exist (create it with mkdir -p)");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let server = Server::loading(Duration::ZERO, None).await;
    let error = Listeners::bind(Some(server.address), None).await.unwrap_err();
    let message = error.to_string().replace(&server.address.to_string(), "ADDRESS");
    insta::assert_snapshot!(message, @"cannot listen on ADDRESS (is another scorer running? --listen takes another port)");
}
