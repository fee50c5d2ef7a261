//! Running values: what is kept of the numbers of a group at one step.

use crate::query::kahan::{Mean, Sum};

/// A value that takes numbers one by one.
pub(super) trait Fold {
    /// Of one number.
    fn first(value: f64) -> Self;
    /// Takes one more.
    fn add(&mut self, value: f64);
    /// Of all numbers so far.
    fn result(&self) -> f64;
}

/// `sum`
pub(super) struct Total(Sum);

impl Fold for Total {
    fn first(value: f64) -> Self {
        Self(Sum::of(value))
    }

    #[inline]
    fn add(&mut self, value: f64) {
        self.0.add(value);
    }

    fn result(&self) -> f64 {
        self.0.total()
    }
}

/// `avg`
pub(super) struct Average(Mean);

impl Fold for Average {
    fn first(value: f64) -> Self {
        Self(Mean::of(value))
    }

    #[inline]
    fn add(&mut self, value: f64) {
        self.0.add(value);
    }

    fn result(&self) -> f64 {
        self.0.mean()
    }
}

/// `count`
pub(super) struct Count(f64);

impl Fold for Count {
    fn first(_: f64) -> Self {
        Self(1.0)
    }

    #[inline]
    fn add(&mut self, _: f64) {
        self.0 += 1.0;
    }

    fn result(&self) -> f64 {
        self.0
    }
}

/// `group`
pub(super) struct One;

impl Fold for One {
    fn first(_: f64) -> Self {
        Self
    }

    fn add(&mut self, _: f64) {}

    fn result(&self) -> f64 {
        1.0
    }
}

/// `min` and `max`; any number is better than NaN.
pub(super) struct Extreme<const MIN: bool>(f64);

impl<const MIN: bool> Fold for Extreme<MIN> {
    fn first(value: f64) -> Self {
        Self(value)
    }

    #[inline]
    fn add(&mut self, value: f64) {
        let better = if MIN { value < self.0 } else { value > self.0 };
        if better || self.0.is_nan() {
            self.0 = value;
        }
    }

    fn result(&self) -> f64 {
        self.0
    }
}

/// `stdvar` and `stddev`, by Welford's method.
pub(super) struct Variance<const ROOT: bool> {
    count: f64,
    mean: f64,
    squares: f64,
}

impl<const ROOT: bool> Fold for Variance<ROOT> {
    fn first(value: f64) -> Self {
        Self {
            count: 1.0,
            mean: value,
            squares: if value.is_finite() { 0.0 } else { f64::NAN },
        }
    }

    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn result(&self) -> f64 {
        let variance = self.squares / self.count;
        if ROOT { variance.sqrt() } else { variance }
    }
}
