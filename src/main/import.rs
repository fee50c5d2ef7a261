//! `tributary import`: what [`config::import`] makes of a file is written to where the user wants it.
//!
//! Standard output is always a configuration of ours that can be read as it is, unless `--output` took that: the
//! central configuration stands below it in comments.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use tributary::cli::{CentralJob, ImportFlags};
use tributary::config::import::{self, Imported, Wish};

use super::{FAILED, WRONG_USE, complain, print};

/// Imports a file. Files are written before anything is said.
pub(crate) fn run(flags: &ImportFlags) -> Result<(), u8> {
    refuse_overwriting(flags)?;
    let wish = Wish {
        central_job: match flags.central_job {
            CentralJob::Sd => import::CentralJob::Sd,
            CentralJob::Federate => import::CentralJob::Federate,
        },
        url: flags.url.clone(),
        folder: flags.output.as_deref().map(folder_of),
    };
    let imported =
        import::import(&flags.file, &wish).map_err(|errors| complain(WRONG_USE, errors))?;
    if let Some(file) = &flags.output {
        write(file, &imported.config, 0o644)?;
    }
    if let Some(file) = &flags.central_output {
        let mode = if imported.central_has_secrets {
            0o600
        } else {
            0o644
        };
        write(file, &imported.central, mode)?;
    }
    print(shown(flags, &imported));
    for note in &imported.notes {
        complain(0, note);
    }
    if flags.central_output.is_none() && imported.central_has_secrets {
        complain(
            0,
            "The secrets of other jobs are not shown: write the central configuration by --central-output FILE.",
        );
    }
    Ok(())
}

/// What goes to standard output.
fn shown(flags: &ImportFlags, imported: &Imported) -> String {
    let Imported {
        config,
        central_shown: central,
        ..
    } = imported;
    match (&flags.output, &flags.central_output) {
        (None, Some(_)) => config.clone(),
        (Some(_), None) => central.clone(),
        (Some(_), Some(_)) => String::new(),
        (None, None) => {
            let lines: String = central.lines().map(commented).collect();
            format!(
                "{config}\n# The central configuration that remains; --central-output FILE writes it to a file of its own:\n{lines}"
            )
        }
    }
}

fn commented(line: &str) -> String {
    if line.is_empty() {
        "#|\n".to_owned()
    } else {
        format!("#| {line}\n")
    }
}

fn refuse_overwriting(flags: &ImportFlags) -> Result<(), u8> {
    let whole = |file: &Path| file.canonicalize().ok();
    let outputs = [
        ("--output", &flags.output),
        ("--central-output", &flags.central_output),
    ];
    for (flag, file) in outputs {
        let file = file.as_deref().and_then(whole);
        if file.is_some() && file == whole(&flags.file) {
            return Err(complain(
                WRONG_USE,
                format!("{flag}: is the file that is imported; name another"),
            ));
        }
    }
    if flags.output.is_some() && flags.output == flags.central_output {
        return Err(complain(
            WRONG_USE,
            "--central-output: is the file of --output too; name another",
        ));
    }
    Ok(())
}

fn folder_of(file: &Path) -> std::path::PathBuf {
    let folder = file.parent().unwrap_or(Path::new(""));
    folder.to_path_buf()
}

fn write(file: &Path, text: &str, mode: u32) -> Result<(), u8> {
    let write = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode);
        let mut open = options.open(file)?;
        if mode == 0o600 {
            // A file that was there before keeps its mode otherwise.
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            open.set_permissions(permissions)?;
        }
        open.write_all(text.as_bytes())
    };
    write().map_err(|error| complain(FAILED, format!("cannot write {}: {error}", file.display())))
}
