//! Upstream's own scripts of queries and results (`promql/promqltest`): every `.test` file of the folder `promqltest` of
//! `TRIBUTARY_TESTDATA`.
//!
//! As upstream's runner, each instant query is run again with `@` added to its selectors, at other times, and each of
//! these as a range query of three steps. Left out are queries that would touch native histograms: those with a
//! histogram in their text or expected result, and those one of whose selectors fits a series that was loaded with
//! histograms or made into one by `load_with_nhcb`. All others of such a file run.

mod check;
mod script;
mod store;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tributary::pool::Pool;
use tributary::promql::ast::{At, Expr};
use tributary::promql::{Feature, Features, parse_expr, print_expr};
use tributary::query::{Answer, Engine, Query, QueryError, Settings, Value, When};

use crate::testdata;
use check::Failure;
use script::{Command, Eval, Times};
use store::Store;

/// What became of the queries of one file.
#[derive(Default)]
struct Count {
    passed: usize,
    left_out: usize,
    failures: Vec<String>,
}

#[test]
fn upstream_scripts_pass() {
    let passed = all_scripts(Names::DroppedLast, &|name, count| {
        let (passed, failed, left_out) = (count.passed, count.failures.len(), count.left_out);
        // Not `println`: the lines are to be seen when the test passes, too.
        let line = format!("{name}: {passed} passed, {failed} failed, {left_out} left out\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    });
    if let Some(passed) = passed {
        testdata::count("promqltest", passed);
    }
}

/// The default, in which upstream does not run its scripts: an operation drops the name where it stands. All queries
/// whose result does not depend on that give the same.
#[test]
fn upstream_scripts_pass_with_names_dropped_at_once() {
    let passed = all_scripts(Names::DroppedAtOnce, &|_, _| {});
    if let Some(passed) = passed {
        testdata::count("promqltest-default", passed);
    }
}

/// When an operation drops the name of a metric.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    /// Where it stands: the default.
    DroppedAtOnce,
    /// When the query ends (`promql-delayed-name-removal`), as upstream's runner has it.
    DroppedLast,
}

/// Runs all scripts and gives the number of queries that passed; nothing without a folder.
fn all_scripts(names: Names, done: &dyn Fn(&str, &Count)) -> Option<usize> {
    let Some(folder) = std::env::var_os("TRIBUTARY_TESTDATA") else {
        println!("TRIBUTARY_TESTDATA is not set: upstream's scripts do not run");
        return None;
    };
    let files = scripts(&PathBuf::from(folder).join("promqltest"));
    assert!(!files.is_empty(), "no scripts found");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (mut passed, mut failures) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let count = runtime.block_on(run(&text, names));
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        done(&name, &count);
        passed += count.passed;
        let named = |failure: &String| format!("{name}: {failure}");
        failures.extend(count.failures.iter().map(named));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    Some(passed)
}

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return vec![];
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut scripts: Vec<PathBuf> = paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "test")
        })
        .collect();
    scripts.sort();
    scripts
}

/// What upstream's runner switches on: all but the check of `__type__`.
fn features(names: Names) -> Features {
    let is_on = |feature: &Feature| match feature {
        Feature::TypeAndUnitLabels => false,
        Feature::DelayedNameRemoval => names == Names::DroppedLast,
        _ => true,
    };
    Feature::ALL.into_iter().filter(is_on).collect()
}

/// Whether the result depends on when names are dropped: the query asks for names, an expected message has one, or
/// types and units, which are dropped with the name, are in the data.
fn depends_on_names(eval: &Eval, store: &Store) -> bool {
    let names_metric = |wanted: &script::Wanted| wanted.fits_some("for metric name");
    let told = eval.warn.wanted.iter().chain(&eval.info.wanted);
    eval.text.contains("__name__") || told.into_iter().any(names_metric) || store.has_types()
}

