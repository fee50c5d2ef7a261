//! Rounds over bodies written out here, and the property that a warm cache changes nothing.

use std::sync::Arc;

use super::*;
use crate::model::metadata::MetadataEntry;
use crate::model::metadata::MetricKind;
use crate::relabel::{NameScheme, Rule, RuleSpec};
use crate::scrape::limits::Limits;
use crate::scrape::rules::{LabelConflict, OnBadLine};
use crate::store::column::Birth;
use crate::store::snapshot::Family;

const NOW: i64 = 1_700_000_000_000;

fn rules() -> Rules {
    Rules {
        cluster: "c".into(),
        cluster_label: "cluster".into(),
        honor_timestamps: true,
        ..Rules::default()
    }
}

/// One round, the body in windows of `step` bytes.
fn round(
    cache: Box<Cache>,
    rules: &Arc<Rules>,
    format: Format,
    body: &[u8],
    step: usize,
) -> (Box<Cache>, Result<(Snapshot, Report), RoundError>) {
    let mut round = Round::start(cache, rules.clone(), format, NOW, &Buffers::default());
    let result = body
        .chunks(step.max(1))
        .try_for_each(|window| round.push(window));
    match result.and_then(|()| round.end_body(End::Framed)) {
        Ok(()) => round.finish(&Arc::default()),
        Err(error) => (round.abandon(), Err(error)),
    }
}

fn cold(rules: Rules, body: &str) -> Result<(Snapshot, Report), RoundError> {
    round(
        Box::default(),
        &Arc::new(rules),
        Format::Text,
        body.as_bytes(),
        1 << 16,
    )
    .1
}

/// All that a reader can see of a snapshot.
fn shown(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for family in &snapshot.families {
        let lines = std::str::from_utf8(family.block.text()).unwrap();
        let starts: Vec<_> = family
            .lines
            .iter(lines.len())
            .map(|(_, place)| &lines[place])
            .collect();
        assert_eq!(
            starts.concat(),
            lines,
            "the table of lines covers the block"
        );
        assert!(
            starts
                .iter()
                .all(|line| line.ends_with('\n') && line.matches('\n').count() == 1)
        );
        let head = format!(
            "{} {:?} {:?}\n",
            family.heading.name, family.heading.kind, family.heading.base
        );
        text.extend([&head, lines]);
    }
    text
}

fn text_of(rules: Rules, body: &str) -> String {
    let (snapshot, _) = cold(rules, body).unwrap();
    snapshot
        .families
        .iter()
        .map(|family| String::from_utf8(family.block.text().to_vec()).unwrap())
        .collect()
}

#[test]
fn lines_are_stamped_and_sorted_by_name() {
    let check = |body: &str, want: &str| assert_eq!(text_of(rules(), body), want, "{body}");
    check("up 1 1000\n", "up{cluster=\"c\",instance=\"\"} 1 1000\n");
    check(
        "b{instance=\"i\"} 1 5\na{instance=\"i\"} 2 6\n",
        "a{instance=\"i\",cluster=\"c\"} 2 6\nb{instance=\"i\",cluster=\"c\"} 1 5\n",
    );
    check(
        "a{instance=\"\"} 1 5\n",
        "a{instance=\"\",cluster=\"c\"} 1 5\n",
    );
    check(
        "a{b=\"\",instance=\"i\"} 1 5\n",
        "a{cluster=\"c\",instance=\"i\"} 1 5\n",
    );
    check(
        "a { b = \"x\" , instance=\"i\", } 1 5\n",
        "a{b=\"x\",cluster=\"c\",instance=\"i\"} 1 5\n",
    );
    check(
        "{\"a.b\",instance=\"i\"} 1 5\n",
        "{\"a.b\",cluster=\"c\",instance=\"i\"} 1 5\n",
    );
    check(
        "a{instance=\"x\ny\"} 1 5\n",
        "a{cluster=\"c\",instance=\"x\\ny\"} 1 5\n",
    );
    check(
        "a{instance=\"i\"} 1 5",
        "a{instance=\"i\",cluster=\"c\"} 1 5\n",
    );
}

