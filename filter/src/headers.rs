//! The HTTP headers that the filter reads, sets and strips.

use crate::api::Api;
use crate::decision::Tier;
use crate::dial::{Dial, DialParts};

/// Every header of this project starts so. A client's own are removed before anything reads them.
pub const PREFIX: &str = "x-hybrid-llm-";
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

/// What a client asks for by header; honoured only where the pair allows it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Overrides {
    /// `x-hybrid-llm-tier`.
    pub tier: Option<Tier>,
    /// `x-hybrid-llm-threshold`, `-small-share` or `-quality-drop`; `None` when there is none, or when it is no
    /// fraction, or when there are two: a bad wish is ignored, never an error.
    pub dial: Option<Dial>,
}

/// What the filter needs of a request's headers.
#[derive(Debug, Default, PartialEq)]
pub struct RequestHead {
    /// The LLM API, when the request speaks one.
    pub api: Option<Api>,
    /// `content-length`, when it is there and a number.
    pub content_length: Option<u64>,
    /// The body is compressed (`content-encoding` other than `identity`).
    pub encoded: bool,
    /// The cluster that the request goes to unless told otherwise: set by the proxy's own configuration before its route
    /// is chosen (see envoy/envoy.yaml), whatever the client sent.
    pub cluster: Vec<u8>,
    /// What the client asks for.
    pub overrides: Overrides,
    /// Names of this project's headers that the client sent, to be removed.
    pub forged: Vec<String>,
}

impl RequestHead {
    /// Reads the headers as the proxy lists them: lower-case names, pseudo-headers included.
    pub fn read<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut head = Self::default();
        let (mut method, mut path): (&[u8], &[u8]) = (b"", b"");
        let mut dial = DialParts::default();
        for (name, value) in headers {
            match name {
                ":method" => method = value,
                ":path" => path = value,
                "content-length" => head.content_length = number(value),
                "content-encoding" => head.encoded |= !(value.is_empty() || value.eq_ignore_ascii_case(b"identity")),
                CLUSTER => head.cluster = value.to_vec(),
                _ if name.starts_with(PREFIX) => {
                    match name.get(PREFIX.len()..) {
                        Some("tier") => head.overrides.tier = Tier::parse(value),
                        Some("threshold") => dial.threshold = number(value),
                        Some("small-share") => dial.small_share = number(value),
                        Some("quality-drop") => dial.quality_drop = number(value),
                        _ => {}
                    }
                    head.forged.push(name.to_owned());
                }
                _ => {}
            }
        }
        head.api = Api::recognise(method, path);
        head.overrides.dial = Dial::from_parts(dial).unwrap_or_default();
        head
    }
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&str, &str)]) -> RequestHead {
        RequestHead::read(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn a_chat_request() {
        let head = read(&[(":method", "POST"), (":path", "/v1/chat/completions"), ("content-length", "700")]);
        let want = RequestHead { api: Some(Api::OpenAiChat), content_length: Some(700), ..Default::default() };
        assert_eq!(head, want);
    }

    #[test]
    fn encodings() {
        for (value, encoded) in [("gzip", true), ("br", true), ("identity", false), ("Identity", false), ("", false)] {
            assert_eq!(read(&[("content-encoding", value)]).encoded, encoded, "{value}");
        }
    }

    #[test]
    fn every_header_of_ours_is_listed_for_removal_but_the_cluster() {
        let head = read(&[
            ("x-hybrid-llm-cluster", "set by the proxy"),
            ("x-hybrid-llm-tier", "small"),
            ("x-hybrid-llm-score", "1"),
            ("x-hybrid-llm-anything", "x"),
            ("x-hybrid", "theirs"),
        ]);
        assert_eq!(head.cluster, b"set by the proxy");
        assert_eq!(head.forged, ["x-hybrid-llm-tier", "x-hybrid-llm-score", "x-hybrid-llm-anything"]);
        assert_eq!(head.overrides, Overrides { tier: Some(Tier::Small), dial: None });
    }

    #[test]
    fn bad_wishes_are_ignored() {
        assert_eq!(read(&[("x-hybrid-llm-threshold", " 0.25 ")]).overrides.dial, Some(Dial::Threshold(0.25)));
        assert_eq!(read(&[("x-hybrid-llm-small-share", "0.5")]).overrides.dial, Some(Dial::SmallShare(0.5)));
        assert_eq!(read(&[("x-hybrid-llm-quality-drop", "0")]).overrides.dial, Some(Dial::QualityDrop(0.0)));
        for bad in ["", "x", "2", "-1", "NaN", "inf"] {
            assert_eq!(read(&[("x-hybrid-llm-threshold", bad)]).overrides.dial, None, "{bad}");
        }
        let two = read(&[("x-hybrid-llm-threshold", "0.5"), ("x-hybrid-llm-small-share", "0.5")]);
        assert_eq!(two.overrides.dial, None);
        assert_eq!(read(&[("x-hybrid-llm-tier", "medium")]).overrides.tier, None);
        let raw: [(&str, &[u8]); 1] = [("x-hybrid-llm-tier", b"\xff\xfe")];
        assert_eq!(RequestHead::read(raw).overrides.tier, None);
    }
}
