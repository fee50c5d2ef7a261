//! The language of the scripts: `load`, `clear`, `eval`, series with values.

use std::sync::LazyLock;

use regex::Regex;
use tributary::promql::lex::unquote;
use tributary::promql::parse_metric_selector;
use tributary::query::labels::LabelSet;

/// A line that begins a block, with the block.
pub(super) enum Command {
    Clear,
    Load(Load),
    Eval(Eval),
}

/// Series to be added.
pub(super) struct Load {
    pub(super) step_ms: i64,
    /// Classic histograms become native ones as well.
    pub(super) with_nhcb: bool,
    pub(super) series: Vec<LoadedSeries>,
}

/// One series, or the start timestamps of one.
pub(super) struct LoadedSeries {
    pub(super) labels: LabelSet,
    pub(super) values: Values,
}

/// What stands behind a series, one for each step.
pub(super) enum Values {
    Floats(Vec<Option<f64>>),
    /// Some value is a native histogram.
    Histograms,
    /// Relative to the time of the sample, in milliseconds.
    Starts(Vec<Option<i64>>),
}

/// A query, and what is expected of it.
pub(super) struct Eval {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) times: Times,
    pub(super) has_histogram: bool,
    /// It is no use as a range query: its result is a matrix or a string.
    pub(super) not_as_range: bool,
    pub(super) ordered: bool,
    pub(super) fail: Vec<Wanted>,
    pub(super) warn: Told,
    pub(super) info: Told,
    /// The times of the values of an expected matrix: start, end, step.
    pub(super) grid: Option<(i64, i64, i64)>,
    pub(super) result: Expected,
}

/// The times of a query, in milliseconds.
#[derive(Clone, Copy)]
pub(super) enum Times {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// What the value should be.
pub(super) enum Expected {
    Scalar(f64),
    Text(String),
    Series(Vec<(LabelSet, Vec<Option<f64>>)>),
}

/// Which messages there should be.
#[derive(Default)]
pub(super) struct Told {
    /// Each of them, and no others if any is wanted.
    pub(super) wanted: Vec<Wanted>,
    /// None at all.
    pub(super) none: bool,
}

/// What a message should be.
pub(super) enum Wanted {
    Exactly(String),
    Matching(Regex),
}

impl Wanted {
    pub(super) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exactly(want) => want == text,
            Self::Matching(regex) => regex.is_match(text),
        }
    }

    /// Whether these words are part of what is wanted.
    pub(super) fn fits_some(&self, words: &str) -> bool {
        match self {
            Self::Exactly(want) => want.contains(words),
            Self::Matching(regex) => regex.as_str().contains(words),
        }
    }
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

static LOAD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^load(_with_nhcb)?\s+(.+?)$"));
static INSTANT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^eval(?:_(fail|warn|ordered|info))?\s+instant\s+(?:at\s+(.+?))?\s+(.+)$")
});
static RANGE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^eval(?:_(fail|warn|info))?\s+range\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+?)\s+(.+)$")
});
static EXPECT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(regex|msg):(.+))?$")
});
static EXPECT_RANGE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^expect range vector\s+from\s+(.+)\s+to\s+(.+)\s+step\s+(.+)$"));
static ITEM: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[iI][nN][fF]|[nN][aA][nN])";
    pattern(&format!(
        "^([+-]?{number})(?:([+-]{number}))?(?:x([0-9]+))?$"
    ))
});
static START: LazyLock<Regex> = LazyLock::new(|| {
    let duration = r"(?:0|(?:[0-9]+(?:ms|[smhdwy]))+)";
    pattern(&format!(
        "^([+-]?{duration})(?:([+-]{duration}))?(?:x([0-9]+))?$"
    ))
});

/// All commands of a script. `Err` names the line.
pub(super) fn parse(text: &str) -> Result<Vec<Command>, String> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        let word = line.split_whitespace().next().unwrap_or("").to_lowercase();
        let end = at
            + lines[at..]
                .iter()
                .position(|l| l.is_empty())
                .unwrap_or(lines.len() - at);
        let block = &lines[(at + 1).min(end)..end];
        let command = if line.is_empty() {
            Ok(None)
        } else if word == "clear" {
            Ok(Some(Command::Clear))
        } else if word.starts_with("load") {
            load(line, block).map(|load| Some(Command::Load(load)))
        } else if word.starts_with("eval") {
            eval(line, block, at + 1).map(|eval| Some(Command::Eval(eval)))
        } else {
            Err(format!("{line:?} is no command"))
        };
        let is_block = word != "clear" && !line.is_empty();
        commands.extend(command.map_err(|wrong| format!("line {}: {wrong}", at + 1))?);
        at = if is_block { end.max(at + 1) } else { at + 1 };
    }
    Ok(commands)
}