#[test]
fn values_keep_their_text_and_a_missing_timestamp_is_the_rounds() {
    let value = |text: &str| {
        let line = text_of(rules(), &format!("a{{instance=\"i\"}} {text}\n"));
        let ending = line.strip_prefix("a{instance=\"i\",cluster=\"c\"} ");
        ending
            .unwrap_or_else(|| panic!("{text}: {line}"))
            .trim_end()
            .to_owned()
    };
    let check = |input: &str, want: &str| assert_eq!(value(input), want, "{input}");
    check("1.50 1000", "1.50 1000");
    check("1e3  1000", "1e3 1000");
    check("1", &format!("1 {NOW}"));
    check("nan 1000", "NaN 1000");
    check("+inf 1000", "+Inf 1000");
    check("-Infinity 1000", "-Inf 1000");
    let restamped = Rules {
        honor_timestamps: false,
        ..rules()
    };
    assert!(text_of(restamped, "a 1 5\n").ends_with(&format!("1 {NOW}\n")));
}

#[test]
fn what_does_not_leave_is_counted() {
    let check = |body: &str, kept: u64, reason: Dropped, count: u64| {
        let (_, report) = cold(rules(), body).unwrap();
        assert_eq!(
            (report.kept, report.dropped(reason)),
            (kept, count),
            "{body}"
        );
    };
    check("a 1\na 2\n", 1, Dropped::Duplicate, 1);
    check(
        "a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 1\n",
        1,
        Dropped::Duplicate,
        1,
    );
    let far = NOW + 11 * 60 * 1000;
    check(&format!("a 1\nb 1 {far}\n"), 1, Dropped::Future, 1);
    check("a 1\nb 1 9223372036854775807\n", 1, Dropped::Future, 1);
    check(
        "a 1\nb{x=\"1\"} 1\nb{x=\"2} 2\nb{x=\"3\"} 3\nc 1\n",
        2,
        Dropped::Quarantined,
        2,
    );
    check("a 1\nb{x=\"2\"} zwei\nc 1\n", 2, Dropped::BadLine, 1);
}

#[test]
fn a_bad_line_takes_its_family_and_no_other() {
    let names = |body: &str| -> Vec<String> {
        cold(rules(), body)
            .unwrap()
            .0
            .families
            .iter()
            .map(|family| family.heading.name.to_string())
            .collect()
    };
    let check = |body: &str, want: &[&str]| assert_eq!(names(body), want, "{body}");
    check("a 1\nb 1\nb x\nc 1\n", &["a", "c"]);
    check(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum x\nh_count 1\n# TYPE i untyped\ni 1\n",
        &["i"],
    );
    check("# TYPE b untyped\nb{x=\"1\" 1\nb 2\nbb 1\n", &["bb"]);
    check("a 1\n}{\nb 1\n", &["b"]);
    check("a 1\nb\0 1\nc 1\n", &["a", "c"]);
    check("a 1\n{x=\"1\"} 1\nb 1\n", &["b"]);
    check("a{x=\"\0\"} 1\n", &["a"]);
    let two = cold(rules(), "a 1\nb x\nc y\n").unwrap().1;
    assert_eq!(two.quarantined, ["b", "c"]);
    let strict = Rules {
        on_bad_line: OnBadLine::Fail,
        ..rules()
    };
    assert_eq!(cold(strict, "a 1\nb x\n").unwrap_err().reason(), "bad_line");
    assert_eq!(
        cold(rules(), "<html>\n<body>\n").unwrap_err().reason(),
        "bad_line"
    );
}

#[test]
fn a_line_that_is_too_long_is_left_out_whole_wherever_the_windows_end() {
    let filler = "z".repeat(LINE_MAX);
    let check = |body: &str, want: &str| {
        for step in [1000, 1 << 16, LINE_MAX + 7, 1 << 22] {
            let rules = Arc::new(rules());
            let (_, result) = round(Box::default(), &rules, Format::Text, body.as_bytes(), step);
            let (snapshot, report) = result.unwrap();
            let left: Vec<_> = snapshot
                .families
                .iter()
                .map(|family| &*family.heading.name)
                .collect();
            assert_eq!(left.join(" "), want, "windows of {step}");
            assert_eq!(report.dropped(Dropped::BadLine), 1, "windows of {step}");
        }
    };
    check(&format!("a 1\nb{{c=\"{filler}\"}} 1\nd 1\n"), "a d");
    check(&format!("a 1\n# HELP b {filler} e 1\nd 1\n"), "a d");
    check(
        &format!("a 1\nb {}1234\nd 1\n", "0".repeat(LINE_MAX)),
        "a d",
    );
}

