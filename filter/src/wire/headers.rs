//! The HTTP headers that the filter reads, sets and strips.

use crate::config::{DialParts, RequestedOverrides};
use crate::decision::AnnouncedBody;
use crate::request::api::Api;
use crate::terms::{HEADER_PREFIX, Tier};

/// Tells Envoy's router the cluster (a `cluster_header` route).
pub const CLUSTER: &str = "x-hybrid-llm-cluster";
/// On the response: `small` or `large`. From a client that may override: the tier it wants.
pub const TIER: &str = "x-hybrid-llm-tier";
/// On the response: why the request went there.
pub const REASON: &str = "x-hybrid-llm-reason";
/// On the response: the query's score, when there is one.
pub const SCORE: &str = "x-hybrid-llm-score";
/// On the response: the model that was asked.
pub const MODEL: &str = "x-hybrid-llm-model";
/// On the response to a client that sent a tier or a dial: what became of it.
pub const OVERRIDE: &str = "x-hybrid-llm-override";

/// The headers of this project among those of an upstream's response, to be removed before ours are set: what a client or a
/// log reads under these names is to be what this filter decided.
pub fn forged<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut ours: Vec<_> =
        names.into_iter().filter(|name| name.starts_with(HEADER_PREFIX)).map(str::to_owned).collect();
    ours.dedup();
    ours
}

/// What the filter needs of a request's headers.
#[derive(Debug, Default, PartialEq)]
pub struct RequestHead {
    /// The LLM API, when the request speaks one.
    pub api: Option<Api>,
    /// The path with its query string; empty where it is not UTF-8.
    pub path: String,
    /// What is said of the body.
    pub body: AnnouncedBody,
    /// The cluster that the request goes to unless told otherwise: set by the proxy's own configuration before its route
    /// is chosen (see envoy/envoy.yaml), whatever the client sent.
    pub cluster: Vec<u8>,
    /// What the client asks for.
    pub requested: RequestedOverrides,
    /// Names of this project's headers that the client sent, to be removed.
    pub forged: Vec<String>,
}

impl RequestHead {
    /// Reads the headers as the proxy lists them: lower-case names, pseudo-headers included.
    pub fn read<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut head = Self::default();
        let (mut method, mut path): (&[u8], &[u8]) = (b"", b"");
        let (mut dial, mut kind): (_, &[u8]) = (DialParts::default(), b"");
        for (name, value) in headers {
            match name {
                ":method" => method = value,
                ":path" => path = value,
                "content-type" => kind = value,
                "content-length" => head.body.length = number(value),
                "content-encoding" => {
                    head.body.is_encoded |= !(value.is_empty() || value.eq_ignore_ascii_case(b"identity"))
                }
                CLUSTER => head.cluster = value.to_vec(),
                _ if name.starts_with(HEADER_PREFIX) => {
                    match name.get(HEADER_PREFIX.len()..) {
                        Some("tier") => head.requested.set_tier(Tier::parse(value)),
                        Some("threshold") => head.requested.set_dial(number(value), &mut dial.threshold),
                        Some("small-share") => head.requested.set_dial(number(value), &mut dial.small_share),
                        Some("quality-drop") => head.requested.set_dial(number(value), &mut dial.quality_drop),
                        _ => {}
                    }
                    head.forged.push(name.to_owned());
                }
                _ => {}
            }
        }
        head.api = Api::recognise(method, path).filter(|api| may_be_json(*api, kind));
        head.path = std::str::from_utf8(path).unwrap_or_default().to_owned();
        head.requested.finish(dial);
        head
    }
}

/// Whether a body of this type may be JSON. `application/json`, with parameters or without; the `+json` types; no type at
/// all, which HTTP leaves to the reader; and plain bytes where a vendor's own SDK calls its JSON so.
fn may_be_json(api: Api, content_type: &[u8]) -> bool {
    let kind = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let kind = kind.to_ascii_lowercase();
    let is_bytes = api == Api::BedrockInvoke && kind == b"application/octet-stream";
    kind.is_empty() || kind.ends_with(b"/json") || kind.ends_with(b"+json") || is_bytes
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