fn load(line: &str, block: &[&str]) -> Result<Load, String> {
    let parts = LOAD.captures(line).ok_or("not a load")?;
    let series: Result<_, String> = block.iter().map(|line| series(line)).collect();
    Ok(Load {
        step_ms: duration_ms(&parts[2])?,
        with_nhcb: parts.get(1).is_some(),
        series: series?,
    })
}

/// `name{labels} values…`, or `name{labels}@st values…`.
fn series(line: &str) -> Result<LoadedSeries, String> {
    let end = metric_end(line);
    let (metric, rest) = line.split_at(end);
    let (is_start, rest) = match rest.strip_prefix("@st") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let labels = labels(metric)?;
    let items = rest.split_whitespace();
    let values = if is_start {
        let starts: Result<Vec<_>, String> = items.map(starts).collect();
        Values::Starts(starts?.concat())
    } else if rest.contains("{{") {
        Values::Histograms
    } else {
        let floats: Result<Vec<_>, String> = items.map(floats).collect();
        Values::Floats(floats?.concat())
    };
    Ok(LoadedSeries { labels, values })
}

/// Where the metric ends: behind its braces, else at the first space.
fn metric_end(line: &str) -> usize {
    let (mut quote, mut braces) = (None, false);
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => braces = true,
            (None, '}') => return at + 1,
            (None, '@') => return at,
            (None, ' ' | '\t') if !braces => return at,
            _ => {}
        }
    }
    line.len()
}

fn labels(metric: &str) -> Result<LabelSet, String> {
    let matchers = parse_metric_selector(metric).map_err(|error| format!("{metric}: {error}"))?;
    Ok(LabelSet::from_pairs(
        matchers.iter().map(|m| (m.name(), m.value())),
    ))
}

/// `1`, `1x3`, `1+2x3`, `_`, `_x3`, `stale`: values, `None` for none.
fn floats(item: &str) -> Result<Vec<Option<f64>>, String> {
    if let Some(count) = item.strip_prefix('_') {
        return blanks(count).map(|count| vec![None; count]);
    }
    if let Some(count) = item.strip_prefix("stale") {
        let stale = f64::from_bits(tributary::query::source::STALE_BITS);
        return Ok(vec![Some(stale); blanks(count)?.max(1)]);
    }
    let parts = ITEM.captures(item).ok_or(format!("{item:?} is no value"))?;
    let number = |at: usize| {
        let text = parts.get(at).map_or("0", |part| part.as_str());
        text.parse::<f64>()
            .map_err(|error| format!("{item:?}: {error}"))
    };
    let (first, step) = (number(1)?, number(2)?);
    let count: usize = parts.get(3).map_or(Ok(0), |n| n.as_str().parse()).unwrap();
    let mut value = first;
    let mut values = vec![Some(first)];
    for _ in 0..count {
        value += step;
        values.push(Some(value));
    }
    Ok(values)
}

fn blanks(count: &str) -> Result<usize, String> {
    match count.strip_prefix('x') {
        None if count.is_empty() => Ok(1),
        None => Err(format!("{count:?} behind a blank")),
        Some(count) => count.parse().map_err(|error| format!("{count}: {error}")),
    }
}

/// `-30s`, `-30s-1mx2`, `_`: start timestamps relative to the sample.
fn starts(item: &str) -> Result<Vec<Option<i64>>, String> {
    if let Some(count) = item.strip_prefix('_') {
        return blanks(count).map(|count| vec![None; count]);
    }
    let parts = START
        .captures(item)
        .ok_or(format!("{item:?} is no start timestamp"))?;
    let signed = |at: usize| match parts.get(at).map(|part| part.as_str()) {
        None => Ok(0),
        Some(text) => {
            let length = duration_ms(text.trim_start_matches(['+', '-']))?;
            Ok::<i64, String>(if text.starts_with('-') {
                -length
            } else {
                length
            })
        }
    };
    let (first, step) = (signed(1)?, signed(2)?);
    let count: i64 = parts.get(3).map_or(Ok(0), |n| n.as_str().parse()).unwrap();
    Ok((0..=count).map(|at| Some(first + at * step)).collect())
}

/// `1h5m`, `10s53ms`, `0`.
fn duration_ms(text: &str) -> Result<i64, String> {
    let mut rest = text;
    let mut total = 0;
    while !rest.is_empty() && rest != "0" {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..]
            .bytes()
            .take_while(u8::is_ascii_alphabetic)
            .count();
        let unit = match &rest[digits..digits + letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "y" => 31_536_000_000,
            _ => return Err(format!("{text:?} is no duration")),
        };
        let count: i64 = rest[..digits]
            .parse()
            .map_err(|_| format!("{text:?} is no duration"))?;
        total += count * unit;
        rest = &rest[digits + letters..];
    }
    Ok(total)
}

