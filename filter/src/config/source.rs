//! The two forms in which a proxy hands over the configuration: JSON text, and the bytes of a protobuf `Struct`.

use prost::Message;
use prost_types::value::Kind;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde_json::{Number, Value};
use std::fmt;

/// Reads the bytes as a protobuf `Struct`, `None` when they are something else. JSON text never decodes: its first byte
/// is a brace, which is no field of a `Struct`, and white space before it announces a field that does not follow.
pub(super) fn protobuf_struct(bytes: &[u8]) -> Option<Value> {
    prost_types::Struct::decode(bytes).ok().map(object)
}

fn object(proto: prost_types::Struct) -> Value {
    Value::Object(proto.fields.into_iter().map(|(key, member)| (key, value(member))).collect())
}

fn value(proto: prost_types::Value) -> Value {
    match proto.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        // A `Struct` has doubles only; a whole number is what the operator wrote as one.
        Some(Kind::NumberValue(n)) if n.fract() == 0.0 && n.abs() < 2f64.powi(53) => Value::from(n as i64),
        Some(Kind::NumberValue(n)) => Number::from_f64(n).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::StructValue(members)) => object(members),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(value).collect()),
    }
}

/// The path of the first value within a tree that is null, such as `pairs.chat.models[0]`. The readers of both forms bound the depth.
pub(super) fn null_key(tree: &Value) -> Option<String> {
    let at = |key: String, value: &Value| match value {
        Value::Null => Some(key),
        _ => null_key(value).map(|rest| if rest.starts_with('[') { key + &rest } else { key + "." + &rest }),
    };
    match tree {
        Value::Object(members) => members.iter().find_map(|(key, value)| at(key.clone(), value)),
        Value::Array(list) => list.iter().enumerate().find_map(|(index, value)| at(format!("[{index}]"), value)),
        _ => None,
    }
}

/// A number, also where it arrives as text: Envoy's YAML reader makes strings of numbers with a decimal point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decimal(pub(super) f64);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNumber;
        impl Visitor<'_> for AnyNumber {
            type Value = Decimal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E>(self, number: f64) -> Result<Decimal, E> {
                Ok(Decimal(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Decimal, E> {
                Ok(Decimal(number as f64))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Decimal, E> {
                Ok(Decimal(number as f64))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Decimal, E> {
                text.parse().map(Decimal).map_err(|_| E::invalid_type(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(AnyNumber)
    }
}
