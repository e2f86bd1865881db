//! What upstreams answer: the scorer's scores, and the ids of stored responses in pieces of any size.
#![no_main]

use hybrid_llm_filter::decision::conversation::Set;
use hybrid_llm_filter::wire::response_id::ResponseId;
use hybrid_llm_filter::wire::scorer::Reply;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|answer: (u8, &[u8])| {
    let (size, bytes) = answer;
    if let Ok(score) = Reply::Ok(bytes).score() {
        assert!((0.0..=1.0).contains(&score.score));
    }
    let mut id = ResponseId::default();
    let _ = bytes.chunks(usize::from(size).max(1)).find_map(|piece| id.look_at(piece));
    assert!(Set::decode(bytes).encode().len() <= bytes.len());
});
