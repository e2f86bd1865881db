//! Numbers as a reader wants them. The page's script formats in the same way.

use super::Figure;

/// What stands where a number is not defined.
pub(super) const UNDEFINED: &str = "–";

/// A number with so many decimals, with a real minus sign and without a negative zero.
pub(super) fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return UNDEFINED.to_owned();
    }
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|byte| matches!(byte, b'0' | b'.')) => digits.to_owned(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

/// A fraction in percent: `0.0123` is `1.2 %`.
pub(super) fn percent(fraction: f64) -> String {
    if fraction.is_finite() { format!("{}\u{a0}%", number(fraction * 100.0, 1)) } else { UNDEFINED.to_owned() }
}

/// A fraction in whole percent: `0.05` is `5 %`.
pub(super) fn whole_percent(fraction: f64) -> String {
    if fraction.is_finite() { format!("{}\u{a0}%", number(fraction * 100.0, 0)) } else { UNDEFINED.to_owned() }
}

/// A fraction in percent, with as many decimals as the axis' steps have.
pub(super) fn percent_tick(value: f64) -> String {
    tick(value * 100.0)
}

/// A number with as many decimals as it has, up to four; a very large or small one by its powers of ten.
pub(super) fn tick(value: f64) -> String {
    if value.is_finite() && value != 0.0 && !(1e-3..1e6).contains(&value.abs()) {
        return format!("{value:.1e}").replace('-', "−");
    }
    let text = number(value, 4);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Per cent as a fraction.
pub(super) fn part(per_cent: Figure) -> Figure {
    let Figure { value, low, high } = per_cent;
    Figure { value: value / 100.0, low: low / 100.0, high: high / 100.0 }
}

/// An interval in percent, the unit said once.
pub(super) fn percent_interval(figure: Figure) -> String {
    interval(figure, |value| number(value * 100.0, 1))
}

/// An interval: `0.6 to 1.9`.
pub(super) fn interval(figure: Figure, format: impl Fn(f64) -> String) -> String {
    format!("{} to {}", format(figure.low), format(figure.high))
}

/// A mean quality. Its scale is the data's, from 0 to 1 or from 1 to 10 or below zero: four digits tell enough of each.
pub(super) fn quality(value: f64) -> String {
    number(value, if value.abs() < 10.0 { 3 } else { 1 })
}

/// An amount in USD.
pub(super) fn dollars(amount: f64) -> String {
    let decimals = match amount.abs() {
        amount if amount >= 100.0 => 0,
        amount if amount >= 10.0 => 2,
        amount if amount >= 0.01 => 3,
        _ => 5,
    };
    if amount.is_finite() { format!("${}", number(amount, decimals)) } else { UNDEFINED.to_owned() }
}

/// A count in words: `1 query`, `20 queries`.
pub(super) fn queries(n: usize) -> String {
    if n == 1 { "1 query".to_owned() } else { format!("{n} queries") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let texts = [
            percent(0.0123),
            percent(-0.05),
            percent(-0.0001),
            percent(f64::NAN),
            whole_percent(0.05),
            percent_interval(Figure { value: 0.012, low: -0.006, high: 0.019 }),
            quality(0.5),
            quality(-12.34),
            dollars(1234.4),
            dollars(12.345),
            dollars(0.01234),
            dollars(f64::INFINITY),
            queries(1),
            queries(20),
        ];
        let expected = [
            "1.2\u{a0}%",
            "−5.0\u{a0}%",
            "0.0\u{a0}%",
            "–",
            "5\u{a0}%",
            "−0.6 to 1.9",
            "0.500",
            "−12.3",
            "$1234",
            "$12.35",
            "$0.012",
            "–",
            "1 query",
            "20 queries",
        ];
        assert_eq!(texts.each_ref().map(String::as_str), expected);
    }
}
