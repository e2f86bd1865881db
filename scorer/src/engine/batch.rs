//! Which jobs run together.
//!
//! Padding is work for nothing, and on a CPU a batch is no faster per token than its rows alone. So a batch is the oldest
//! job and those of nearly its length, never a job that was merely next in line.

/// The most that a batch may cost, as padded tokens ÷ real tokens.
const MAX_PADDING: f64 = 1.1;

/// Chooses from jobs of these lengths (oldest first, in tokens) what runs with the oldest: positions, ascending.
///
/// The batch costs at most `budget` tokens with its padding, unless the oldest alone costs more, and its padding ratio is
/// at most 1.1.
pub(super) fn choose(lengths: &[usize], budget: usize) -> Vec<usize> {
    let Some(&oldest) = lengths.first() else {
        return Vec::new();
    };
    let mut others: Vec<(usize, usize)> = lengths.iter().copied().enumerate().skip(1).collect();
    // The nearest lengths first; the sort is stable, so that the older goes first among equals.
    others.sort_by_key(|(_, length)| length.abs_diff(oldest));
    let mut chosen = vec![0];
    let (mut longest, mut real) = (oldest, oldest);
    for (position, length) in others {
        let padded = longest.max(length) * (chosen.len() + 1);
        let fits = padded <= budget && padded as f64 <= MAX_PADDING * (real + length) as f64;
        if fits {
            chosen.push(position);
            longest = longest.max(length);
            real += length;
        }
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn near_lengths_join_and_others_wait() {
        assert_eq!(choose(&[100, 104, 20, 98, 500, 100], 4096), [0, 1, 3, 5]);
    }

    #[test]
    fn the_budget_holds_and_the_older_goes_first_among_equals() {
        assert_eq!(choose(&[64, 64, 64, 64], 64 * 3), [0, 1, 2]);
    }

    #[test]
    fn without_a_budget_a_batch_is_one_job() {
        assert_eq!(choose(&[64, 64], 0), [0]);
        assert_eq!(choose(&[], 0), [0_usize; 0]);
    }

    proptest! {
        #[test]
        fn the_oldest_always_runs_and_the_bounds_hold(
            lengths in proptest::collection::vec(1_usize..600, 1..200),
            budget in 0_usize..20_000,
        ) {
            let chosen = choose(&lengths, budget);
            prop_assert_eq!(chosen[0], 0);
            prop_assert!(chosen.is_sorted_by(|a, b| a < b) && chosen.iter().all(|at| *at < lengths.len()));
            let real: usize = chosen.iter().map(|at| lengths[*at]).sum();
            let padded = chosen.len() * chosen.iter().map(|at| lengths[*at]).max().unwrap();
            prop_assert!(padded as f64 <= MAX_PADDING * real as f64);
            prop_assert!(padded <= budget || chosen.len() == 1);
        }
    }
}
