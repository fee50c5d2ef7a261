//! Our own door: TLS with certificates made here, passwords, files that change while it runs, and what Prometheus does
//! with the same file.

mod certificates; // whom the handshake lets in, and certificates that are replaced
mod passwords; // who may ask, and what guessing costs
mod secrets; // nothing secret is written anywhere
mod upstream; // the same file in Debian's Prometheus

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use reqwest::{Certificate, Client, ClientBuilder, Identity};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tributary::app::{App, Load, Settings};
use tributary::config::{self, Flags, listen_address, web};
use tributary::serve::cors::Cors;

/// Longer than a change takes to be seen.
const PATIENCE: Duration = Duration::from_secs(30);

/// The hash of `right`, of cost 4, which takes no time.
fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

/// Issues certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names and its key.
    fn issue(&self, names: &[&str]) -> (String, String) {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn root(&self) -> Certificate {
        Certificate::from_pem(self.pem().as_bytes()).unwrap()
    }
}

/// A client that trusts these authorities and opens a connection for every request.
fn client(trusted: &[&Authority]) -> ClientBuilder {
    let roots = trusted.iter().map(|authority| authority.root());
    Client::builder()
        .tls_certs_only(roots)
        .pool_max_idle_per_host(0)
        .timeout(PATIENCE)
}

fn identity((certificate, key): &(String, String)) -> Identity {
    Identity::from_pem((key.clone() + certificate).as_bytes()).unwrap()
}

/// Writes a file as careful programs do: whole, and renamed into its place.
fn write(folder: &Path, name: &str, text: &str) {
    let new = folder.join("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, folder.join(name)).unwrap();
}

/// The program in process, behind a web configuration.
struct Locked {
    address: SocketAddr,
    folder: TempDir,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Locked {
    /// Starts with `web.yaml` and what stands beside it.
    fn start(web: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self::start_in(folder, web, None)
    }

    /// Starts with a folder that holds what is named, and origins that may read the API.
    fn start_in(folder: TempDir, web: &str, origins: Option<&str>) -> Self {
        let file = folder.path().join("web.yaml");
        fs::write(&file, web).unwrap();
        let flags = Flags {
            clusters: vec!["a=http://127.0.0.1:1".to_owned()],
            ..Flags::default()
        };
        let load = move || config::build(None, &flags);
        let config = load().unwrap();
        let door = web::load(&file).unwrap_or_else(|errors| panic!("{errors}\n{web}"));
        let settings = Settings {
            addresses: vec![listen_address("127.0.0.1:0").unwrap()],
            cors: origins.map(|pattern| Cors::new(pattern).unwrap()),
            ..Settings::default()
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (told, address) = std::sync::mpsc::channel();
        // On a thread of its own, since it has runtimes of its own.
        let thread = Some(std::thread::spawn(move || {
            let app = App::build(config, &settings, Load::new(load)).unwrap();
            let app = app.behind(door);
            told.send(app.addresses()[0]).unwrap();
            app.run(&stopped).unwrap();
        }));
        let address = address.recv().unwrap();
        Self {
            address,
            folder,
            stop,
            thread,
        }
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address)
    }

    fn write(&self, name: &str, text: &str) {
        write(self.folder.path(), name, text);
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

/// What came back: the status, or what the client says went wrong.
async fn get(client: &Client, url: &str, login: Option<(&str, &str)>) -> Result<u16, String> {
    Ok(ask(client, url, login).await?.status().as_u16())
}

async fn ask(
    client: &Client,
    url: &str,
    login: Option<(&str, &str)>,
) -> Result<reqwest::Response, String> {
    let mut request = client.get(url);
    if let Some((user, password)) = login {
        request = request.basic_auth(user, Some(password));
    }
    request.send().await.map_err(|error| format!("{error:?}"))
}

/// Looks again and again until it is so.
async fn becomes<F: Future<Output = bool>>(what: &str, mut look: impl FnMut() -> F) {
    let end = Instant::now() + PATIENCE;
    while !look().await {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// The value of one of our metrics.
async fn metric(client: &Client, url: &str, login: Option<(&str, &str)>, name: &str) -> f64 {
    let page = ask(client, url, login).await.unwrap().text().await.unwrap();
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {name} in {page}"));
    line.parse().unwrap()
}

const FOLLOWED: &str = "tributary_web_config_last_reload_successful";
