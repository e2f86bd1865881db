//! The HTTP headers that the filter reads, sets and strips.

use crate::api::Api;
use crate::decision::{Reason, Tier};
use crate::dial::{Dial, DialParts};
use crate::policy::Policy;

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
/// On the response to a client that wished for a tier or a dial: what became of the wish.
pub const OVERRIDE: &str = "x-hybrid-llm-override";

/// The headers of this project among those of an upstream's response, to be removed before ours are set: what a client or a
/// log reads under these names is to be what this filter decided.
pub fn forged<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut ours: Vec<_> = names.into_iter().filter(|name| name.starts_with(PREFIX)).map(str::to_owned).collect();
    ours.dedup();
    ours
}

/// What a client asks for by header.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Overrides {
    /// `x-hybrid-llm-tier`.
    pub tier: Option<Tier>,
    /// `x-hybrid-llm-threshold`, `-small-share` or `-quality-drop`.
    pub dial: Option<Dial>,
}

/// What became of a client's wishes, for the response header [`OVERRIDE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverrideNote {
    /// They are honoured as they are.
    Taken,
    /// The dial was brought within the pair's limits.
    Clamped,
    /// They would have been honoured, but something else decided: the prompt's length, its conversation, a scorer that did
    /// not answer.
    Unused,
    /// A value makes no sense, or there are two dials; what makes no sense is ignored.
    BadValue,
    /// The pair does not let requests override, or not by this header, or the route is in shadow mode.
    NotAllowed,
}

impl OverrideNote {
    /// The word used in the header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Clamped => "clamped",
            Self::Unused => "unused",
            Self::BadValue => "bad_value",
            Self::NotAllowed => "not_allowed",
        }
    }

    /// What there is to tell once the request is decided.
    #[must_use]
    pub fn after(self, decided: Reason) -> Self {
        let by_wish = matches!(decided, Reason::Forced | Reason::Score | Reason::Explore);
        match self {
            Self::Taken | Self::Clamped if !by_wish => Self::Unused,
            _ => self,
        }
    }
}

/// The client's wishes as they were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Wishes {
    overrides: Overrides,
    /// A value makes no sense.
    bad: bool,
    /// There is any wish at all.
    any: bool,
}

impl Wishes {
    /// What of the wishes a request on this route gets, and what to tell the client; nothing when it wished for nothing.
    #[must_use]
    pub fn granted(self, policy: &Policy) -> (Overrides, Option<OverrideNote>) {
        if !self.any {
            return (Overrides::default(), None);
        }
        if !policy.pair.allow_override || policy.shadow {
            return (Overrides::default(), Some(OverrideNote::NotAllowed));
        }
        let (asked, limits) = (self.overrides, &policy.pair.override_limits);
        let granted = Overrides {
            tier: asked.tier.filter(|_| limits.is_free()),
            dial: asked.dial.and_then(|dial| limits.apply(dial)),
        };
        let note = match () {
            () if self.bad => OverrideNote::BadValue,
            () if granted.tier != asked.tier || granted.dial.is_some() != asked.dial.is_some() => {
                OverrideNote::NotAllowed
            }
            () if granted.dial != asked.dial => OverrideNote::Clamped,
            () => OverrideNote::Taken,
        };
        (granted, Some(note))
    }
}

/// What the filter needs of a request's headers.
#[derive(Debug, Default, PartialEq)]
pub struct RequestHead {
    /// The LLM API, when the request speaks one.
    pub api: Option<Api>,
    /// The path with its query string; empty where it is not UTF-8.
    pub path: String,
    /// `content-length`, when it is there and a number.
    pub content_length: Option<u64>,
    /// The body is compressed (`content-encoding` other than `identity`).
    pub encoded: bool,
    /// The cluster that the request goes to unless told otherwise: set by the proxy's own configuration before its route
    /// is chosen (see envoy/envoy.yaml), whatever the client sent.
    pub cluster: Vec<u8>,
    /// What the client asks for.
    pub wishes: Wishes,
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
                "content-length" => head.content_length = number(value),
                "content-encoding" => head.encoded |= !(value.is_empty() || value.eq_ignore_ascii_case(b"identity")),
                CLUSTER => head.cluster = value.to_vec(),
                _ if name.starts_with(PREFIX) => {
                    match name.get(PREFIX.len()..) {
                        Some("tier") => head.wishes.wish(Tier::parse(value), |wishes| &mut wishes.overrides.tier),
                        Some("threshold") => head.wishes.turn(number(value), &mut dial.threshold),
                        Some("small-share") => head.wishes.turn(number(value), &mut dial.small_share),
                        Some("quality-drop") => head.wishes.turn(number(value), &mut dial.quality_drop),
                        _ => {}
                    }
                    head.forged.push(name.to_owned());
                }
                _ => {}
            }
        }
        head.api = Api::recognise(method, path).filter(|api| may_be_json(*api, kind));
        head.path = std::str::from_utf8(path).unwrap_or_default().to_owned();
        match Dial::from_parts(dial) {
            Ok(dial) => head.wishes.overrides.dial = dial,
            Err(_) => head.wishes.bad = true,
        }
        head
    }
}

impl Wishes {
    fn wish<T>(&mut self, value: Option<T>, place: impl FnOnce(&mut Self) -> &mut Option<T>) {
        self.any = true;
        self.bad |= value.is_none();
        *place(self) = value;
    }

    fn turn(&mut self, value: Option<f64>, dial: &mut Option<f64>) {
        self.any = true;
        self.bad |= value.is_none();
        *dial = value;
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
