//! The window beside a list of everything that went in, over random rounds.

mod index;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::view::{Scratch, Series, WindowView};
use super::*;
use crate::model::matcher::{MatchOp, Matcher};
use crate::store::column::{Birth, Born, Recorded, Recorder, STALE};

const NOW: i64 = 1_700_000_000_000;
const STALE_AFTER: Duration = Duration::from_secs(60);

/// Random numbers (splitmix64), so that one seed is one history.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// What one round brings: labels as text, value, timestamp.
type Round = BTreeMap<String, (f64, i64)>;

/// Numbers series as the cache of a cluster does, and hands rounds to a window.
struct Feed {
    recorder: Recorder,
    round: u32,
    slots: BTreeMap<String, (u32, u32)>,
    free: Vec<u32>,
    next: u32,
}

impl Feed {
    fn new() -> Self {
        Self {
            recorder: Recorder::default(),
            round: 0,
            slots: BTreeMap::new(),
            free: Vec::new(),
            next: 0,
        }
    }

    fn recorded(&mut self, at_ms: i64, samples: &Round) -> Recorded {
        self.round += 1;
        self.recorder.begin(self.next as usize);
        let (mut text, mut births) = (String::new(), Vec::new());
        for (labels, (value, stamp)) in samples {
            let known = self.slots.get(labels).copied();
            let (slot, born) = known.unwrap_or_else(|| {
                let slot = self.free.pop().unwrap_or_else(|| {
                    self.next += 1;
                    self.next - 1
                });
                self.recorder.enter(slot);
                (slot, self.round)
            });
            self.slots.insert(labels.clone(), (slot, born));
            self.recorder.record(slot, *value, *stamp);
            let start = text.len();
            text.extend([format!("{labels} 1 {stamp}\n")]);
            if born == self.round {
                let line = start..text.len();
                births.push(Birth { slot, line });
            }
        }
        let free = &mut self.free;
        self.slots.retain(|labels, (slot, _)| {
            let stays = samples.contains_key(labels);
            if !stays {
                free.push(*slot);
            }
            stays
        });
        let born = Born {
            text: text.into(),
            births,
        };
        self.recorder
            .finish(self.round, at_ms, samples.len() as u64, born)
    }

    fn append(&mut self, window: &Window, at_ms: i64, samples: &Round) {
        let cluster = window.cluster("c", STALE_AFTER);
        let recorded = self.recorded(at_ms, samples);
        let mut work = cluster.append(window, recorded);
        while !work.is_done() {
            work.step();
        }
        if let Some((_, index)) = &cluster.lock().current {
            let (counted, used) = index.uses();
            assert_eq!(counted, used, "uses of texts");
        }
    }
}

/// Everything that went in.
#[derive(Default)]
struct Naive {
    /// By labels: era, number of the round, time, bits.
    samples: BTreeMap<String, Vec<(u64, u32, i64, u64)>>,
    /// The last sample of each series that is there.
    live: BTreeMap<String, i64>,
    last_round: Option<(u64, u32, i64)>,
    newest: Round,
}

impl Naive {
    fn end(&mut self, labels: &str, (era, number): (u64, u32), at_ms: i64) {
        if let Some(last) = self.live.remove(labels) {
            let at_ms = at_ms.max(last + 1);
            self.samples
                .entry(labels.into())
                .or_default()
                .push((era, number, at_ms, STALE));
        }
    }

    fn append(&mut self, (era, number): (u64, u32), at_ms: i64, samples: &Round) {
        let live: Vec<String> = self.live.keys().cloned().collect();
        if let Some((last_era, last_number, last_ms)) = self.last_round {
            let stale_ms = last_ms + 60_000;
            let goes_on = |labels: &String| {
                last_era != era && stale_ms >= at_ms && samples.contains_key(labels)
            };
            if last_era != era || stale_ms < at_ms {
                for labels in &live {
                    if goes_on(labels) {
                        self.live.remove(labels);
                    }
                    self.end(labels, (last_era, last_number + 1), at_ms.min(stale_ms));
                }
            }
        }
        for labels in live.iter().filter(|labels| !samples.contains_key(*labels)) {
            self.end(labels, (era, number), at_ms);
        }
        for (labels, &(value, stamp)) in samples {
            if self.live.get(labels).is_none_or(|last| stamp > *last) {
                self.live.insert(labels.clone(), stamp);
                let list = self.samples.entry(labels.clone()).or_default();
                list.push((era, number, stamp, value.to_bits()));
            }
        }
        self.last_round = Some((era, number, at_ms));
        self.newest = samples.clone();
    }