/// The engine of upstream's runner.
fn engine(names: Names) -> Engine {
    let settings = Settings {
        timeout: Duration::from_secs(100),
        samples_max: 10_000,
        features: features(names),
        ..Settings::default()
    };
    Engine::new(settings, Pool::new(tokio::runtime::Handle::current(), 1))
}

async fn run(text: &str, names: Names) -> Count {
    let engine = engine(names);
    let mut store = Store::default();
    let mut count = Count::default();
    let commands = match script::parse(text) {
        Ok(commands) => commands,
        Err(wrong) => {
            count.failures.push(wrong);
            return count;
        }
    };
    for command in commands {
        match command {
            Command::Clear => store = Store::default(),
            Command::Load(load) => store.load(&load),
            Command::Eval(eval) if eval.has_histogram || touches_histograms(&eval.text, &store) => {
                count.left_out += 1;
            }
            Command::Eval(eval)
                if names == Names::DroppedAtOnce && depends_on_names(&eval, &store) => {}
            Command::Eval(eval) => match evaluate(&engine, &store, &eval).await {
                Ok(()) => count.passed += 1,
                Err(wrong) => {
                    let (line, text) = (eval.line, &eval.text);
                    count
                        .failures
                        .push(format!("line {line}: {text}\n    {wrong}"));
                }
            },
        }
    }
    count
}

/// Whether a selector of the query fits a series of histograms.
fn touches_histograms(text: &str, store: &Store) -> bool {
    let Ok(expr) = parse_expr(text, Features::all()) else {
        return false;
    };
    let mut found = false;
    visit(&expr, &mut |expr| {
        let matchers = match expr {
            Expr::Vector(selector) => &selector.matchers,
            Expr::Matrix(matrix) => &matrix.selector.matchers,
            _ => return,
        };
        found |= store.has_histogram(matchers);
    });
    found
}

fn visit(expr: &Expr, seen: &mut dyn FnMut(&Expr)) {
    seen(expr);
    match expr {
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {}
        Expr::Subquery(subquery) => visit(&subquery.expr, seen),
        Expr::Call(call) => call.args.iter().for_each(|arg| visit(arg, seen)),
        Expr::Aggregate(aggregate) => {
            visit(&aggregate.expr, seen);
            aggregate.param.iter().for_each(|param| visit(param, seen));
        }
        Expr::Binary(binary) => {
            visit(&binary.lhs, seen);
            visit(&binary.rhs, seen);
        }
        Expr::Unary(unary) => visit(&unary.expr, seen),
        Expr::Paren(paren) => visit(&paren.expr, seen),
    }
}

async fn evaluate(engine: &Engine, store: &Store, eval: &Eval) -> Result<(), Failure> {
    let source = store.source();
    match eval.times {
        Times::Range { start, end, step } => {
            let when = When::Range {
                start_ms: start,
                end_ms: end,
                step_ms: step,
            };
            let answer = engine.run(&source, &Query::new(&eval.text, when)).await;
            judge(eval, answer).map(|_| ())
        }
        Times::Instant(time) => {
            instant(engine, store, eval, &eval.text, time).await?;
            for (text, time) in with_at(&eval.text, time) {
                instant(engine, store, eval, &text, time)
                    .await
                    .map_err(|wrong| format!("as {text} at {time} ms: {wrong}"))?;
            }
            Ok(())
        }
    }
}

/// The answer, where one was expected and it is right.
fn judge(eval: &Eval, answer: Result<Answer, QueryError>) -> Result<Option<Answer>, Failure> {
    let answer = match answer {
        Ok(answer) if eval.expects_failure() => {
            return Err(format!("expected an error, got {:?}", answer.value));
        }
        Ok(answer) => answer,
        Err(error) if eval.expects_failure() => {
            return eval.check_error(&error.to_string()).map(|()| None);
        }
        Err(error) => return Err(format!("{}: {error}", error.kind.as_str())),
    };
    eval.check_annotations(&answer.warnings, &answer.infos)?;
    eval.check_value(&answer.value)?;
    Ok(Some(answer))
}

