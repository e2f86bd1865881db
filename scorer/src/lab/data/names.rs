//! How queries are named: by an id of their own, or by a digest of their text.

use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};

/// Reads a name or a reference: a string, or a number, which is taken by its digits.
pub(crate) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "must be a string or a number")]
    enum Name {
        Text(String),
        Number(serde_json::Number),
    }
    let name = Option::<Name>::deserialize(deserializer)?;
    Ok(name.map(|name| match name {
        Name::Text(text) => text,
        Name::Number(number) => number.to_string(),
    }))
}

/// What stands for a text: the first 16 hexadecimal digits of its SHA-256. It stays the same when the file grows.
pub fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