#[test]
fn an_open_quote_costs_no_square_of_the_body() {
    let body = format!("b{{c=\"x 1\n{}", "a 1\n".repeat(400_000));
    let rules = Arc::new(rules());
    let (_, result) = round(
        Box::default(),
        &rules,
        Format::Text,
        body.as_bytes(),
        1 << 14,
    );
    let (snapshot, report) = result.unwrap();
    assert_eq!((snapshot.series, report.dropped(Dropped::BadLine)), (1, 1));
}

#[test]
fn a_body_that_was_cut_fails_the_round() {
    let end = |format: Format, body: &str, end: End| {
        let mut round = Round::start(
            Box::default(),
            Arc::new(rules()),
            format,
            NOW,
            &Buffers::default(),
        );
        round
            .push(body.as_bytes())
            .and_then(|()| round.end_body(end))
            .map_err(|error| error.reason())
    };
    assert_eq!(end(Format::Text, "a 1\nb 12", End::Closed), Err("cut"));
    assert_eq!(end(Format::Text, "a 1\nb 12", End::Framed), Ok(()));
    assert_eq!(end(Format::Text, "a 1\nb 12\n", End::Closed), Ok(()));
    assert_eq!(end(Format::Text, "", End::Closed), Err("cut"));
    assert_eq!(end(Format::Text, "", End::Framed), Ok(()));
    assert_eq!(
        end(Format::OpenMetrics, "a 1\nb 12\n", End::Framed),
        Err("cut")
    );
    assert_eq!(
        end(Format::OpenMetrics, "a 1\n# EOF\n", End::Framed),
        Ok(())
    );
    assert_eq!(end(Format::OpenMetrics, "a 1\n# EOF", End::Closed), Ok(()));
}

#[test]
fn openmetrics_is_read_into_the_same_lines() {
    let body =
        "# TYPE a counter\n# HELP a Help.\na_total{instance=\"i\"} 1 1.5 # {id=\"x\"} 1\n# EOF\n";
    let (_, result) = round(
        Box::default(),
        &Arc::new(rules()),
        Format::OpenMetrics,
        body.as_bytes(),
        7,
    );
    let (snapshot, _) = result.unwrap();
    let family = &snapshot.families[0];
    assert_eq!(
        (
            &*family.heading.name,
            family.heading.kind,
            &*family.heading.help
        ),
        ("a_total", MetricKind::Counter, "Help.")
    );
    assert_eq!(
        &family.block.text()[..],
        b"a_total{instance=\"i\",cluster=\"c\"} 1 1500\n"
    );
}

#[test]
fn limits_fail_the_round() {
    let check = |limits: Limits, want: Result<u64, &str>| {
        let got = cold(Rules { limits, ..rules() }, "a{b=\"cc\"} 1\nb 1\n");
        assert_eq!(
            got.map(|(_, report)| report.kept)
                .map_err(|error| error.reason()),
            want
        );
    };
    check(
        Limits {
            series: 2,
            ..Limits::default()
        },
        Ok(2),
    );
    check(
        Limits {
            series: 1,
            ..Limits::default()
        },
        Err("series_limit"),
    );
    check(
        Limits {
            label_value_length: 1,
            ..Limits::default()
        },
        Err("label_limit"),
    );
}

#[test]
fn a_failed_round_leaves_the_cache_as_it_was() {
    let rules = Arc::new(rules());
    let (cache, _) = round(Box::default(), &rules, Format::Text, b"a 1\nb 2\n", 99);
    let mut failing = Round::start(cache, rules.clone(), Format::Text, NOW, &Buffers::default());
    failing.push(b"a 5\nnew 1\nb{x=\"1\"} 2\n").unwrap();
    let (cache, result) = round(failing.abandon(), &rules, Format::Text, b"a 1\nb 3\n", 99);
    let (snapshot, report) = result.unwrap();
    assert_eq!(
        (report.matched, report.added, report.removed, cache.len()),
        (2, 0, 0, 2)
    );
    assert_eq!(snapshot.series, 2);
}

