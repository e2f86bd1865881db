//! The HTTP transport: TLS for https URLs, through the proxy that the environment names.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, Uri, body::Incoming};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::{
        legacy::{
            self,
            connect::{HttpConnector, proxy::Tunnel},
        },
        proxy::matcher::Matcher,
    },
    rt::{TokioExecutor, TokioTimer},
};

/// How long a connection that is not used is kept.
const IDLE: Duration = Duration::from_secs(30);

type Http<C> = legacy::Client<HttpsConnector<C>, Full<Bytes>>;

/// A pool of connections to one endpoint.
#[derive(Debug)]
pub(super) enum Transport {
    /// Straight to the endpoint.
    Direct(Http<HttpConnector>),
    /// Through a tunnel that a proxy makes: it sees the host's name, and nothing else.
    Tunnelled(Http<Tunnel<HttpConnector>>),
}

impl Transport {
    /// Prepares connections to the host of `url`, through the proxy of `HTTPS_PROXY` or `ALL_PROXY` where the URL begins with
    /// `https` and `NO_PROXY` does not hold its host.
    ///
    /// # Errors
    /// An `https` URL on a machine without root certificates, or a proxy that is not spoken to over plain HTTP.
    pub(super) fn new(url: &Uri, connect_timeout: Duration) -> io::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        let secure = url.scheme_str() == Some("https");
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls_config(secure)?).https_or_http().enable_http1();
        let mut client = legacy::Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        let Some(proxy) = Matcher::from_env().intercept(url).filter(|_| secure) else {
            return Ok(Self::Direct(client.build(connector.wrap_connector(tcp))));
        };
        if let Some(scheme) = proxy.uri().scheme_str().filter(|scheme| *scheme != "http") {
            let mend = "set HTTPS_PROXY to a URL that begins with http://, or NO_PROXY to the endpoint's host";
            return Err(io::Error::other(format!(
                "the proxy's URL begins with {scheme}://, which is not spoken: {mend}"
            )));
        }
        let tunnel = Tunnel::new(proxy.uri().clone(), tcp);
        let tunnel = match proxy.basic_auth() {
            Some(login) => tunnel.with_auth(login.clone()),
            None => tunnel,
        };
        Ok(Self::Tunnelled(client.build(connector.wrap_connector(tunnel))))
    }

    /// Sends one request.
    pub(super) async fn request(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, legacy::Error> {
        match self {
            Self::Direct(http) => http.request(request).await,
            Self::Tunnelled(http) => http.request(request).await,
        }
    }
}

/// TLS with the machine's root certificates, which are read only where they are needed.
fn tls_config(roots: bool) -> io::Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?;
    let builder = if roots {
        builder.with_native_roots().map_err(|error| {
            let mend = "install ca-certificates, or set SSL_CERT_FILE to a file of them";
            io::Error::other(format!("https needs root certificates, and this machine has none ({error}): {mend}"))
        })?
    } else {
        builder.with_root_certificates(rustls::RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}
