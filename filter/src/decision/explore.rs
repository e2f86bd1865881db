//! Exploration: a small share of requests goes to the other tier at random, so that the lab has data that the router did
//! not choose. Which requests is a function of their id alone, and so can be told again afterwards.

use crate::config::Explore;

/// Whether the request with this id (`x-request-id`) explores. One without an id does not: all such would draw alike.
#[must_use]
pub fn takes(explore: Explore, request_id: &[u8]) -> bool {
    explore.get() > 0.0 && !request_id.is_empty() && draw(request_id) < explore.get()
}

/// A number in `[0, 1)` that depends on the id alone: FNV-1a over its bytes (64 bits), the finalizer of SplitMix64
/// (Steele, Lea, Flood 2014), and of that the upper 53 bits over 2⁵³.
#[must_use]
pub fn draw(request_id: &[u8]) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in request_id {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_kept_and_the_same_ids_are_drawn_again() {
        let ids: Vec<_> = (0..100_000_u64).map(|i| format!("5d0f1a5e-{i:04x}-4b7e-9c1e-000000000000")).collect();
        for share in [0.01, 0.1, 0.5] {
            let explore = Explore::new(share).unwrap();
            let taken = ids.iter().filter(|id| takes(explore, id.as_bytes())).count() as f64;
            // Five standard deviations of a binomial.
            let spread = 5.0 * (100_000.0 * share * (1.0 - share)).sqrt();
            assert!((taken - 100_000.0 * share).abs() < spread, "{share}: {taken}");
        }
        // As computed from the formula by other means: whoever draws again afterwards needs the same number.
        assert!((draw(b"0b1d7c2e-8a43-4f6d-9e57-3c2a1f4b5d60") - 0.265_582_280_377_8).abs() < 1e-10);
    }

    #[test]
    fn zero_takes_none_and_one_takes_all() {
        assert!(!takes(Explore::default(), b"x"));
        assert!(takes(Explore::new(1.0).unwrap(), b"x"));
        assert!(!takes(Explore::new(1.0).unwrap(), b""));
        for bad in [-0.1, 1.1, f64::NAN] {
            assert_eq!(Explore::new(bad), None);
        }
    }
}
