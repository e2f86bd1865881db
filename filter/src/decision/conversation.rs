//! Which conversation a request continues, and what is remembered of it: keys, records, and the bounded memory of records by key.

mod keys;
mod record;
mod set;

pub use keys::{Key, Keys};
pub use record::{Record, assigned_tier};
pub use set::{Set, WAYS};

#[cfg(test)]
mod tests;
