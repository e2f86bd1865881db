//! What the operator wrote: the plugin's configuration and the routes' metadata, checked and turned into objects that need no
//! further checks.

mod affinity;
mod dial;
mod dial_limits;
mod error;
mod explore;
mod overrides;
mod pair;
mod plugin;
mod query;
mod refusals;
mod route;
mod source;
mod target;

pub use affinity::Affinity;
pub use dial::{Dial, DialError, DialParts};
pub use dial_limits::{DialLimits, DialRange};
pub use error::ConfigError;
pub use explore::Explore;
pub use overrides::{OverrideNote, Overrides, RequestedOverrides};
pub use pair::Pair;
pub use plugin::{BreakerPolicy, Config, Memory, Scorer, TICK};
pub use refusals::{HeaderMatch, Refusals};
pub use route::{
    HasNull, ResolvedRoute, RouteError, RouteMetadata, RoutePolicy, pair_names, readable as readable_route,
};
pub use target::Target;
