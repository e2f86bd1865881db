//! The two tiers of a pair.

/// One of a pair's two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The small, cheap model.
    Small,
    /// The large model.
    Large,
}

impl Tier {
    /// The word used in headers and counters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }

    /// Reads the word; `None` when it is neither.
    #[must_use]
    pub fn parse(word: &[u8]) -> Option<Self> {
        [Self::Small, Self::Large].into_iter().find(|tier| tier.as_str().as_bytes() == word)
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Small => Self::Large,
            Self::Large => Self::Small,
        }
    }
}
