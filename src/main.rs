//! Flags → configuration → [`App`] → exit code: 0 done, 1 failed at run time, 2 wrong flags or configuration.

#[path = "main/datasources.rs"]
mod datasources;
#[path = "main/import.rs"]
mod import;

use std::fmt::Display;
use std::io::{Write as _, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use tributary::app::ask::{self, AskError};
use tributary::app::{self, App, Load, Settings};
use tributary::cli::{
    self, Command, DemoFlags, LogFlags, QueryArguments, QueryFlags, RunFlags, StorageFlags,
    WebFlags,
};
use tributary::config::web::{self, WebFile};
use tributary::config::{self, Config};
use tributary::demo;
use tributary::serve::cors::Cors;
use tributary::serve::door;
use tributary::telemetry::process::Memory;
use tributary::telemetry::{self, LogFormat};

/// With glibc's allocator, writing a body out again took nearly twice the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FAILED: u8 = 1;
const WRONG_USE: u8 = 2;

fn main() -> ExitCode {
    let result = match cli::parse(std::env::args_os()) {
        Ok(Command::Run(flags)) => run(&flags),
        Ok(Command::CheckConfig { file, web, online }) => {
            check_config(&file, web.as_deref(), online)
        }
        Ok(Command::Import(flags)) => import::run(&flags),
        Ok(Command::Demo(flags)) => demo(&flags),
        Ok(Command::GrafanaDatasources(flags)) => datasources::run(&flags),
        Ok(Command::Query(arguments)) => query(&arguments),
        Ok(Command::Completions(shell)) => {
            print(cli::completions(shell));
            Ok(())
        }
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USE));
        }
    };
    result.map_or_else(ExitCode::from, |()| ExitCode::SUCCESS)
}

fn run(flags: &RunFlags) -> Result<(), u8> {
    start_log(flags.log);
    let (file, said) = (flags.config_file.clone(), flags.config_flags());
    let load = move || config::build(file.as_deref(), &said);
    let config = load().map_err(|errors| complain(WRONG_USE, errors))?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let limit = flags.memory_limit.or_else(config::cgroup::memory_limit);
    let app = build(
        config,
        &flags.web,
        &flags.query,
        flags.storage,
        Memory { limit },
        Load::new(load),
    )?;
    serve(app)
}

/// Runs until a signal ends it.
fn serve(app: App) -> Result<(), u8> {
    let failed = |error: &dyn Display| complain(FAILED, error);
    let stop = app::stop_on_signal().map_err(|error| failed(&error))?;
    app.run(&stop).map_err(|error| failed(&error))
}

fn check_config(file: &Path, web: Option<&Path>, online: bool) -> Result<(), u8> {
    let config = config::load(file).map_err(|errors| complain(WRONG_USE, errors));
    let web = web.map(|web| web::load(web).map_err(|errors| complain(WRONG_USE, errors)));
    let config = config?;
    print(config::describe(&file.display().to_string(), &config));
    if let Some(web) = web {
        let (settings, file) = web?;
        print(file.describe(&settings));
    }
    if online {
        let findings = app::online::check(&config).map_err(|error| complain(FAILED, error))?;
        print(app::online::report(&config, &findings));
        if findings.iter().any(app::online::Finding::is_failed) {
            return Err(FAILED);
        }
    }
    Ok(())
}

/// All stages, behind the door that the flags ask for.
fn build(
    config: Config,
    web: &WebFlags,
    query: &QueryFlags,
    storage: StorageFlags,
    memory: Memory,
    load: Load,
) -> Result<App, u8> {
    let door = read_door(web)?;
    let origins = web.cors_origin.as_deref().map(Cors::new).transpose();
    let settings = Settings {
        addresses: web.listen_addresses.clone(),
        memory,
        lifecycle: web.enable_lifecycle,
        window: storage.window,
        query: query.settings(memory.limit),
        flags: cli::shown_flags(std::env::args_os()),
        cors: origins.map_err(|error| complain(WRONG_USE, error))?,
    };
    let app = App::build(config, &settings, load).map_err(|error| complain(FAILED, error))?;
    Ok(match door {
        Some(door) => app.behind(door),
        None => app,
    })
}

/// Reads the web configuration, if there is one.
fn read_door(flags: &WebFlags) -> Result<Option<(door::Settings, WebFile)>, u8> {
    let Some(file) = &flags.web_config_file else {
        return Ok(None);
    };
    let (settings, file) = web::load(file).map_err(|errors| complain(WRONG_USE, errors))?;
    for warning in file.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(Some((settings, file)))
}

/// Simulated clusters inside the process, and the proxy before them.
fn demo(flags: &DemoFlags) -> Result<(), u8> {
    start_log(flags.log);
    let failed = |error: &dyn Display| complain(FAILED, error);
    let runtime = app::demo_runtime().map_err(|error| failed(&error))?;
    let stop = CancellationToken::new();
    let _guard = runtime.enter();
    let (clusters, series) = (flags.clusters as usize, flags.series as usize);
    let started = demo::start(clusters, series, &stop).map_err(|error| failed(&error))?;
    let named = started
        .iter()
        .map(|(name, address)| format!("{name}=http://{address}"))
        .collect();
    let said = flags.config_flags(named);
    let load = move || config::build(None, &said);
    let config = load().map_err(|errors| complain(WRONG_USE, errors))?;
    let memory = Memory::default();
    let app = build(
        config,
        &flags.web,
        &flags.query,
        flags.storage,
        memory,
        Load::new(load),
    )?;
    if let Some(address) = app.addresses().first() {
        print(demo::banner(app.scheme(), *address, &started));
    }
    let result = serve(app);
    stop.cancel();
    result
}

/// The answer to standard output, what is said beside it to standard error.
fn query(arguments: &QueryArguments) -> Result<(), u8> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
    let table = ask::ask(&arguments.ask(now_ms)).map_err(|error| {
        let code = if matches!(error, AskError::Address(_)) {
            WRONG_USE
        } else {
            FAILED
        };
        complain(code, error)
    })?;
    print(table.text);
    for note in table.notes {
        complain(0, format!("warning: {note}"));
    }
    Ok(())
}

fn start_log(flags: LogFlags) {
    let level = flags
        .level
        .as_str()
        .parse()
        .expect("the flag takes tracing's words");
    let format = match flags.format {
        cli::LogFormat::Logfmt => LogFormat::Logfmt,
        cli::LogFormat::Json => LogFormat::Json,
    };
    telemetry::log_to_stderr(level, format);
}

fn print(text: impl AsRef<[u8]>) {
    // A reader that has gone is no failure.
    let _ = stdout().write_all(text.as_ref());
}

/// Says on standard error why nothing was done.
fn complain(code: u8, error: impl Display) -> u8 {
    let _ = writeln!(stderr(), "{error}");
    code
}
