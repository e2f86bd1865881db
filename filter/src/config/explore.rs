//! The share of requests that explores, as an operator sets it.

/// The share of requests, in `[0, 1]`, that goes to the other tier.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Explore(f64);

impl Explore {
    /// Takes a share; `None` outside `[0, 1]`.
    #[must_use]
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}
