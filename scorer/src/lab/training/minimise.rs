//! Minimising a smooth convex function: L-BFGS with a line search (Nocedal & Wright, Numerical Optimization, 2nd ed., ch. 7).

use std::collections::VecDeque;

/// How many of the last steps stand for the curvature.
const MEMORY: usize = 10;
/// The share of the promised decrease that a step must bring (Armijo), and of the slope that it may leave (Wolfe).
const ARMIJO: f64 = 1e-4;
const WOLFE: f64 = 0.9;
/// The most steps of one line search.
const TRIALS: usize = 40;

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// No part of the gradient is larger than this at a minimum.
    pub gradient: f64,
    /// The most steps.
    pub steps: usize,
}

/// Where the search ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimum {
    /// The point.
    pub point: Vec<f64>,
    /// The function there.
    pub value: f64,
    /// How many steps it took.
    pub steps: usize,
    /// Whether the gradient is as small as asked.
    pub converged: bool,
}

/// A step and what the gradient did along it.
struct Step {
    moved: Vec<f64>,
    turned: Vec<f64>,
    /// moved · turned, above zero.
    curvature: f64,
}

/// A point, with the function and its gradient there.
#[derive(Clone)]
struct Place {
    point: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

/// Goes downhill from `start` until the gradient vanishes. `function` writes its gradient at the first argument into the
/// second, and gives its value. The same input gives the same minimum, bit for bit.
pub fn minimise(start: Vec<f64>, limits: Limits, mut function: impl FnMut(&[f64], &mut [f64]) -> f64) -> Minimum {
    let mut gradient = vec![0.0; start.len()];
    let value = function(&start, &mut gradient);
    let mut at = Place { point: start, value, gradient };
    let mut memory: VecDeque<Step> = VecDeque::with_capacity(MEMORY);
    let mut steps = 0;
    while steps < limits.steps && largest(&at.gradient) > limits.gradient {
        let mut direction = downhill(&at.gradient, &memory);
        if dot(&direction, &at.gradient) >= 0.0 {
            // Rounding has spoilt the curvature: forget it.
            memory.clear();
            direction = at.gradient.iter().map(|g| -g).collect();
        }
        // Without curvature the length of the gradient says nothing about the length of a step.
        let first = if memory.is_empty() { 1.0 / largest(&at.gradient).max(1.0) } else { 1.0 };
        let Some(next) = search(&at, &direction, first, &mut function) else { break };
        let step = Step::between(&at, &next);
        if step.curvature > f64::EPSILON * dot(&step.turned, &step.turned) {
            if memory.len() == MEMORY {
                memory.pop_front();
            }
            memory.push_back(step);
        }
        at = next;
        steps += 1;
    }
    let converged = largest(&at.gradient) <= limits.gradient;
    Minimum { point: at.point, value: at.value, steps, converged }
}

impl Step {
    fn between(from: &Place, to: &Place) -> Self {
        let difference = |to: &[f64], from: &[f64]| to.iter().zip(from).map(|(to, from)| to - from).collect::<Vec<_>>();
        let moved = difference(&to.point, &from.point);
        let turned = difference(&to.gradient, &from.gradient);
        let curvature = dot(&moved, &turned);
        Self { moved, turned, curvature }
    }
}

/// The two-loop recursion: minus the gradient, times an estimate of the inverse Hessian.
fn downhill(gradient: &[f64], memory: &VecDeque<Step>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(memory.len());
    for step in memory.iter().rev() {
        let share = dot(&step.moved, &direction) / step.curvature;
        add(&mut direction, -share, &step.turned);
        shares.push(share);
    }
    if let Some(last) = memory.back() {
        let scale = last.curvature / dot(&last.turned, &last.turned);
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (step, share) in memory.iter().zip(shares.into_iter().rev()) {
        let back = dot(&step.turned, &direction) / step.curvature;
        add(&mut direction, share - back, &step.moved);
    }
    direction
}

/// A point along the direction that meets both of Wolfe's conditions, by doubling and halving the bracket; the best found
/// where rounding lets none meet them. `None` when nothing is lower.
fn search(
    at: &Place,
    direction: &[f64],
    first: f64,
    function: &mut impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Option<Place> {
    let slope = dot(direction, &at.gradient);
    let (mut low, mut high, mut length) = (0.0, f64::INFINITY, first);
    let mut best: Option<Place> = None;
    for _ in 0..TRIALS {
        let point: Vec<f64> = at.point.iter().zip(direction).map(|(x, d)| x + length * d).collect();
        let mut gradient = vec![0.0; point.len()];
        let value = function(&point, &mut gradient);
        let next_slope = dot(direction, &gradient);
        // What is no number is no decrease either.
        if value.is_nan() || value > at.value + ARMIJO * length * slope {
            high = length;
        } else {
            let done = next_slope.abs() <= -WOLFE * slope;
            if next_slope < 0.0 {
                low = length;
            } else {
                high = length;
            }
            if best.as_ref().is_none_or(|best| value < best.value) {
                best = Some(Place { point, value, gradient });
            }
            if done {
                break;
            }
        }
        length = if high.is_finite() { f64::midpoint(low, high) } else { 2.0 * length };
    }
    best.filter(|best| best.value < at.value)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { gradient: 1e-9, steps: 2000 };

    #[test]
    fn a_crooked_valley_is_followed_to_its_end() {
        // Rosenbrock's function: not convex, and the classic test of a line search.
        let found = minimise(vec![-1.2, 1.0], LIMITS, |x, gradient| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            gradient[0] = -2.0 * a - 400.0 * x[0] * b;
            gradient[1] = 200.0 * b;
            a * a + 100.0 * b * b
        });
        assert!(found.converged);
        assert!((found.point[0] - 1.0).abs() < 1e-8 && (found.point[1] - 1.0).abs() < 1e-8, "{:?}", found.point);
    }

    #[test]
    fn steps_run_out_and_say_so() {
        let limits = Limits { gradient: 0.0, steps: 3 };
        let found = minimise(vec![5.0], limits, |x, gradient| {
            gradient[0] = x[0].exp() - (-x[0]).exp();
            x[0].exp() + (-x[0]).exp()
        });
        assert!(!found.converged && found.steps <= 3 && found.value < 5.0_f64.exp());
    }

    #[test]
    fn a_minimum_at_the_start_takes_no_step() {
        let found = minimise(vec![0.0; 3], LIMITS, |x, gradient| {
            gradient.copy_from_slice(x);
            0.0
        });
        assert_eq!((found.steps, found.converged), (0, true));
    }

    proptest! {
        #[test]
        fn quadratics_end_at_their_minimum(
            minimum in prop::collection::vec(-100.0..100.0_f64, 1..12),
            exponents in prop::collection::vec(-2.0..2.0_f64, 12),
        ) {
            let found = minimise(vec![0.0; minimum.len()], LIMITS, |x, gradient| {
                let mut value = 0.0;
                for (((x, m), e), g) in x.iter().zip(&minimum).zip(&exponents).zip(gradient) {
                    let curvature = 10.0_f64.powf(*e);
                    *g = curvature * (x - m);
                    value += 0.5 * curvature * (x - m) * (x - m);
                }
                value
            });
            for (x, m) in found.point.iter().zip(&minimum) {
                prop_assert!((x - m).abs() < 1e-4, "{x} is not {m} after {} steps", found.steps);
            }
        }
    }
}
