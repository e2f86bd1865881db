//! Counts of tokens.

use std::ops::AddAssign;

/// Tokens that answers took; what a server did not tell is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    /// Of the prompts.
    pub input: u64,
    /// Of the responses.
    pub output: u64,
}

impl Tokens {
    /// What a server told of one answer.
    pub fn told(input: Option<u64>, output: Option<u64>) -> Self {
        Self { input: input.unwrap_or(0), output: output.unwrap_or(0) }
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, more: Self) {
        self.input += more.input;
        self.output += more.output;
    }
}
