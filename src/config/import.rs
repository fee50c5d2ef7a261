//! `tributary import`: a Prometheus configuration with federate jobs in; our configuration, the central configuration
//! that remains, and a list of whatever cannot be carried over out.
//!
//! ```text
//! prometheus.yml ──tree──▶ source (checked as Prometheus does) ──target──▶ drafts of clusters ──▶ our YAML
//!                                                  │                             └── notes
//!                                                  └──central──▶ the same file with one job that scrapes Tributary
//! ```
//!
//! A federate job is one whose `metrics_path` ends in `/federate` or that sends `match[]`. Secrets that stand in the
//! file itself are never written out: a file takes their place, and a note says so. What is written is read back by
//! the checks of `check-config` before anyone sees it.

mod access;
mod central;
mod keys;
mod name;
mod secret;
mod source;
mod target;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::HashSet;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use self::name::Names;
use self::source::Source;
use self::target::Draft;
use super::decode::Field;
use super::problem::{ConfigErrors, Problems};
use super::tree::{self, Node, Value};
use super::units::format_duration;
use super::{Flags, check, from_tree};

/// Longest file that is read. The largest known configurations have a few megabytes.
const FILE_BYTES_MAX: u64 = 32 << 20;

/// How the central Prometheus is to read Tributary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CentralJob {
    /// By `/sd/prometheus`: one target for each cluster, so that a lost cluster has `up == 0`.
    #[default]
    Sd,
    /// By one `/federate` for all clusters.
    Federate,
}

/// Reads the address of Tributary itself, as the flag `--url` gives it; without slash at its end.
pub fn own_url(text: &str) -> Result<String, String> {
    let password = "holds a user or password; remove them";
    if text.contains('@') {
        return Err(password.to_owned());
    }
    check::base_url(text).map(|url| url.text)
}

/// What the user wants of an import.
#[derive(Clone, Debug)]
pub struct Wish {
    /// How the central Prometheus is to read Tributary.
    pub central_job: CentralJob,
    /// Where the central Prometheus reaches Tributary, as [`own_url`] gives it.
    pub url: String,
    /// The folder that our configuration is written to; `None` when that is not known.
    pub folder: Option<PathBuf>,
}

/// What came of an import.
#[derive(Debug)]
pub struct Imported {
    /// Our configuration.
    pub config: String,
    /// The central configuration that remains; the secrets of its other jobs stand in it.
    pub central: String,
    /// The same, to be shown: without secrets.
    pub central_shown: String,
    /// Whether `central` holds secrets.
    pub central_has_secrets: bool,
    /// What was not carried over, in the order of the file.
    pub notes: Vec<Note>,
    /// How many clusters `config` has.
    pub clusters: usize,
}

/// Something that was not carried over as it stood. Displays as one line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    /// The file, as it was named.
    pub file: String,
    /// Line of the key.
    pub line: u64,
    /// The job's name; empty where none is concerned.
    pub job: String,
    /// The key's path below the job.
    pub key: String,
    /// Why it was not carried over, and what to do.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            job,
            key,
            text,
        } = self;
        write!(f, "{file}:{line}: ")?;
        if !job.is_empty() {
            write!(f, "job {job:?}: ")?;
        }
        write!(f, "{key}: {text}")
    }
}

/// The notes so far, each once.
#[derive(Debug)]
struct Notes {
    file: String,
    list: HashSet<Note>,
}

impl Notes {
    fn add(&mut self, line: u64, job: &str, key: impl Into<String>, text: impl Into<String>) {
        let note = Note {
            file: self.file.clone(),
            line,
            job: job.to_owned(),
            key: key.into(),
            text: text.into(),
        };
        self.list.insert(note);
    }

    /// In the order of the file.
    fn sorted(self) -> Vec<Note> {
        let mut list: Vec<_> = self.list.into_iter().collect();
        list.sort_by(|a, b| (a.line, &a.key, &a.text).cmp(&(b.line, &b.key, &b.text)));
        list
    }
}

/// Reads a Prometheus configuration. All of its mistakes come back together.
///
/// Only the file itself is read; files that it names are not touched.
pub fn import(file: &Path, wish: &Wish) -> Result<Imported, ConfigErrors> {
    let name = file.display().to_string();
    let problems = Problems::default();
    let read = read_file(file, &problems);
    let imported = read.and_then(|(text, root)| {
        let folder = file.parent().unwrap_or(Path::new(""));
        convert(&text, &root, &name, folder, wish, &problems)
    });
    problems.finish(&name)?;
    Ok(imported.expect("without a result there is a problem"))
}

