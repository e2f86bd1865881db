//! A route's policy: the pair, dial and mode that its metadata sets, resolved against the plugin's configuration.

use super::dial::{Dial, DialError, DialParts};
use super::pair::Pair;
use super::plugin::Config;
use std::rc::Rc;
use thiserror::Error;

/// What to do with the requests of one route.
#[derive(Debug, Clone, PartialEq)]
pub enum ResolvedRoute {
    /// The route names no pair (and nothing that may have been meant as one), or is switched off: the filter leaves its
    /// requests alone.
    NotRouted,
    /// Requests are routed, each by the first of these whose pair has the alias that it asks for.
    Routed(Vec<RoutePolicy>),
    /// The metadata is wrong. A route update can't be refused from here, so its requests go to large (where a pair
    /// at least is known) and a counter says why.
    Invalid {
        /// The pairs that the route names, as far as they exist: each still has its aliases.
        pairs: Vec<Rc<Pair>>,
        /// What is wrong, for the log.
        error: RouteError,
    },
}

/// How the requests of one route are routed.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutePolicy {
    /// The two models.
    pub pair: Rc<Pair>,
    /// The route's dial, or else the pair's.
    pub dial: Dial,
    /// Score and record, but send to large.
    pub shadow: bool,
}

/// What is wrong with a route's metadata.
#[derive(Debug, Clone, Error, PartialEq)]
pub enum RouteError {
    /// The pair is not in the plugin configuration.
    #[error("pair: {0:?} is not one of the plugin configuration's pairs")]
    UnknownPair(String),
    /// The mode is none of the three.
    #[error("mode: {0:?} is unknown; use route, shadow or off")]
    UnknownMode(String),
    /// A dial's value is not a number at all.
    #[error("{key}: {value:?} is not a number; use one from 0 to 1")]
    NotANumber {
        /// Which dial.
        key: &'static str,
        /// What was written.
        value: String,
    },
    /// A key whose value is null.
    #[error("{0}: null is no value (in YAML, neither is nothing after the colon); set one, or take the key out")]
    Null(String),
    /// A dial is out of range, or there are two.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A key that means nothing: most likely one that is misspelt.
    #[error("{0}: unknown key; there are pair, mode, threshold, small_share and quality_drop")]
    UnknownKey(String),
    /// A pair behind one that takes every request.
    #[error(
        "pair: {later:?} gets no request, since {first:?} before it has no aliases and takes them all; set its models"
    )]
    Unreachable {
        /// The pair without aliases.
        first: String,
        /// The next one.
        later: String,
    },
    /// An alias of two pairs.
    #[error(
        "pair: {later:?} never gets {alias:?}, since {first:?} before it has that alias too; leave it to one of them"
    )]
    SharedAlias {
        /// What both are asked for by.
        alias: String,
        /// The pair that gets the requests.
        first: String,
        /// The one that does not.
        later: String,
    },
    /// Neither the route nor its pair has a dial.
    #[error("pair {0:?} and its route both lack a dial; set threshold, small_share or quality_drop on either")]
    NoDial(String),
}

/// The values under `filter_metadata.hybrid_llm` of a route, as the proxy's properties give them.
#[derive(Debug, Default, PartialEq)]
pub struct RouteMetadata<'a> {
    /// Name of the pair, or names with commas between them.
    pub pair: Option<&'a [u8]>,
    /// `route`, `shadow` or `off`.
    pub mode: Option<&'a [u8]>,
    /// A dial.
    pub threshold: Option<&'a [u8]>,
    /// A dial.
    pub small_share: Option<&'a [u8]>,
    /// A dial.
    pub quality_drop: Option<&'a [u8]>,
    /// A key that is none of these.
    pub unknown: Option<&'a [u8]>,
    /// A key whose value is null.
    pub null: Option<&'a [u8]>,
}

/// The proxy can't give a map in which any value is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HasNull;

/// In the map that stands for one which the proxy can't give: behind it comes the key whose value is null.
const NULL: &str = "\0null";

/// The metadata in the proxy's form of a map, from `read_all` or else from what `read` gives of single keys: other values can be
/// had where one is null. `None` where there is no metadata.
pub fn readable(
    read_all: Result<Option<Vec<u8>>, HasNull>,
    read: impl Fn(&str) -> Result<Option<Vec<u8>>, HasNull>,
) -> Option<Vec<u8>> {
    if let Ok(map) = read_all {
        return map;
    }
    let mut entries = Vec::new();
    let mut null = "(a key that is not known, or one within another)";
    for key in ["quality_drop", "small_share", "threshold", "mode", "pair"] {
        match read(key) {
            Ok(Some(value)) => entries.push((key, value)),
            Ok(None) => {}
            Err(HasNull) => null = key,
        }
    }
    entries.push((NULL, null.as_bytes().to_vec()));
    Some(encode(&entries))
}

/// Writes the proxy's form of a map.
fn encode(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut map = number(entries.len()).to_vec();
    for (key, value) in entries {
        map.extend_from_slice(&number(key.len()));
        map.extend_from_slice(&number(value.len()));
    }
    for (key, value) in entries {
        for text in [key.as_bytes(), value] {
            map.extend_from_slice(text);
            map.push(0);
        }
    }
    map
}

