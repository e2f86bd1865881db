//! Endpoints behind a proxy that the environment names.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use super::{
    Place,
    endpoint::{Act, Endpoint, run},
    words::certified,
};

/// Starts a proxy for tunnels that wants a login. Gives its address, and what it was asked for.
async fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(tunnel(stream, Arc::clone(&log)));
        }
    });
    (address, asked)
}

async fn tunnel(stream: TcpStream, log: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while head.last().is_none_or(|line: &String| !line.trim().is_empty()) {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        head.push(line.to_lowercase());
    }
    log.lock().unwrap().push(head[0].trim().to_owned());
    // Of the user "me" with the password "pass".
    if !head.iter().any(|line| line.trim() == "proxy-authorization: basic bwu6cgfzcw==") {
        stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
        return;
    }
    let to = head[0].split(' ').nth(1).unwrap();
    let mut server = TcpStream::connect(to).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environments_proxy_is_used_for_https() {
    let (tls, roots_pem) = certified();
    let secure = Endpoint::start_with(|_, _| async { Act::Say("a".to_owned()) }, Some(tls)).await;
    let plain = Endpoint::plain("large").await;
    let (address, asked) = proxy().await;
    let host = secure.url.strip_prefix("https://").unwrap().strip_suffix("/v1").unwrap().to_owned();
    let place = Place::new(1);
    let roots = place.folder.path().join("roots.pem");
    fs::write(&roots, roots_pem).unwrap();
    let args = place.args(&secure.url, &plain.url, &["--samples", "1", "--retries", "0"]);
    let collect = async |proxy: &str, no_proxy: &str| {
        let _ = fs::remove_file(&place.out);
        asked.lock().unwrap().clear();
        let env = [("SSL_CERT_FILE", roots.to_str().unwrap()), ("HTTPS_PROXY", proxy), ("NO_PROXY", no_proxy)];
        let outcome = run(&args, &env).await;
        (outcome, asked.lock().unwrap().clone())
    };

    let (outcome, tunnels) = collect(&format!("http://me:pass@{address}"), "").await;
    assert_eq!((outcome.code, place.recorded().len()), (Some(0), 2), "{outcome:?}");
    assert_eq!(tunnels, [format!("connect {host} http/1.1")], "one tunnel, and none for plain HTTP");

    let (outcome, tunnels) = collect(&format!("http://me:pass@{address}"), "localhost").await;
    assert_eq!((outcome.code, tunnels.len()), (Some(0), 0), "{outcome:?}");

    let (outcome, tunnels) = collect(&format!("http://me:wrong@{address}"), "").await;
    assert_eq!((outcome.code, tunnels.len()), (Some(1), 1), "{outcome:?}");
    assert!(outcome.stdout.contains("proxy authorization required"), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("wrong"), "no password is shown: {outcome:?}");

    let (outcome, _) = collect("socks5://me:secret@127.0.0.1:1080", "").await;
    let error = "error: the proxy's URL begins with socks5://, which is not spoken: set HTTPS_PROXY to a URL that begins \
                 with http://, or NO_PROXY to the endpoint's host\n";
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), error));
}