fn eval(line: &str, block: &[&str], number: usize) -> Result<Eval, String> {
    let (mode, times, text) = if let Some(parts) = INSTANT.captures(line) {
        let at = parts.get(2).map_or("", |at| at.as_str());
        let times = Times::Instant(duration_ms(at)?);
        (
            parts.get(1).map(|m| m.as_str().to_owned()),
            times,
            parts[3].to_owned(),
        )
    } else if let Some(parts) = RANGE.captures(line) {
        let times = Times::Range {
            start: duration_ms(&parts[2])?,
            end: duration_ms(&parts[3])?,
            step: duration_ms(&parts[4])?,
        };
        (
            parts.get(1).map(|m| m.as_str().to_owned()),
            times,
            parts[5].to_owned(),
        )
    } else {
        return Err(format!("{line:?} is no eval"));
    };
    let any = |word: &str| match mode.as_deref() {
        Some(mode) if mode == word => vec![Wanted::Matching(pattern("^"))],
        _ => vec![],
    };
    let told = |word: &str| Told {
        wanted: any(word),
        none: false,
    };
    let mut eval = Eval {
        line: number,
        has_histogram: text.contains("{{"),
        text,
        times,
        not_as_range: false,
        ordered: mode.as_deref() == Some("ordered"),
        fail: any("fail"),
        warn: told("warn"),
        info: told("info"),
        grid: match times {
            Times::Range { start, end, step } => Some((start, end, step)),
            Times::Instant(_) => None,
        },
        result: Expected::Series(vec![]),
    };
    for line in block {
        if expect(&mut eval, line)? {
            break;
        }
    }
    Ok(eval)
}

/// Reads a line below an `eval`. `true` ends the block.
fn expect(eval: &mut Eval, line: &str) -> Result<bool, String> {
    if let Some(text) = line.strip_prefix("expected_fail_message") {
        eval.fail = vec![Wanted::Exactly(text.trim().to_owned())];
        return Ok(true);
    }
    if let Some(text) = line.strip_prefix("expected_fail_regexp") {
        eval.fail = vec![Wanted::Matching(pattern(text.trim()))];
        return Ok(true);
    }
    if let Some(parts) = EXPECT_RANGE.captures(line) {
        let [from, to, step] = [1, 2, 3].map(|at| duration_ms(&parts[at]));
        eval.grid = Some((from?, to?, step?));
        eval.not_as_range = true;
    } else if let Some(text) = line.strip_prefix("expect string ") {
        eval.result = Expected::Text(unquote(text)?);
        eval.not_as_range = true;
    } else if line.split(' ').next() == Some("expect") {
        expectation(eval, line)?;
    } else if let Ok(number) = line.parse() {
        eval.result = Expected::Scalar(number);
        return Ok(true);
    } else {
        let found = series(line)?;
        match (found.values, &mut eval.result) {
            (Values::Floats(values), Expected::Series(list)) => list.push((found.labels, values)),
            _ => eval.has_histogram = true,
        }
    }
    Ok(false)
}

fn expectation(eval: &mut Eval, line: &str) -> Result<(), String> {
    let parts = EXPECT
        .captures(line)
        .ok_or(format!("{line:?} is no expectation"))?;
    let text = parts.get(3).map_or("", |text| text.as_str().trim());
    let wanted = match parts.get(2).map(|kind| kind.as_str()) {
        Some("msg") => Wanted::Exactly(text.to_owned()),
        Some(_) => Wanted::Matching(pattern(text)),
        None => Wanted::Matching(pattern("^")),
    };
    match &parts[1] {
        "ordered" => eval.ordered = true,
        "fail" => eval.fail.push(wanted),
        "warn" => eval.warn.wanted.push(wanted),
        "info" => eval.info.wanted.push(wanted),
        "no_warn" => eval.warn.none = true,
        _ => eval.info.none = true,
    }
    Ok(())
}

#[test]
fn reads_values() {
    let check = |item: &str, want: &[f64]| {
        let got: Vec<f64> = floats(item).unwrap().into_iter().flatten().collect();
        assert_eq!(got, want, "{item}");
    };
    check("1", &[1.0]);
    check("0x2", &[0.0, 0.0, 0.0]);
    check("1+2x2", &[1.0, 3.0, 5.0]);
    check("99-1x2", &[99.0, 98.0, 97.0]);
    check("-1e-3", &[-0.001]);
    check("+Inf", &[f64::INFINITY]);
    assert_eq!(floats("_x3").unwrap(), [None; 3]);
    assert!(floats("1+").is_err() && floats("x").is_err());
    assert_eq!(
        starts("-30s-1mx2").unwrap(),
        [Some(-30_000), Some(-90_000), Some(-150_000)]
    );
    assert_eq!(starts("-1mx1").unwrap(), [Some(-60_000); 2]);
    assert_eq!(duration_ms("1h5m10s53ms"), Ok(3_910_053));
    let end = |line: &str| metric_end(line);
    assert_eq!(end("foo 1 2"), 3);
    assert_eq!(end("foo{a=\"} \"} 1"), 11);
    assert_eq!(end("foo {{sum:1}}"), 3);
    assert_eq!(end("{a=\"b\"}@st _"), 7);
}
