//! What operators write: the plugin's configuration in both its forms, and routes' metadata.
#![no_main]

use hybrid_llm_filter::config::{Config, RouteMetadata};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(config) = Config::parse(bytes) {
        let _ = RouteMetadata::decode(bytes).resolve(&config);
    }
    let _ = RouteMetadata::decode(bytes);
});