#[test]
fn the_steady_state_matches_by_position() {
    let rules = Arc::new(rules());
    let body = |value: u32| -> String {
        let line = |n: u32| {
            format!("# TYPE m{n:03} untyped\nm{n:03}{{instance=\"i\",r=\"0\"}} {value} {NOW}\n")
        };
        (0..500).map(line).collect()
    };
    let (cache, _) = round(
        Box::default(),
        &rules,
        Format::Text,
        body(1).as_bytes(),
        1000,
    );
    let (cache, result) = round(cache, &rules, Format::Text, body(22).as_bytes(), 1000);
    assert!(
        result.unwrap().1.matched >= 490,
        "lines cut by a window go the longer way"
    );
    let inserted = body(3).replacen("# TYPE m250", "m249x{instance=\"i\"} 1 5\n# TYPE m250", 1);
    let (_, result) = round(cache, &rules, Format::Text, inserted.as_bytes(), 1 << 20);
    assert_eq!(
        result.unwrap().1.matched,
        500,
        "one insertion does not cost the position"
    );
}

/// A small generator: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn line(&mut self) -> String {
        let name = ["a", "b_total", "h_bucket", "h_sum", "rule:x", "z"][self.roll(6)];
        let labels = match self.roll(9) {
            0 => String::new(),
            1 => format!("{{job=\"{}\",cluster=\"other\"}}", self.roll(3)),
            2 => format!("{{ job = \"{}\" , }}", self.roll(3)),
            3 => format!("{{job=\"{}\",r=\"{}\"}}", self.roll(3), self.roll(2)),
            4 => format!(
                "{{instance=\"\",job=\"{}\",le=\"{}\"}}",
                self.roll(3),
                self.roll(2)
            ),
            5 => format!("{{le=\"1.0\",job=\"{}\\\"\"}}", self.roll(3)),
            6 => format!(
                "{{r=\"{}\",job=\"{}\",instance=\"i\"}}",
                self.roll(2),
                self.roll(3)
            ),
            _ => format!(
                "{{instance=\"i{}\",job=\"{}\",r=\"0\"}}",
                self.roll(4),
                self.roll(3)
            ),
        };
        format!("{name}{labels} {}\n", self.ending())
    }

    fn ending(&mut self) -> String {
        let value = ["1", "2.5", "10000", "1e9", "NaN", "+Inf", "-0.125"][self.roll(7)];
        match self.roll(6) {
            0 => value.to_owned(),
            1 => format!("{value}  {NOW}"),
            2 if self.roll(4) == 0 => format!("{value} {}", NOW + 3_600_000),
            _ => format!("{value} {}", NOW - i64::try_from(self.roll(5000)).unwrap()),
        }
    }

    fn edit(&mut self, lines: &mut Vec<String>) {
        let at = self.roll(lines.len() + 1);
        let there = at.min(lines.len().saturating_sub(1));
        match self.roll(10) {
            0 | 1 => lines.insert(at, self.line()),
            2 if lines.len() > 3 => drop(lines.remove(there)),
            3 if !lines.is_empty() => {
                let other = self.roll(lines.len());
                lines.swap(there, other);
            }
            4 => lines.insert(
                at,
                [
                    "garbage{\n",
                    "a{job=\"1\"} x\n",
                    "\n",
                    "# note\n",
                    "{x=\"1\"} 1\n",
                ][self.roll(5)]
                .into(),
            ),
            5 => {
                let kind = ["counter", "histogram", "untyped", "gauge"][self.roll(4)];
                lines.insert(
                    at,
                    format!(
                        "# TYPE {} {kind}\n",
                        ["a", "b_total", "h", "z"][self.roll(4)]
                    ),
                );
            }
            6 => lines.retain(|line| {
                !line.contains("garbage") && !line.ends_with("x\n") && !line.starts_with('{')
            }),
            _ if !lines.is_empty() => {
                // New numbers at the end of some lines: the usual round.
                for line in lines.iter_mut().filter(|line| !line.starts_with('#')) {
                    let key = line
                        .rfind('}')
                        .map_or_else(|| line.find(' ').unwrap_or(0), |brace| brace + 1);
                    if self.roll(3) > 0 && key > 0 {
                        *line = format!("{} {}\n", &line[..key], self.ending());
                    }
                }
            }
            _ => {}
        }
    }
}

