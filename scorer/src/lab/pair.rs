//! A pair of models: the small one and the large one.

use serde::{Deserialize, Serialize};

/// The two models whose responses are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The small model, by its name in `quality`.
    pub small: String,
    /// The large model, by its name in `quality`.
    pub large: String,
}

/// Which of a pair's models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The cheap one.
    Small,
    /// The good one.
    Large,
}

impl Tier {
    /// Both, small first.
    pub const ALL: [Self; 2] = [Self::Small, Self::Large];

    /// Its word in data and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }
}

/// Something of each of a pair's models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ByTier<T> {
    /// The small model's.
    pub small: T,
    /// The large model's.
    pub large: T,
}

impl<T> ByTier<T> {
    /// Makes both.
    ///
    /// # Errors
    /// The first error of `make`.
    pub fn try_new<E>(mut make: impl FnMut(Tier) -> Result<T, E>) -> Result<Self, E> {
        Ok(Self { small: make(Tier::Small)?, large: make(Tier::Large)? })
    }

    /// One of them.
    pub fn get(&self, tier: Tier) -> &T {
        match tier {
            Tier::Small => &self.small,
            Tier::Large => &self.large,
        }
    }

    /// One of them, to change.
    pub fn get_mut(&mut self, tier: Tier) -> &mut T {
        match tier {
            Tier::Small => &mut self.small,
            Tier::Large => &mut self.large,
        }
    }

    /// Both, small first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        [&self.small, &self.large].into_iter()
    }
}
