//! A sample of queries that stands for all of them: as many of every score.

use fastrand::Rng;

/// Chooses `n` of the queries with these scores: ordered by score, every so manieth of them from a random start on, so that each
/// has the same chance, and every part of the order is there as it is in the whole (systematic sampling; Cochran, Sampling
/// Techniques, 3rd ed., ch. 8). Gives their positions, ascending; all where there are no more than `n`.
pub fn systematic(scores: &[f64], n: usize, rng: &mut Rng) -> Vec<usize> {
    let mut order: Vec<(usize, f64)> = scores.iter().copied().enumerate().collect();
    // Equal scores have no order, and the file's may mean something.
    rng.shuffle(&mut order);
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let step = order.len() as f64 / n.max(1) as f64;
    if step <= 1.0 {
        return (0..order.len()).collect();
    }
    let start = rng.f64();
    let at = |place: usize| ((place as f64 + start) * step) as usize;
    let mut chosen: Vec<usize> = (0..n).filter_map(|place| order.get(at(place))).map(|(row, _)| *row).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_order_is_there() {
        let scores: Vec<f64> = (0..1000).map(|row| f64::from(row * 617 % 1000) / 1000.0).collect();
        for seed in 0..20 {
            let chosen = systematic(&scores, 150, &mut Rng::with_seed(seed));
            assert_eq!(chosen.len(), 150);
            assert!(chosen.is_sorted_by(|a, b| a < b), "in the file's order, each once");
            for tenth in 0..10 {
                let low = f64::from(tenth) / 10.0;
                let inside = chosen.iter().filter(|row| (low..low + 0.1).contains(&scores[**row])).count();
                assert!((14..=16).contains(&inside), "{inside} of the tenth from {low}");
            }
        }
    }

    #[test]
    fn every_query_has_the_same_chance() {
        let (scores, mut counts) = ([0.5; 10], [0; 10]);
        for seed in 0..2000 {
            let chosen = systematic(&scores, 3, &mut Rng::with_seed(seed));
            assert_eq!(chosen.len(), 3);
            chosen.iter().for_each(|row| counts[*row] += 1);
        }
        assert!(counts.iter().all(|count| (500..700).contains(count)), "{counts:?}");
        let chosen = systematic(&[0.3, 0.1, 0.2], 3, &mut Rng::with_seed(1));
        assert_eq!((chosen, systematic(&[], 5, &mut Rng::new()).len()), (vec![0, 1, 2], 0));
        assert_eq!(systematic(&scores, 100, &mut Rng::with_seed(1)).len(), 10, "there are no more");
    }
}