fn some_rules() -> Vec<Arc<Rules>> {
    let rule = |spec: RuleSpec| Rule::compile(&spec, NameScheme::Utf8).unwrap();
    let text = |text: &str| Some(text.to_owned());
    let drop_z = RuleSpec {
        source_labels: Some(vec!["__name__".into()]),
        regex: text("z|rule.*"),
        action: text("drop"),
        ..RuleSpec::default()
    };
    let rename = RuleSpec {
        source_labels: Some(vec!["__name__".into(), "job".into()]),
        regex: text("a;1"),
        target_label: text("__name__"),
        replacement: text("b_total"),
        ..RuleSpec::default()
    };
    let without_job = RuleSpec {
        regex: text("job"),
        action: text("labeldrop"),
        ..RuleSpec::default()
    };
    let replicas = vec!["r".to_owned()];
    [
        rules(),
        Rules {
            replica_labels: replicas.clone(),
            ..rules()
        },
        Rules {
            relabel: vec![rule(drop_z), rule(rename)],
            normalize_le: true,
            ..rules()
        },
        Rules {
            relabel: vec![rule(without_job)],
            conflict: LabelConflict::Override,
            replica_labels: replicas,
            ..rules()
        },
        Rules {
            constants: vec![("region".into(), "eu".into())],
            honor_timestamps: false,
            ..rules()
        },
    ]
    .map(Arc::new)
    .into()
}

#[test]
fn a_warm_cache_and_an_empty_one_give_the_same_over_ten_thousand_edits() {
    let all = some_rules();
    let (mut succeeded, mut matched, mut shadowed) = (0, 0, 0);
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let mut lines: Vec<String> = (0..30).map(|_| dice.line()).collect();
        let mut cache = Box::default();
        let mut current = dice.roll(all.len());
        for _ in 0..50 {
            dice.edit(&mut lines);
            if dice.roll(20) == 0 {
                current = dice.roll(all.len());
            }
            let body = lines.concat();
            let step = [7, 64, 1 << 20][dice.roll(3)];
            let (returned, warm) = round(cache, &all[current], Format::Text, body.as_bytes(), step);
            cache = returned;
            let (_, cold) = round(
                Box::default(),
                &all[current],
                Format::Text,
                body.as_bytes(),
                1 << 20,
            );
            let comparable = |result: &Result<(Snapshot, Report), RoundError>| match result {
                Ok((snapshot, report)) => {
                    let Report {
                        kept,
                        dropped,
                        first_bad_line,
                        quarantined,
                        ..
                    } = report.clone();
                    Ok((
                        shown(snapshot),
                        snapshot.newest_ms,
                        kept,
                        dropped,
                        first_bad_line,
                        quarantined,
                    ))
                }
                Err(error) => Err(error.clone()),
            };
            assert_eq!(
                comparable(&warm),
                comparable(&cold),
                "seed {seed}, rules {current}, body:\n{body}"
            );
            if let Ok((_, report)) = &warm {
                succeeded += 1;
                matched += report.matched;
                shadowed += report.dropped(Dropped::Duplicate);
            }
        }
    }
    assert!(
        succeeded > 5000 && matched > 50_000 && shadowed > 5000,
        "{succeeded} {matched} {shadowed}"
    );
}

#[test]
fn metadata_types_what_the_body_does_not() {
    let mut metadata = Metadata::default();
    metadata.insert(
        "a",
        MetadataEntry {
            kind: MetricKind::Gauge,
            help: "Help.".into(),
            ..MetadataEntry::default()
        },
    );
    let metadata = Arc::new(metadata);
    let mut round = Round::start(
        Box::default(),
        Arc::new(rules()),
        Format::Text,
        NOW,
        &Buffers::default(),
    );
    round.push(b"# TYPE a untyped\na 1\nb 1\n").unwrap();
    round.end_body(End::Framed).unwrap();
    let (snapshot, _) = round.finish(&metadata).1.unwrap();
    let described: Vec<_> = snapshot
        .families
        .iter()
        .map(|family| {
            (
                &*family.heading.name,
                family.heading.kind,
                &*family.heading.help,
            )
        })
        .collect();
    assert_eq!(
        described,
        [
            ("a", MetricKind::Gauge, "Help."),
            ("b", MetricKind::Unknown, "")
        ]
    );
}