    /// What a reader sees who sees these rounds (era and number of the first).
    fn seen(&self, held: &BTreeMap<u64, u32>) -> BTreeMap<String, Vec<(i64, u64)>> {
        let mut seen = BTreeMap::new();
        for (labels, samples) in &self.samples {
            let (mut list, mut last_ms): (Vec<(i64, u64)>, i64) = (Vec::new(), i64::MIN);
            for &(era, number, at_ms, bits) in samples {
                let is_held = held.get(&era).is_some_and(|first| number >= *first);
                if !is_held || at_ms <= last_ms {
                    continue;
                }
                last_ms = at_ms;
                let ended = list.last().is_none_or(|(_, last)| *last == STALE);
                if bits != STALE || !ended {
                    list.push((at_ms, bits));
                }
            }
            // The newest round says again what the series had last, which may have been forgotten.
            let again = self.newest.get(labels);
            let again = again.filter(|(_, stamp)| self.live.get(labels) == Some(stamp));
            let has_sample = list.last().is_some_and(|(_, last)| *last != STALE);
            if let Some((value, stamp)) = again.filter(|(_, stamp)| *stamp > last_ms && !has_sample)
            {
                list.push((*stamp, value.to_bits()));
            }
            if !list.is_empty() {
                seen.insert(labels.clone(), list);
            }
        }
        seen
    }
}

/// Labels as the feed writes them.
fn text_of(series: Series<'_>) -> String {
    let name = series.label("__name__").unwrap();
    let labels: Vec<String> = series
        .labels()
        .filter(|(name, _)| *name != "__name__")
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    if labels.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", labels.join(","))
    }
}

fn shown(view: &WindowView, start_ms: i64, end_ms: i64) -> BTreeMap<String, Vec<(i64, u64)>> {
    let (mut scratch, mut found) = (Scratch::default(), BTreeMap::new());
    for series in &view.select(&[]) {
        let (series, mut samples) = (view.series(series), Vec::new());
        let push = |at: i64, value: f64| samples.push((at, value.to_bits()));
        series.samples(start_ms, end_ms, &mut scratch, push);
        let newest = series.newest(start_ms, end_ms, &mut scratch);
        assert_eq!(
            newest.map(|(at, value)| (at, value.to_bits())),
            samples.last().copied()
        );
        if !samples.is_empty() {
            let before = found.insert(text_of(series), samples);
            assert!(before.is_none(), "{} stands there twice", text_of(series));
        }
    }
    found
}

/// How a made-up value moves.
fn value(kind: u64, dice: &mut Dice, round: u64) -> f64 {
    let small = (dice.below(1000) as f64) / 10.0;
    match kind % 9 {
        0 => 1.0,
        1 => (round * 15 + dice.below(3)) as f64,
        2 => {
            if dice.one_in(3) {
                2.0
            } else {
                4.5
            }
        }
        3 => small,
        4 => f64::from_bits(dice.roll()),
        5 => [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            0.0,
            5e-324,
            f64::MAX,
        ][usize::try_from(dice.below(7)).unwrap()],
        6 => 9_007_199_254_740_993.0 + (dice.below(1000) * 4) as f64,
        7 => 1_700_000_000.123 + small,
        _ => -(round as f64) * 0.001,
    }
}

/// A fleet of one cluster: targets with their own clocks, series that come and go.
struct Targets {
    dice: Dice,
    /// Labels, kind of values, target, newest timestamp.
    series: Vec<(String, u64, usize, i64)>,
    clocks: Vec<i64>,
}

