//! Whether conversations keep their tier, as an operator sets it.

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::fmt;

/// Whether a conversation keeps its tier from one user turn to the next. Within a tool loop it always does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Every user turn is decided on its own.
    #[default]
    Off,
    /// A conversation stays where it first went.
    Sticky,
    /// A conversation may go from small to large, and then stays there.
    OnlyUp,
}

#[derive(Default)]
pub(super) struct RawAffinity(pub(super) Affinity);

impl<'de> Deserialize<'de> for RawAffinity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = RawAffinity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("off, sticky or only_up")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<RawAffinity, E> {
                // A bare `off` in YAML is a boolean.
                if on { Err(E::invalid_type(Unexpected::Bool(on), &self)) } else { Ok(RawAffinity::default()) }
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<RawAffinity, E> {
                match word {
                    "off" => Ok(RawAffinity(Affinity::Off)),
                    "sticky" => Ok(RawAffinity(Affinity::Sticky)),
                    "only_up" => Ok(RawAffinity(Affinity::OnlyUp)),
                    _ => Err(E::unknown_variant(word, &["off", "sticky", "only_up"])),
                }
            }
        }
        deserializer.deserialize_any(Word)
    }
}
