//! How a simulated family is described: its name and kind, which things have a line of it, by which further labels
//! its lines differ, and how fast its values move. The tables in `catalog` are made of these.

use std::borrow::Cow;

use crate::demo::fleet::value::{Value, mix, mix_text, share};

/// One family as the tables describe it.
#[derive(Clone, Debug)]
pub(super) struct Family {
    pub(super) name: Cow<'static, str>,
    /// Its type in the words of the metadata API; empty where no metadata exists (recording rules).
    pub(super) kind: &'static str,
    pub(super) help: Cow<'static, str>,
    pub(super) form: Form,
    /// Further labels; a line for each combination, the last label changing fastest.
    pub(super) variants: Vec<(&'static str, &'static [&'static str])>,
    pub(super) pace: Pace,
}

/// Which things have lines of a family, and the labels that these lines share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// cAdvisor, a line per container.
    Container,
    /// cAdvisor, a line per pod.
    Sandbox,
    /// kube-state-metrics, a line per pod.
    StatePod,
    /// kube-state-metrics, a line per pod, with its address, node and owner.
    StatePodInfo,
    /// kube-state-metrics, a line per container.
    StateContainer,
    /// The pod's own endpoint.
    App,
    /// A recording rule over containers.
    RuleContainer,
    /// kube-state-metrics, a line per deployment.
    StateDeployment,
    /// kube-state-metrics, a line per node.
    StateNode,
    /// node-exporter, per node.
    Exporter,
    /// The kubelet itself, per node.
    Kubelet,
    /// kube-state-metrics, a line per namespace.
    StateNamespace,
    /// A recording rule per namespace.
    RuleNamespace,
    /// A recording rule of the whole cluster.
    Rule,
    /// A component of the control plane, of which one runs: its job.
    Component(&'static str),
}

/// How the values of a family move.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// Always 1.
    One,
    /// 1 in the first variant, 0 in the others.
    First,
    /// A number between the bounds that never changes, with this many decimals.
    Fixed(f64, f64, u8),
    /// The unix time at which the thing started.
    Start,
    /// A counter of whole things: between so many and so many a second.
    Count(f64, f64),
    /// A counter of seconds.
    Seconds(f64, f64),
    /// A counter of seconds of which the n-th variant takes the n-th share of this many.
    Split(f64, &'static [f64]),
    /// A gauge that wanders between the bounds, with this many decimals.
    Level(f64, f64, u8),
    /// A gauge that wanders between the bounds in pages of 4 KiB.
    Bytes(f64, f64),
    /// Cumulative buckets (the last variant is `le`) of so many to so many observations a second.
    Bucket(f64, f64),
    /// The `_sum` beside such buckets, in seconds: as many observations of this mean.
    Sum(f64, f64, f64),
}

impl Family {
    pub(super) fn new(
        name: impl Into<Cow<'static, str>>,
        kind: &'static str,
        help: impl Into<Cow<'static, str>>,
        form: Form,
        pace: Pace,
    ) -> Family {
        Family {
            name: name.into(),
            kind,
            help: help.into(),
            form,
            variants: Vec::new(),
            pace,
        }
    }

    /// The three families of a histogram of seconds: `_bucket`, `_sum` and `_count`.
    pub(super) fn histogram(
        base: &'static str,
        help: &'static str,
        form: Form,
        variants: &[(&'static str, &'static [&'static str])],
        bounds: &'static [&'static str],
        (low, high): (f64, f64),
    ) -> [Family; 3] {
        let part = |suffix: &str, pace| Family {
            variants: variants.to_vec(),
            ..Family::new(format!("{base}{suffix}"), "histogram", help, form, pace)
        };
        [
            part("_bucket", Pace::Bucket(low, high)).by("le", bounds),
            part("_sum", Pace::Sum(low, high, 0.07)),
            part("_count", Pace::Count(low, high)),
        ]
    }

    /// The same, with a line for each of `values` of one more label.
    pub(super) fn by(mut self, label: &'static str, values: &'static [&'static str]) -> Family {
        self.variants.push((label, values));
        self
    }

    /// How many lines each thing has.
    pub(super) fn lines(&self) -> usize {
        self.variants
            .iter()
            .map(|(_, values)| values.len())
            .product()
    }

    /// The name under which the metadata API knows it: without the suffix of a histogram's part.
    pub(super) fn base(&self) -> &str {
        let parts = ["_bucket", "_sum", "_count"];
        let cut = parts
            .iter()
            .find_map(|suffix| self.name.strip_suffix(suffix));
        cut.filter(|_| self.kind == "histogram")
            .unwrap_or(&self.name)
    }

    /// The labels of line `line`.
    pub(super) fn variant(
        &self,
        line: usize,
    ) -> impl Iterator<Item = (&'static str, &'static str)> {
        let mut rest = line;
        self.variants.iter().rev().map(move |(label, values)| {
            let value = values[rest % values.len()];
            rest /= values.len();
            (*label, value)
        })
    }

    /// The law of line `line` of a thing with this seed and start; for a value that never changes, the value too: so
    /// many units of 10^-decimals.
    pub(super) fn law(
        &self,
        line: usize,
        thing: &Thing,
        holds: Holds,
    ) -> (Value, Option<(u64, u8)>) {
        let seed = self.group_seed(line, thing.seed);
        let Some(hold) = holds.of(mix(seed, 0x401d)) else {
            return (Value::Fixed, Some(self.resting(line, thing, seed)));
        };
        let between = |low: f64, high: f64| low + (high - low) * share(mix(seed, 2));
        let start_ms = thing.start_ms;
        let count = |per_second| Value::Count {
            per_second,
            start_ms,
            seed,
            hold,
        };
        let seconds = |per_second| Value::Seconds {
            per_second,
            start_ms,
            seed,
            hold,
        };
        let level = |low, high, decimals, grain| Value::Level {
            low,
            high,
            decimals,
            grain,
            seed,
            hold,
        };
        let value = match self.pace {
            Pace::One | Pace::First | Pace::Fixed(..) | Pace::Start => {
                return (Value::Fixed, Some(self.resting(line, thing, seed)));
            }
            Pace::Count(low, high) => count(between(low, high)),
            Pace::Bucket(low, high) => count(between(low, high) * self.below_bound(line)),
            Pace::Sum(low, high, mean) => seconds(between(low, high) * mean),
            Pace::Seconds(low, high) => seconds(between(low, high)),
            Pace::Split(total, shares) => seconds(total * shares[line % shares.len()]),
            Pace::Level(low, high, decimals) => level(low, high, decimals, 1),
            Pace::Bytes(low, high) => {
                // Each thing has its own usual size, and moves by a third around it.
                let middle = between(low * 1.2, high / 1.2);
                level(middle * 0.83, middle * 1.2, 0, 4096)
            }
        };
        (value, None)
    }

    /// The value of a line that never changes.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small and positive"
    )]
    fn resting(&self, line: usize, thing: &Thing, seed: u64) -> (u64, u8) {
        let between = |low: f64, high: f64| low + (high - low) * share(mix(seed, 2));
        match self.pace {
            Pace::One => (1, 0),
            Pace::First => (u64::from(line == 0), 0),
            Pace::Start => (thing.start_ms.unsigned_abs() / 1000, 0),
            Pace::Fixed(low, high, decimals) | Pace::Level(low, high, decimals) => (
                (between(low, high) * 10f64.powi(i32::from(decimals))).round() as u64,
                decimals,
            ),
            Pace::Count(_, high) => (between(0.0, high * 600.0) as u64, 0),
            Pace::Bucket(_, high) => (
                (between(0.0, high * 600.0) * self.below_bound(line)) as u64,
                0,
            ),
            Pace::Seconds(_, high) | Pace::Split(high, _) => {
                ((between(0.0, high * 600.0) * 1e9) as u64, 9)
            }
            Pace::Sum(_, high, mean) => ((between(0.0, high * 600.0) * mean * 1e9) as u64, 9),
            Pace::Bytes(low, high) => (between(low, high) as u64 / 4096 * 4096, 0),
        }
    }

    /// The seed that the lines of one histogram of one thing share; without a histogram, one per line.
    fn group_seed(&self, line: usize, thing: u64) -> u64 {
        let buckets = match (self.pace, self.variants.last()) {
            (Pace::Bucket(..), Some((_, bounds))) => bounds.len(),
            _ => 1,
        };
        mix(mix_text(thing, self.base()), (line / buckets) as u64)
    }

    /// Which share of the observations lies below the bound of this line.
    fn below_bound(&self, line: usize) -> f64 {
        let bounds = self.variants.last().map_or(1, |(_, bounds)| bounds.len());
        let above = 1.0 - (line % bounds + 1) as f64 / bounds as f64;
        1.0 - above * above * above
    }
}

/// What the laws of a family need to know about a thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thing {
    pub(super) seed: u64,
    /// When it started, in milliseconds since the Unix epoch.
    pub(super) start_ms: i64,
}

/// Which series rest, whatever their law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Holds {
    /// None: every law moves at every scrape.
    None,
    /// Some: in the mean this share (0.1 to 0.9) of those that have a law change per scrape. Two in ten change at every
    /// second scrape, the others at each or never.
    Changing(f64),
}

impl Holds {
    /// So that `share` of all lines change per scrape, those among them that never do included.
    pub(super) fn so_that(share: f64, families: &[Family]) -> Holds {
        let lines = |families: &mut dyn Iterator<Item = &Family>| -> f64 {
            families
                .map(|family| family.form.per_pod() * family.lines() as f64)
                .sum()
        };
        let all = lines(&mut families.iter());
        let moving = lines(&mut families.iter().filter(|family| family.pace.moves()));
        Holds::Changing((share * all / moving).clamp(0.1, 0.9))
    }