impl<'a> RouteMetadata<'a> {
    /// Reads the proxy's form of a map: the count, the two lengths of each entry, then each key and value with a zero
    /// byte behind it; numbers are little-endian `u32`. Whatever follows a map that is cut short is passed
    /// over.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Self {
        let mut metadata = Self::default();
        let Some((count, rest)) = split_u32(bytes) else { return metadata };
        let Some((mut lengths, mut data)) = rest.split_at_checked((count as usize).saturating_mul(8)) else {
            return metadata;
        };
        let mut next = || {
            let ((key, rest), (value, _)) = (split_u32(lengths)?, split_u32(lengths.get(4..)?)?);
            lengths = rest.get(4..)?;
            let (key, rest) = data.split_at_checked(key as usize)?;
            let (value, rest) = rest.get(1..)?.split_at_checked(value as usize)?;
            data = rest.get(1..)?;
            Some((key, value))
        };
        while let Some((key, value)) = next() {
            match key {
                b"pair" => metadata.pair = Some(value),
                b"mode" => metadata.mode = Some(value),
                b"threshold" => metadata.threshold = Some(value),
                b"small_share" => metadata.small_share = Some(value),
                b"quality_drop" => metadata.quality_drop = Some(value),
                key if key == NULL.as_bytes() => metadata.null = Some(value),
                _ => metadata.unknown = Some(key),
            }
        }
        metadata
    }

    /// Resolves the metadata.
    #[must_use]
    pub fn resolve(&self, config: &Config) -> ResolvedRoute {
        let Some(names) = self.pair else {
            // A key that means nothing was meant to be one of ours: `pairs`, say. So was one without a value.
            return match self.no_mistaken_key() {
                Err(error) if !self.is_off() => ResolvedRoute::Invalid { pairs: Vec::new(), error },
                _ => ResolvedRoute::NotRouted,
            };
        };
        let names = String::from_utf8_lossy(names);
        match self.policies(&names, config) {
            Ok(policies) if policies.is_empty() => ResolvedRoute::NotRouted,
            Ok(policies) => ResolvedRoute::Routed(policies),
            Err(error) => {
                let pairs = pair_names(&names).filter_map(|name| config.pairs.get(name)).cloned().collect();
                ResolvedRoute::Invalid { pairs, error }
            }
        }
    }

    /// Whether the route is switched off. A bare `off` (or `on`) in YAML is a boolean, which the proxy gives as one byte.
    fn is_off(&self) -> bool {
        matches!(self.mode, Some(b"off" | [0]))
    }

    fn no_mistaken_key(&self) -> Result<(), RouteError> {
        let text = |key| String::from_utf8_lossy(key).into_owned();
        let null = self.null.map(|key| RouteError::Null(text(key)));
        let unknown = self.unknown.map(|key| RouteError::UnknownKey(text(key)));
        null.or(unknown).map_or(Ok(()), Err)
    }

    /// One policy for each pair; none where the route is switched off.
    fn policies(&self, names: &str, config: &Config) -> Result<Vec<RoutePolicy>, RouteError> {
        if self.is_off() {
            return Ok(Vec::new());
        }
        let shadow = match self.mode {
            None | Some(b"route" | [1]) => false,
            Some(b"shadow") => true,
            Some(other) => return Err(RouteError::UnknownMode(String::from_utf8_lossy(other).into_owned())),
        };
        self.no_mistaken_key()?;
        let own = Dial::from_parts(DialParts {
            threshold: number("threshold", self.threshold)?,
            small_share: number("small_share", self.small_share)?,
            quality_drop: number("quality_drop", self.quality_drop)?,
        })?;
        let policy = |name: &str| {
            let pair = config.pairs.get(name).ok_or_else(|| RouteError::UnknownPair(name.to_owned()))?;
            let dial = own.or(pair.dial).ok_or_else(|| RouteError::NoDial(name.to_owned()))?;
            Ok(RoutePolicy { pair: Rc::clone(pair), dial, shadow })
        };
        let policies = pair_names(names).map(policy).collect::<Result<Vec<RoutePolicy>, RouteError>>()?;
        all_reachable(&policies)?;
        Ok(policies)
    }
}

/// Whether every pair gets the requests for all of its aliases.
fn all_reachable(policies: &[RoutePolicy]) -> Result<(), RouteError> {
    let name = |policy: &RoutePolicy| policy.pair.name.clone();
    let mut behind = policies.iter().skip_while(|policy| !policy.pair.models.is_empty());
    if let (Some(first), Some(later)) = (behind.next(), behind.next()) {
        return Err(RouteError::Unreachable { first: name(first), later: name(later) });
    }
    for (before, later) in policies.iter().enumerate() {
        for first in policies.iter().take(before) {
            if let Some(alias) = later.pair.models.iter().find(|alias| first.pair.models.contains(alias)) {
                let alias = alias.clone();
                return Err(RouteError::SharedAlias { alias, first: name(first), later: name(later) });
            }
        }
    }
    Ok(())
}

/// The names in a route's `pair`.
pub fn pair_names(names: &str) -> impl Iterator<Item = &str> {
    names.split(',').map(str::trim)
}

fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*head), rest))
}

/// A number in metadata: the eight little-endian bytes of a double, or text where Envoy read it from YAML with a decimal
/// point. No double in `[0, 1]` has bytes that read as a number, so that the two can't be confused.
fn number(key: &'static str, value: Option<&[u8]>) -> Result<Option<f64>, RouteError> {
    let Some(bytes) = value else { return Ok(None) };
    let text = std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok());
    let binary = || <[u8; 8]>::try_from(bytes).ok().filter(|bytes| !bytes.iter().all(u8::is_ascii_graphic));
    let number = text.or_else(|| binary().map(f64::from_le_bytes));
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(RouteError::NotANumber { key, value: String::from_utf8_lossy(bytes).into_owned() }),
    }
}

#[cfg(test)]
mod tests;
