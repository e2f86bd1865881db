//! Why a request went where it went: the closed set of reasons.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+) => {
        /// Why a request went where it went: a closed set, used in the response header and as a counter's label.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[doc = $doc])+ $variant,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word used in headers and counters.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

reasons! {
    /// By the score and the dial.
    Score = "score",
    /// Shadow mode: scored and recorded, sent to large.
    Shadow = "shadow",
    /// The client set the tier, and may.
    Forced = "forced",
    /// The prompt does not fit the small model's context window.
    Context = "context",
    /// Only one of the models can do what the request needs: see images, call tools, and so on.
    Capability = "capability",
    /// The request's conversation went there before.
    Affinity = "affinity",
    /// It continues a tool loop, signed reasoning or a stored conversation that is not remembered.
    ToolLoop = "tool_loop",
    /// Scored, and then sent to the other tier at random.
    Explore = "explore",
    /// The scored turns hold images, recordings or files, which the router can't read; or earlier turns do, and the
    /// small model is not known to read them.
    NonText = "non_text",
    /// The body is over `max_body_bytes`.
    BodyTooLarge = "body_too_large",
    /// The body is compressed.
    EncodedBody = "encoded_body",
    /// The body is not a request of the API.
    Unparsable = "unparsable",
    /// The request holds no text to score.
    NoText = "no_text",
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout",
    /// The route's metadata is wrong.
    RouteConfig = "route_config",
    /// The request took a route, or went to a cluster, that it was not decided for.
    RouteMismatch = "route_mismatch",
    /// The scorer did not answer in time.
    Timeout = "timeout",
    /// No connection to the scorer.
    ScorerUnreachable = "scorer_unreachable",
    /// The scorer answered with an error.
    ScorerError = "scorer_error",
    /// The scorer's answer holds no usable score.
    BadScore = "bad_score",
    /// The scorer refused: it has more to do than it can in time.
    Overloaded = "overloaded",
    /// The scorer failed often and is left alone for a moment.
    BreakerOpen = "breaker_open",
}
