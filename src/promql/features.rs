//! The experimental parts of the language, each behind the name that Prometheus' `--enable-feature` has for it.

/// One experimental part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// `limitk`, `limit_ratio`, `info` and other functions.
    ExperimentalFunctions,
    /// Arithmetic where a duration goes: `foo[5m * 2]`, `offset step()`. On by default since 3.14.
    DurationExpr,
    /// `anchored` and `smoothed`.
    ExtendedRangeSelectors,
    /// `fill`, `fill_left` and `fill_right`.
    BinopFillModifiers,
    /// The metric name goes only when the whole query has been evaluated. This and the next mean nothing to the parser.
    DelayedNameRemoval,
    /// `__type__` and `__unit__` go with the metric name.
    TypeAndUnitLabels,
    /// `rate` and its like know when a counter was started.
    UseStartTimestamps,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 7] = [
        Feature::ExperimentalFunctions,
        Feature::DurationExpr,
        Feature::ExtendedRangeSelectors,
        Feature::BinopFillModifiers,
        Feature::DelayedNameRemoval,
        Feature::TypeAndUnitLabels,
        Feature::UseStartTimestamps,
    ];

    /// The name for `--enable-feature`.
    pub fn name(self) -> &'static str {
        match self {
            Feature::ExperimentalFunctions => "promql-experimental-functions",
            Feature::DurationExpr => "promql-duration-expr",
            Feature::ExtendedRangeSelectors => "promql-extended-range-selectors",
            Feature::BinopFillModifiers => "promql-binop-fill-modifiers",
            Feature::DelayedNameRemoval => "promql-delayed-name-removal",
            Feature::TypeAndUnitLabels => "type-and-unit-labels",
            Feature::UseStartTimestamps => "use-start-timestamps",
        }
    }

    /// The part of this name.
    pub fn named(name: &str) -> Option<Feature> {
        Self::ALL.into_iter().find(|feature| feature.name() == name)
    }
}

/// Which experimental parts are switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(u8);

/// What Prometheus 3.14 has switched on without a flag: arithmetic on durations.
impl Default for Features {
    fn default() -> Self {
        Self::NONE.with(Feature::DurationExpr)
    }
}

impl Features {
    /// None of them.
    pub const NONE: Features = Features(0);

    /// All of them.
    pub fn all() -> Self {
        Feature::ALL.into_iter().collect()
    }

    /// Whether this part is on.
    pub fn has(self, feature: Feature) -> bool {
        self.0 & (1 << feature as u8) != 0
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, feature: Feature) -> Self {
        Features(self.0 | 1 << feature as u8)
    }
}

impl FromIterator<Feature> for Features {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        features.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_switched_on_one_by_one() {
        for feature in Feature::ALL {
            assert_eq!(Feature::named(feature.name()), Some(feature));
            let only = Features::NONE.with(feature);
            for other in Feature::ALL {
                assert_eq!(only.has(other), other == feature);
                assert!(Features::all().has(other));
            }
        }
        assert_eq!(Feature::named("promql"), None);
        assert_eq!(
            Features::default(),
            [Feature::DurationExpr].into_iter().collect()
        );
    }
}
