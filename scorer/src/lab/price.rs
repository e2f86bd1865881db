//! What tokens cost.

use std::str::FromStr;

/// What tokens cost, in US dollars per million; never negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Of prompts.
    pub input: f64,
    /// Of responses.
    pub output: f64,
}

/// A price that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be two prices, of a million input and output tokens in US dollars, such as 0.05,0.08")]
pub struct PriceError;

impl FromStr for Price {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        let number = |text: &str| text.trim().parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0);
        let (input, output) = text.split_once(',').ok_or(PriceError)?;
        Ok(Self { input: number(input).ok_or(PriceError)?, output: number(output).ok_or(PriceError)? })
    }
}

impl Price {
    /// What so many tokens cost, in US dollars.
    pub fn of(self, input_tokens: f64, output_tokens: f64) -> f64 {
        (input_tokens * self.input + output_tokens * self.output) / 1_000_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_two_numbers() {
        assert_eq!("0.05, 0.08".parse(), Ok(Price { input: 0.05, output: 0.08 }));
        for bad in ["", "1", "1,", "1,x", "-1,2", "inf,1", "1,2,3"] {
            assert_eq!(bad.parse::<Price>(), Err(PriceError), "{bad}");
        }
    }
}