/// What a round over a floor gives, and the floor that is left.
fn raised(cache: Box<Cache>, rules: &Arc<Rules>, body: &str, sent: &str) -> (Box<Cache>, String) {
    let mut floor = Floor::new(NOW);
    floor.enter(&bytes::Bytes::from(sent.to_owned()));
    let mut round = Round::start(cache, rules.clone(), Format::Text, NOW, &Buffers::default());
    round.push(body.as_bytes()).unwrap();
    round.end_body(End::Framed).unwrap();
    round.raise(&mut floor);
    let (cache, result) = round.finish(&Arc::default());
    (cache, shown(&result.unwrap().0))
}

#[test]
fn a_floor_gives_the_same_with_a_warm_cache_and_the_next_round_goes_on() {
    let rules = Arc::new(rules());
    let line = |name: &str, replica: &str, value: &str, time: i64| {
        format!("{name}{{instance=\"i\",prometheus_replica=\"{replica}\"}} {value} {time}\n")
    };
    let rules = Arc::new(Rules {
        replica_labels: vec!["prometheus_replica".into()],
        ..Rules::clone(&rules)
    });
    let body = |replica: &str, time: i64| {
        ["a", "b", "c"]
            .map(|name| line(name, replica, &(time % 1000).to_string(), time))
            .concat()
    };
    let sent = |time: i64| {
        let line = |name: &str| format!("{name}{{instance=\"i\",cluster=\"c\"}} 12345.5 {time}\n");
        ["a", "b"].map(line).concat()
    };
    for warm_with in [None, Some("a"), Some("b")] {
        for (time, floor) in [(5_000, 4_000), (5_000, 5_000), (5_000, 123_456), (5_000, 6)] {
            let (_, want) = raised(Box::default(), &rules, &body("b", time), &sent(floor));
            let cache = match warm_with {
                None => Box::default(),
                Some(replica) => {
                    let body = body(replica, 3_000);
                    round(Box::default(), &rules, Format::Text, body.as_bytes(), 7).0
                }
            };
            let (cache, got) = raised(cache, &rules, &body("b", time), &sent(floor));
            assert_eq!(got, want, "{warm_with:?} {time} {floor}");
            assert_eq!(
                got.matches("12345.5").count(),
                if floor >= time { 2 } else { 0 }
            );
            assert!(
                got.contains("c{instance=\"i\",cluster=\"c\"} 0 5000\n"),
                "{got}"
            );
            // The cache finds its lines again behind those of another length.
            let next = body("b", 200_000);
            let (_, result) = round(cache, &rules, Format::Text, next.as_bytes(), 1 << 16);
            let (snapshot, report) = result.unwrap();
            assert_eq!((report.matched, report.kept), (3, 3));
            assert_eq!(shown(&snapshot), {
                let (snapshot, _) = cold(Rules::clone(&rules), &next).unwrap();
                shown(&snapshot)
            });
        }
    }
}

#[test]
fn the_answer_of_another_replica_does_not_disturb_the_cache_of_the_used_one() {
    let rules = Arc::new(rules());
    let body = "a 1 5\nb 1 5\n";
    let (cache, _) = round(Box::default(), &rules, Format::Text, body.as_bytes(), 64);
    let mut weak = Round::start(cache, rules.clone(), Format::Text, NOW, &Buffers::default());
    weak.push(b"a 2 6\n").unwrap();
    weak.end_body(End::Framed).unwrap();
    weak.settle().unwrap();
    assert_eq!((weak.series(), weak.newest_ms()), (1, Some(6)));
    let fresh = weak.fresh_cache();
    let (other, result) = round(fresh, &rules, Format::Text, b"b 3 7\nz 1 7\n", 64);
    let (snapshot, _) = result.unwrap();
    // Births of both caches are later than anything published before.
    let births = snapshot.families.iter().flat_map(|family| {
        let lines = family.lines.iter(family.block.text().len());
        lines.map(|(line, _)| line.born).collect::<Vec<_>>()
    });
    assert!(births.into_iter().all(|born| born == 3));
    assert_eq!(other.len(), 2);
    let (cache, result) = weak.finish(&Arc::default());
    assert_eq!(result.unwrap().1.kept, 1);
    assert_eq!(cache.len(), 1);
}

