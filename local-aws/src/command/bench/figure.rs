//! A median with its range.

use std::fmt;

/// The median of some values, with the least and the most of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Figure {
    /// `None` of no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let upper = *values.get(values.len() / 2)?;
        let lower = *values.get((values.len() - 1) / 2)?;
        Some(Self {
            median: f64::midpoint(lower, upper),
            least,
            most,
        })
    }

    pub(crate) fn times(self, factor: f64) -> Self {
        Self {
            median: self.median * factor,
            least: self.least * factor,
            most: self.most * factor,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = [self.median, self.least, self.most].map(short);
        match shown {
            [median, least, most] if least == most => formatter.write_str(&median),
            [median, least, most] => write!(formatter, "{median} ({least}–{most})"),
        }
    }
}

/// A count as a value. Counts are small here.
pub(crate) fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// As many decimals as say something.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size.fract() == 0.0 => format!("{value:.0}"),
        size if size < 0.1 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The value that so many percent of the values are not above.
pub(crate) fn percentile(values: impl IntoIterator<Item = f64>, percent: usize) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let place = (values.len() * percent).div_ceil(100).checked_sub(1)?;
    values.get(place).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        let figure = |values: &[f64]| Figure::of(values.iter().copied()).map(|f| f.to_string());
        assert_eq!(figure(&[3.0, 1.0, 2.0]).as_deref(), Some("2 (1–3)"));
        assert_eq!(figure(&[1.0, 2.0]).as_deref(), Some("1.50 (1–2)"));
        assert_eq!(figure(&[145.0, 145.0]).as_deref(), Some("145"));
        assert_eq!(figure(&[]), None);
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values = || (1..=200).map(f64::from);
        assert_eq!(percentile(values(), 99), Some(198.0));
        assert_eq!(percentile(values(), 50), Some(100.0));
        assert_eq!(percentile([7.0], 99), Some(7.0));
        assert_eq!(percentile([], 99), None);
    }
}