    /// For how many scrapes a value stays; `None` = for ever.
    fn of(self, word: u64) -> Option<u8> {
        let Holds::Changing(changing) = self else {
            return Some(1);
        };
        let place = share(word);
        if place < 0.2 {
            return Some(2);
        }
        (place < 0.1 + changing).then_some(1)
    }
}

impl Form {
    /// How many things of this form there are to each pod, in the mean.
    fn per_pod(self) -> f64 {
        match self {
            Form::Container | Form::StateContainer | Form::RuleContainer => 4.0 / 3.0,
            Form::Sandbox | Form::StatePod | Form::StatePodInfo | Form::App => 1.0,
            _ => 0.0,
        }
    }
}

impl Pace {
    fn moves(self) -> bool {
        !matches!(
            self,
            Pace::One | Pace::First | Pace::Fixed(..) | Pace::Start
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_count_through_all_combinations() {
        let family = Family::new("x", "gauge", "", Form::App, Pace::One)
            .by("method", &["GET", "POST"])
            .by("le", &["1", "+Inf"]);
        let seen: Vec<Vec<_>> = (0..family.lines())
            .map(|line| family.variant(line).collect())
            .collect();
        assert_eq!(seen.len(), 4);
        assert_eq!(seen[1], [("le", "+Inf"), ("method", "GET")]);
        assert_eq!(seen[2], [("le", "1"), ("method", "POST")]);
    }

    #[test]
    fn parts_of_a_histogram_have_one_base() {
        let parts = Family::histogram("a_seconds", "", Form::App, &[], &["1", "+Inf"], (1.0, 2.0));
        assert!(parts.iter().all(|part| part.base() == "a_seconds"));
        let plain = Family::new("b_count", "gauge", "", Form::App, Pace::One);
        assert_eq!(plain.base(), "b_count");
    }

    #[test]
    fn the_last_bucket_holds_everything() {
        let [buckets, _, _] =
            Family::histogram("a", "", Form::App, &[], &["1", "2", "+Inf"], (1.0, 1.0));
        assert_eq!(buckets.below_bound(2), 1.0);
        assert!(buckets.below_bound(0) < buckets.below_bound(1));
    }

    #[test]
    fn as_many_change_as_were_asked_for() {
        let moving = Family::new("a", "counter", "", Form::App, Pace::Count(1.0, 2.0));
        let still = Family::new("b", "gauge", "", Form::App, Pace::One);
        let holds = Holds::so_that(0.4, &[moving, still]);
        assert_eq!(holds, Holds::Changing(0.8));
        let words = (0..1000).map(|word| word * (u64::MAX / 1000));
        let changing: f64 = words
            .filter_map(|word| holds.of(word))
            .map(|hold| 1.0 / f64::from(hold))
            .sum();
        assert!((799.0..801.0).contains(&changing), "{changing}");
    }
}
