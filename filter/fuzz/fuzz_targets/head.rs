//! Paths and headers: reading them never panics, and a rewritten path names the new model and is otherwise as it was.
#![no_main]

use hybrid_llm_filter::request::api::{Api, Place};
use hybrid_llm_filter::wire::headers::RequestHead;
use hybrid_llm_filter::wire::splice;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: Vec<(String, Vec<u8>)>| {
    let head = RequestHead::read(lines.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
    let _ = Api::recognise(b"POST", head.path.as_bytes());
    for (path, _) in &lines {
        for &api in Api::ALL {
            let Some(Place::Path(span)) = api.model_in_path(path).map(|model| model.place) else { continue };
            let Some(rewritten) = splice::replace_in_path(path, &span, "a/b:c") else { continue };
            let again = api.model_in_path(&rewritten).expect("the model is still in the path");
            assert_eq!(again.name, "a/b:c");
            assert_eq!((&rewritten[..span.start], &rewritten[rewritten.len() - (path.len() - span.end)..]), (&path[..span.start], &path[span.end..]));
        }
    }
});