/// The file's text and tree; `None` when there is none, which has been noted.
fn read_file(file: &Path, problems: &Problems) -> Option<(String, Node)> {
    let fail = |text: String| problems.outside("", text);
    let mut text = String::new();
    let read = std::fs::File::open(file)
        .and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    if let Err(error) = read {
        fail(format!(
            "cannot be read ({error}); name the configuration file of a Prometheus, such as prometheus.yml"
        ));
        return None;
    }
    if text.len() as u64 > FILE_BYTES_MAX {
        fail(format!(
            "is longer than {} MiB; name the configuration file of a Prometheus",
            FILE_BYTES_MAX >> 20
        ));
        return None;
    }
    match tree::parse(&text) {
        Ok(root) if root.value == Value::Null => {
            fail("is empty; name the configuration file of a Prometheus".to_owned());
            None
        }
        Ok(root) => Some((text, root)),
        Err(error) => {
            let remedy = "correct the line or the ones above it";
            problems.at(
                error.line,
                "",
                format!("is not YAML: {}; {remedy}", error.text),
            );
            None
        }
    }
}

fn convert(
    text: &str,
    root: &Node,
    file: &str,
    folder: &Path,
    wish: &Wish,
    problems: &Problems,
) -> Option<Imported> {
    let source = Source::read(&Field::root(root, problems))?;
    let mut notes = Notes {
        file: file.to_owned(),
        list: HashSet::new(),
    };
    source.note(&mut notes);
    let paths = Paths::new(folder, wish.folder.as_deref());
    let mut drafts = Vec::new();
    for job in source.jobs.iter().filter(|job| job.is_federate) {
        drafts.extend(target::drafts(job, &source, &paths, &mut notes));
    }
    Names::default().give(&mut drafts, &mut notes);
    let config = render(&source, &drafts, file);
    read_back(&config, &drafts, problems);
    let remains = central::remains(text, root, &source, wish);
    Some(Imported {
        config,
        central: remains.text,
        central_shown: remains.shown,
        central_has_secrets: remains.has_secrets,
        notes: notes.sorted(),
        clusters: drafts.len(),
    })
}

/// Files named in the input are relative to its folder, those in the output to the output's.
#[derive(Debug)]
struct Paths {
    /// What is put before a relative path; `None` when both lie in one folder.
    prefix: Option<PathBuf>,
}

impl Paths {
    fn new(input: &Path, output: Option<&Path>) -> Self {
        let whole = |folder: &Path| {
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            folder.canonicalize().ok()
        };
        let prefix = output.and_then(|output| {
            let (input, output) = (whole(input)?, whole(output)?);
            (input != output).then_some(input)
        });
        Self { prefix }
    }

    /// A path of the input as it is to stand in the output.
    fn carry(&self, path: &str) -> String {
        match &self.prefix {
            Some(prefix) => prefix.join(path).display().to_string(),
            None => path.to_owned(),
        }
    }
}

/// Our configuration as text.
fn render(source: &Source<'_>, drafts: &[Draft], file: &str) -> String {
    let file = yaml::comment(file);
    let mut text = format!(
        "# Written by `tributary import {file}`. Files are relative to the folder of this file.\n\
         # Try it: tributary check-config --online FILE\n"
    );
    yaml::entry(&mut text, "global", &yaml::map(source.defaults.ours()), 0);
    if drafts.is_empty() {
        text.push_str("# No federate job was found, so there is no cluster yet.\nclusters: []\n");
        return text;
    }
    text.push_str("clusters:\n");
    for draft in drafts {
        let (job, target) = (yaml::comment(&draft.job), yaml::comment(&draft.target));
        let from = format!("  # {file}:{}: job {job}, target {target}\n", draft.line);
        text.push_str(&from);
        yaml::item(&mut text, &yaml::map(draft.entries()), 2);
    }
    text
}

/// Reads our own text as `check-config` does. What is refused there stood in the input, so it is the input's mistake:
/// it is shown at the line of the target it came from.
fn read_back(config: &str, drafts: &[Draft], problems: &Problems) {
    if drafts.is_empty() {
        return;
    }
    let ours = Problems::default();
    let root = match tree::parse(config) {
        Ok(root) => root,
        Err(error) => {
            problems.outside("", format!("cannot be carried over: {}", error.text));
            return;
        }
    };
    // Files that are missing are warnings only, so the folder does not matter.
    from_tree(Some(&root), Path::new(""), &Flags::default(), &ours);
    let Err(errors) = ours.finish("") else { return };
    for problem in errors.problems {
        let index = problem
            .key
            .strip_prefix("clusters[")
            .and_then(|rest| rest.split(']').next()?.parse::<usize>().ok());
        let draft = index.and_then(|index| drafts.get(index));
        let line = draft.map_or(0, |draft| draft.line);
        let key = problem
            .key
            .split_once("].")
            .map_or(&*problem.key, |(_, key)| key);
        let job = draft.map_or(String::new(), |draft| format!("job {:?}: ", draft.job));
        problems.at(line, "", format!("{job}{key}: {}", problem.text));
    }
}

/// A duration as text.
fn duration(value: std::time::Duration) -> Value {
    yaml::text(format_duration(value))
}
