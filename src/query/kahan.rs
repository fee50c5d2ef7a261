//! Sums that keep what rounding would lose (Neumaier's form of Kahan's sum), and means built on them.
//!
//! Order and steps are those of Prometheus (`util/kahansum`), so that results agree to the last bits.

/// A running sum.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    sum: f64,
    lost: f64,
}

impl Sum {
    /// Begins with a first number.
    pub(super) fn of(first: f64) -> Self {
        Self {
            sum: first,
            lost: 0.0,
        }
    }

    /// Adds a number.
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        let total = self.sum + value;
        if total.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= value.abs() {
            self.lost += (self.sum - total) + value;
        } else {
            self.lost += (value - total) + self.sum;
        }
        self.sum = total;
    }

    /// The sum of all numbers.
    #[inline]
    pub(super) fn total(self) -> f64 {
        self.sum + self.lost
    }
}

/// A running mean: sum by count, until the sum would overflow; from then on corrected number by number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    sum: Sum,
    count: f64,
    incremental: bool,
}

impl Mean {
    /// The mean of one number.
    pub(super) fn of(first: f64) -> Self {
        Self {
            sum: Sum::of(first),
            count: 1.0,
            incremental: false,
        }
    }

    /// Adds a number.
    #[inline]
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let mut longer = self.sum;
            longer.add(value);
            if !longer.sum.is_infinite() {
                self.sum = longer;
                return;
            }
            self.incremental = true;
            let before = self.count - 1.0;
            self.sum.sum /= before;
            self.sum.lost /= before;
        }
        let weight = (self.count - 1.0) / self.count;
        self.sum.sum *= weight;
        self.sum.lost *= weight;
        self.sum.add(value / self.count);
    }

    /// The mean of all numbers.
    pub(super) fn mean(self) -> f64 {
        if self.incremental {
            return self.sum.total();
        }
        self.sum.sum / self.count + self.sum.lost / self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_means() {
        let check = |values: &[f64], sum: f64, mean: f64| {
            let mut total = Sum::default();
            for value in values {
                total.add(*value);
            }
            let mut average = Mean::of(values[0]);
            for value in &values[1..] {
                average.add(*value);
            }
            let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
            assert!(same(total.total(), sum), "{values:?} {total:?}");
            assert!(same(average.mean(), mean), "{values:?} {average:?}");
        };
        let inf = f64::INFINITY;
        let big = 9.988_465_674_311_58e307;
        check(&[1.0, 1e100, 1.0, -1e100], 2.0, 0.5);
        check(&[2.0, 8.0, 1e100, -1e100], 10.0, 2.5);
        check(&[inf, 0.0, inf], inf, inf);
        check(&[inf, -inf], f64::NAN, f64::NAN);
        check(&[-inf, 2.0], -inf, -inf);
        check(&[2.0, -inf], -inf, -inf);
        check(&[big, big], inf, big);
        check(&[-big, -big, -big], -inf, -big);
        check(&[-big, -big, big, big], -inf + 0.0 * big, 0.0);
    }
}