async fn instant(
    engine: &Engine,
    store: &Store,
    eval: &Eval,
    text: &str,
    time: i64,
) -> Result<(), Failure> {
    let source = store.source();
    let answer = engine
        .run(&source, &Query::new(text, When::Instant(time)))
        .await;
    let Some(answer) = judge(eval, answer)? else {
        return Ok(());
    };
    if eval.not_as_range || depends_on_range(text) {
        return Ok(());
    }
    let when = When::Range {
        start_ms: time - 60_000,
        end_ms: time + 60_000,
        step_ms: 60_000,
    };
    let wide = engine
        .run(&source, &Query::new(text, when))
        .await
        .map_err(|error| format!("as a range: {error}"))?;
    let Value::Matrix(matrix) = wide.value else {
        return Err("a range query gave no matrix".to_owned());
    };
    if eval.is_ordered() {
        return Ok(());
    }
    let middle = check::at_time(&matrix, time);
    let is_scalar = matches!(answer.value, Value::Scalar(..));
    let value = match (is_scalar, middle.as_slice()) {
        (true, [only]) => Value::Scalar(time, only.value),
        _ => Value::Vector(middle),
    };
    eval.check_value(&value)
        .map_err(|wrong| format!("as a range: {wrong}"))
}

/// Whether a range query means something else because of `range()` and the like.
fn depends_on_range(text: &str) -> bool {
    if text.contains("range()") {
        return true;
    }
    let mut found = false;
    if let Ok(expr) = parse_expr(text, Features::all()) {
        visit(&expr, &mut |expr| {
            if let Expr::Call(call) = expr {
                found |= matches!(call.function.name, "start" | "end" | "step");
            }
        });
    }
    found
}

/// The same query with `@` at the time of evaluation on all selectors, and the times to run it at.
fn with_at(text: &str, time: i64) -> Vec<(String, i64)> {
    let unsafe_at = [
        "day_of_month",
        "day_of_week",
        "day_of_year",
        "days_in_month",
        "end",
        "hour",
        "minute",
        "month",
        "predict_linear",
        "start",
        "time",
        "timestamp",
        "year",
    ];
    let Ok(mut expr) = parse_expr(text, Features::all()) else {
        return vec![];
    };
    let mut depends_on_time = false;
    visit(&expr, &mut |expr| {
        if let Expr::Call(call) = expr {
            depends_on_time |= unsafe_at.contains(&call.function.name);
        }
    });
    if depends_on_time {
        return vec![];
    }
    pin(&mut expr, time);
    let text = print_expr(&expr);
    let times = if time == 0 {
        vec![-1000, 0, 1000]
    } else {
        vec![-10 * time, 0, time / 5, time, 10 * time]
    };
    times.into_iter().map(|time| (text.clone(), time)).collect()
}

/// Adds `@` to selectors and subqueries that have none; what is inside a subquery with `@` is left alone.
fn pin(expr: &mut Expr, time: i64) {
    let at = Some(At::Timestamp(time));
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(selector) => selector.at = selector.at.or(at),
        Expr::Matrix(matrix) => matrix.selector.at = matrix.selector.at.or(at),
        Expr::Subquery(subquery) => subquery.at = subquery.at.or(at),
        Expr::Call(call) => call.args.iter_mut().for_each(|arg| pin(arg, time)),
        Expr::Aggregate(aggregate) => {
            pin(&mut aggregate.expr, time);
            if let Some(param) = &mut aggregate.param {
                pin(param, time);
            }
        }
        Expr::Binary(binary) => {
            pin(&mut binary.lhs, time);
            pin(&mut binary.rhs, time);
        }
        Expr::Unary(unary) => pin(&mut unary.expr, time),
        Expr::Paren(paren) => pin(&mut paren.expr, time),
    }
}
