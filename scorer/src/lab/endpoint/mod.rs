//! A client of OpenAI-compatible chat completions that retries what can succeed later.
//!
//! A [`client::Client`] asks one model of one endpoint, whose [`address`] it is given. [`message`] is what is asked and answered,
//! [`fault`] what can go wrong and what it means, [`retry`] when to try again, and [`account`] what a whole run came to.

pub mod account;
pub mod address;
mod answer;
pub mod client;
mod error_body;
pub mod fault;
pub mod message;
pub mod retry;
pub mod tokens;
mod transport;