impl Targets {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let targets = 1 + usize::try_from(dice.below(4)).unwrap();
        let series = (0..40 + dice.below(200))
            .map(|number| {
                (
                    format!("m{}{{cluster=\"c\",n=\"{number}\"}}", number % 5),
                    dice.roll(),
                    0,
                    i64::MIN,
                )
            })
            .collect::<Vec<_>>();
        let mut targets = Self {
            clocks: vec![NOW; targets],
            dice,
            series,
        };
        for at in 0..targets.series.len() {
            targets.series[at].2 =
                usize::try_from(targets.dice.below(targets.clocks.len() as u64)).unwrap();
        }
        targets
    }

    fn round(&mut self, at_ms: i64, number: u64) -> Round {
        let dice = &mut self.dice;
        for clock in &mut self.clocks {
            match dice.below(12) {
                0 => {}
                1 => *clock -= 7000,
                2 => *clock = at_ms + 30_000,
                _ => *clock = at_ms - 1 - (dice.below(2) * 200).cast_signed(),
            }
        }
        let mut round = Round::new();
        for (labels, kind, target, newest) in &mut self.series {
            if dice.one_in(if *kind % 7 == 0 { 3 } else { 40 }) {
                continue;
            }
            if dice.one_in(100) {
                *target = 0;
            }
            let own = if dice.one_in(60) {
                dice.below(20_000).cast_signed()
            } else {
                0
            };
            let stamp = self.clocks[*target] - own;
            if stamp > *newest && dice.one_in(50) {
                rewrite(labels);
            }
            *newest = stamp.max(*newest);
            round.insert(labels.clone(), (value(*kind, dice, number), stamp));
        }
        round
    }
}

/// A label without value, which makes no other series of it.
const BLANK: &str = ",x=\"\"}";

/// Writes the labels of a series otherwise.
fn rewrite(labels: &mut String) {
    *labels = match labels.strip_suffix(BLANK) {
        Some(front) => format!("{front}}}"),
        None => labels.replace('}', BLANK),
    };
}

fn history(seed: u64) {
    let mut targets = Targets::new(seed);
    let keep = Duration::from_secs(60 + targets.dice.below(900));
    let window = Window::new(keep, "cluster".into());
    let (mut feed, mut naive, mut at_ms) = (Feed::new(), Naive::default(), NOW);
    for number in 0..70 {
        at_ms += 15_000;
        if targets.dice.one_in(25) {
            at_ms += 50_000 * targets.dice.below(3).cast_signed();
        }
        if targets.dice.one_in(30) {
            at_ms -= 17_000;
        }
        if targets.dice.one_in(40) {
            feed = Feed::new();
        }
        let round = targets.round(at_ms, number);
        feed.append(&window, at_ms, &round);
        let round = round
            .into_iter()
            .map(|(labels, sample)| (labels.replace(BLANK, "}"), sample));
        let round: Round = round.collect();
        let state = window.cluster("c", STALE_AFTER).state.load_full();
        naive.append(newest(&window), at_ms, &round);
        if number % 9 == 0 || number > 66 {
            let held: BTreeMap<u64, u32> = state
                .eras
                .iter()
                .map(|era| (era.id, era.oldest_number().unwrap()))
                .collect();
            let view = window.view(at_ms);
            let want = naive.seen(&held);
            check_same(
                &shown(&view, i64::MIN, i64::MAX),
                &want,
                &format!("round {number}"),
            );
            check_ranges(&view, &want, &mut targets.dice, at_ms);
            check_held(&window, &state, at_ms);
        }
    }
}

type Shown = BTreeMap<String, Vec<(i64, u64)>>;

fn check_same(got: &Shown, want: &Shown, when: &str) {
    for (labels, samples) in got {
        assert_eq!(Some(samples), want.get(labels), "{labels}, {when}");
    }
    assert!(want.keys().eq(got.keys()), "series are missing, {when}");
}