#[test]
fn new_series_take_the_slots_of_those_that_went_in_the_order_of_lines() {
    let rules = Arc::new(rules());
    let mut cache = Box::default();
    let mut slots = |pods: &[u32]| -> Vec<Vec<u32>> {
        let lines = |family| {
            pods.iter()
                .map(move |pod| format!("{family}{{pod=\"{pod}\"}} 1 5\n"))
        };
        let body: String = ["a", "b", "c"].into_iter().flat_map(lines).collect();
        let taken = std::mem::take(&mut cache);
        let (back, result) = round(taken, &rules, Format::Text, body.as_bytes(), 1 << 16);
        cache = back;
        let families = result.unwrap().0.families.into_iter();
        let of_lines = |family: Family| {
            let lines = family.lines.iter(family.block.text().len());
            lines.map(|(line, _)| line.slot).collect()
        };
        families.map(of_lines).collect()
    };
    let all = slots(&[1, 2, 3, 4]);
    assert_eq!(slots(&[1, 4]), [[0, 3], [4, 7], [8, 11]]);
    assert_eq!(slots(&[1, 6, 7, 4]), all);
    // What is left over from a round with fewer births is taken up in order too.
    slots(&[1]);
    slots(&[1, 8]);
    slots(&[1, 8, 9, 10]);
    let last = slots(&[1, 8, 9, 10]);
    assert_eq!(last, [[0, 1, 5, 6], [4, 2, 7, 9], [8, 3, 10, 11]]);
}

#[test]
fn births_are_the_lines_of_the_series_that_came_in_a_round() {
    let rules = Arc::new(rules());
    let mut cache = Box::new(Cache::recording());
    let mut check = |body: &str, sent: &str, want: &[&str]| {
        let (taken, buffers) = (std::mem::take(&mut cache), Buffers::default());
        let mut round = Round::start(taken, rules.clone(), Format::Text, NOW, &buffers);
        round.push(body.as_bytes()).unwrap();
        round.end_body(End::Framed).unwrap();
        round.settle().unwrap(); // where there are replicas, it is settled before it is finished
        let mut floor = Floor::new(NOW);
        floor.enter(&bytes::Bytes::from(sent.to_owned()));
        round.raise(&mut floor);
        let (back, result) = round.finish(&Arc::default());
        cache = back;
        let born = result.unwrap().0.recorded.unwrap().born;
        let line = |birth: &Birth| String::from_utf8(born.text[birth.line.clone()].into());
        let lines: Vec<_> = born.births.iter().map(|b| line(b).unwrap()).collect();
        let names: Vec<_> = lines.iter().filter_map(|l| l.split('{').next()).collect();
        assert_eq!(names, want, "{body}");
        let is_whole = |line: &String| line.ends_with('\n') && line.matches('\n').count() == 1;
        assert!(lines.iter().all(is_whole), "{lines:?}");
    };
    check("a 1 5\nb 1 5\nb x\nc 1 5\n", "", &["a", "c"]);
    check("a 1 6\nb 1 6\nc 1 6\n", "", &["b"]);
    check("a 1 7\na x\nb 1 7\nc 1 7\nd 1 7\n", "", &["d"]);
    // What was sent of `a` before was newer and its line longer: all lines behind it move.
    let longer = "a{cluster=\"c\",instance=\"\"} 1 1700000000000\n";
    check("a 1 8\nb 1 8\ne 1 8\n", longer, &["a", "e"]);
    check("a 1 9\nb 1 9\ne 1 9\n", "", &[]);
    // Too much to be copied: their lines are found in the text, behind one that was taken out and one that was raised.
    let value = "x".repeat(600_000);
    let long =
        format!("a 1 9\nf 1 10\nf x\ng{{l=\"{value}\"}} 1 10\nh{{l=\"{value}\"}} 1 10\ni 1 10\n");
    check(&long, longer, &["g", "h", "i"]);
}