/// Any range of time gives the samples of the whole that lie in it.
fn check_ranges(view: &WindowView, want: &Shown, dice: &mut Dice, at_ms: i64) {
    let start_ms = at_ms - dice.below(1_000_000).cast_signed();
    let end_ms = start_ms + dice.below(500_000).cast_signed();
    let mut part = want.clone();
    for list in part.values_mut() {
        list.retain(|(at, _)| (start_ms..=end_ms).contains(at));
        if list.first().is_some_and(|(_, bits)| *bits == STALE) {
            list.remove(0);
        }
    }
    part.retain(|_, list| !list.is_empty());
    check_same(
        &shown(view, start_ms, end_ms),
        &part,
        &format!("from {start_ms} to {end_ms}"),
    );
}

/// Nothing stays that is too old, but for the rest of a batch.
fn check_held(window: &Window, state: &State, at_ms: i64) {
    let oldest_allowed = window.oldest_allowed(at_ms);
    for era in &state.eras {
        assert!(
            era.batches
                .iter()
                .all(|batch| *batch.at_ms.last().unwrap() >= oldest_allowed)
        );
        assert!(
            era.columns.len() <= 16 + 2,
            "{} rounds are not sealed",
            era.columns.len()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn the_window_is_what_went_in(seed: u64) {
        history(seed);
    }
}

fn round(samples: &[(&str, f64, i64)]) -> Round {
    samples
        .iter()
        .map(|(labels, value, at)| ((*labels).to_owned(), (*value, *at)))
        .collect()
}

/// `value@seconds` of the one series that a selector takes, `x` for a stale marker.
fn samples(view: &WindowView, name: &str) -> String {
    let matcher = Matcher::new(MatchOp::Equal, "__name__", name).unwrap();
    let found = view.select(&[matcher]);
    assert!(found.len() <= 1, "{found:?}");
    let (mut scratch, mut list) = (Scratch::default(), Vec::new());
    for series in &found {
        view.series(series)
            .samples(i64::MIN, i64::MAX, &mut scratch, |at, value| {
                list.push((at, value));
            });
    }
    let shown = |(at, value): &(i64, f64)| {
        let at = *at as f64 / 1000.0;
        if value.to_bits() == STALE {
            format!("x@{at}")
        } else {
            format!("{value}@{at}")
        }
    };
    list.iter().map(shown).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_series_that_comes_in_another_slot_goes_on() {
    let window = Window::new(Duration::from_secs(900), "cluster".into());
    let mut feed = Feed::new();
    let ways = ["a{b=\"c\"}", "a{b=\"c\",d=\"\"}"];
    let mut want = Vec::new();
    for number in 0..24 {
        let at_ms = 10_000 * (i64::from(number) + 1);
        let way = ways[usize::from(number % 5 == 0)];
        feed.append(
            &window,
            at_ms,
            &round(&[(way, number.into(), at_ms - 1_000)]),
        );
        want.push(format!("{number}@{}", at_ms / 1000 - 1));
        assert_eq!(samples(&window.view(at_ms), "a"), want.join(" "));
    }
}

#[test]
fn a_series_ends_where_a_round_lacks_it_and_when_the_cluster_is_stale() {
    let window = Window::new(Duration::from_secs(900), "cluster".into());
    let mut feed = Feed::new();
    feed.append(
        &window,
        10_000,
        &round(&[("a", 1.0, 9_000), ("b", 1.0, 9_000)]),
    );
    feed.append(&window, 20_000, &round(&[("a", 2.0, 19_000)]));
    let check = |now_ms: i64, name: &str, want: &str| {
        assert_eq!(
            samples(&window.view(now_ms), name),
            want,
            "{name} at {now_ms}"
        );
    };
    check(20_000, "a", "1@9 2@19");
    check(20_000, "b", "1@9 x@20");
    check(80_000, "a", "1@9 2@19");
    check(80_001, "a", "1@9 2@19 x@80");
    check(80_001, "b", "1@9 x@20");
    feed.append(
        &window,
        95_000,
        &round(&[("a", 3.0, 94_000), ("b", 3.0, 94_000)]),
    );
    check(95_000, "a", "1@9 2@19 x@80 3@94");
    check(95_000, "b", "1@9 x@20 3@94");
}

#[test]
fn other_rules_begin_another_era_and_the_same_labels_go_on() {
    let window = Window::new(Duration::from_secs(900), "cluster".into());
    Feed::new().append(
        &window,
        10_000,
        &round(&[("a", 1.0, 9_000), ("b", 1.0, 9_000)]),
    );
    Feed::new().append(
        &window,
        20_000,
        &round(&[("c", 2.0, 19_000), ("b", 2.0, 19_000)]),
    );
    let view = window.view(20_000);
    assert_eq!(samples(&view, "a"), "1@9 x@20");
    assert_eq!(samples(&view, "b"), "1@9 2@19");
    assert_eq!(samples(&view, "c"), "2@19");
}

#[test]
fn memory_makes_the_window_shorter_and_time_makes_it_longer() {
    let window = Window::new(Duration::from_secs(160), "cluster".into());
    let (mut feed, mut at_ms) = (Feed::new(), NOW);
    let mut go = |rounds: u32| {
        for _ in 0..rounds {
            at_ms += 1000;
            feed.append(&window, at_ms, &round(&[("a", 1.0, at_ms)]));
        }
        at_ms
    };
    let held = |window: &Window| window.held()[0].1.samples;
    let now_ms = go(160);
    assert!(held(&window) >= 160, "{}", held(&window));
    assert!(window.shorten(now_ms));
    assert!((80..=96).contains(&held(&window)), "{}", held(&window));
    while window.shorten(now_ms) {}
    assert_eq!(window.length(), Duration::ZERO);
    assert!(held(&window) < 20);
    window.lengthen(now_ms + 5000, true);
    assert_eq!(window.length(), Duration::ZERO, "too early");
    window.lengthen(now_ms + 11_000, true);
    assert_eq!(window.length(), Duration::from_millis(10_001));
    window.lengthen(now_ms + 30_000, false);
    window.lengthen(now_ms + 35_000, true);
    assert_eq!(
        window.length(),
        Duration::from_millis(10_001),
        "no room a moment ago"
    );
    for minute in 1..10 {
        window.lengthen(now_ms + 600_000 * minute, true);
    }
    assert_eq!(window.length(), Duration::from_secs(160));
}

#[test]
fn a_series_that_is_there_is_seen_however_short_the_window_is() {
    let window = Window::new(Duration::from_secs(160), "cluster".into());
    let (mut feed, mut naive) = (Feed::new(), Naive::default());
    let mut go = |window: &Window, seconds: i64| {
        // The source of `slow` is asked once in 40 seconds.
        let (at_ms, slow) = (NOW + 1000 * seconds, NOW + 40_000 * (seconds / 40));
        let said = round(&[("quick", 1.0, at_ms), ("slow", 2.0, slow)]);
        feed.append(window, at_ms, &said);
        naive.append(newest(window), at_ms, &said);
        check_all(window, &naive, at_ms);
        let slow = samples(&window.view(at_ms), "slow");
        assert!(!slow.is_empty(), "at {seconds}");
    };
    (0..70).for_each(|seconds| go(&window, seconds));
    assert!(window.shorten(NOW + 70_000) && window.shorten(NOW + 70_000));
    (70..130).for_each(|seconds| go(&window, seconds));
    while window.shorten(NOW + 130_000) {}
    (130..230).for_each(|seconds| go(&window, seconds));
}

/// What a reader sees is what went in, the newest round of which is this one.
fn check_all(window: &Window, naive: &Naive, at_ms: i64) {
    let state = window.cluster("c", STALE_AFTER).state.load_full();
    let era = state.eras.last().unwrap();
    let held = [(era.id, era.oldest_number().unwrap())].into();
    let shown = shown(&window.view(at_ms), i64::MIN, i64::MAX);
    check_same(&shown, &naive.seen(&held), &format!("at {at_ms}"));
}

/// Era and number of the newest round.
fn newest(window: &Window) -> (u64, u32) {
    let state = window.cluster("c", STALE_AFTER).state.load_full();
    let era = state.eras.last().unwrap();
    (era.id, era.columns.last().unwrap().number)
}

#[test]
fn births_of_several_slices_are_all_entered() {
    let window = Window::new(Duration::from_secs(900), "cluster".into());
    let (mut feed, mut naive) = (Feed::new(), Naive::default());
    for (number, at_ms) in (0..4).zip((NOW..).step_by(15_000)) {
        // Each time 900 come, 900 go, and 400 stay that are written otherwise: they have their rows again.
        let first = 900 * number;
        let line = |n: u32| (format!("m{{n=\"{n}\"}}"), (f64::from(n), at_ms));
        let samples: Round = (first..first + 1300).map(line).collect();
        let written = samples.clone().into_iter().map(|(mut labels, sample)| {
            if number % 2 == 1 {
                rewrite(&mut labels);
            }
            (labels, sample)
        });
        feed.append(&window, at_ms, &written.collect());
        naive.append(newest(&window), at_ms, &samples);
        check_all(&window, &naive, at_ms);
    }
    assert_eq!(window.held()[0].1.series, 1300 + 3 * 900);
}

#[test]
fn sealing_is_given_up_when_its_rounds_are_forgotten_meanwhile() {
    let window = Window::new(Duration::from_secs(12), "cluster".into());
    let (mut feed, mut naive) = (Feed::new(), Naive::default());
    let mut given_up = None;
    for (number, at_ms) in (0..36).zip((NOW..).step_by(1000)) {
        // So many that they are sealed in two slices.
        let line = |n: u32| (format!("m{{n=\"{n}\"}}"), (f64::from(n * number), at_ms));
        let samples: Round = (0..9_000).map(line).collect();
        let cluster = window.cluster("c", STALE_AFTER);
        let mut work = cluster.append(&window, feed.recorded(at_ms, &samples));
        let mut is_shown = false;
        while !work.is_done() {
            let seals = is_shown && work.part() == Part::Samples;
            is_shown |= !work.is_heavy();
            work.step();
            if seals && given_up.is_none() {
                assert!(!work.is_done() && window.shorten(at_ms));
                given_up = Some(number);
            }
        }
        window.lengthen(at_ms, true);
        naive.append(newest(&window), at_ms, &samples);
        let is_last = number == 35;
        if given_up == Some(number) || is_last {
            let is_sealed = !cluster.state.load().eras[0].batches.is_empty();
            assert_eq!(is_sealed, is_last);
            check_all(&window, &naive, at_ms);
        }
    }
    assert!(given_up.is_some_and(|number| number < 35));
}

#[test]
fn labels_go_after_the_rounds_that_had_them() {
    // One window is too short for its rounds to be sealed.
    for kept in [3, 40] {
        let window = Window::new(Duration::from_secs(kept), "cluster".into());
        let mut feed = Feed::new();
        for (first, at_ms) in (0..300).zip((NOW..).step_by(1000)) {
            let lines = (first..first + 20).map(|n| (format!("m{{n=\"{n}\"}}"), (1.0, at_ms)));
            feed.append(&window, at_ms, &lines.collect());
        }
        let series = window.held()[0].1.series;
        let most = 2 * (20 + kept + 16);
        assert!((20..most).contains(&series), "{series} of {kept} rounds");
    }
}

#[test]
fn what_we_know_of_a_cluster_is_there_as_series() {
    let window = Window::new(Duration::from_secs(60), "cluster".into());
    let cluster = window.cluster("c", STALE_AFTER);
    cluster.ended(&window, 10_000, true, Some(Duration::ZERO));
    cluster.ended(&window, 25_000, false, Some(Duration::from_secs(15)));
    let view = window.view(25_000);
    assert_eq!(samples(&view, "tributary_cluster_up"), "1@10 0@25");
    assert_eq!(
        samples(&view, "tributary_cluster_snapshot_age_seconds"),
        "0@10 15@25"
    );
    let none: [&[Matcher]; 0] = [];
    assert_eq!(texts(&view.label_names(&none)), ["__name__", "cluster"]);
    assert_eq!(texts(&view.label_values("cluster", &none)), ["c"]);
    cluster.ended(&window, 80_000, false, None);
    assert_eq!(
        samples(&window.view(80_000), "tributary_cluster_up"),
        "0@25 0@80"
    );
}

fn texts(list: &[Arc<str>]) -> Vec<&str> {
    list.iter().map(|text| &**text).collect()
}
