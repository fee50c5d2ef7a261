use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;

use super::super::tls::{self, Clients, Version};
use super::*;

/// A server's settings, and the certificate that it shows.
fn settings() -> (Settings, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let tls = tls::server(tls::Settings {
        identity: tls::identity(vec![certificate.clone()], key).unwrap(),
        clients: Clients::Anonymous,
        allowed_sans: Vec::new(),
        min: Version::Tls12,
        max: Version::Tls13,
        suites: Vec::new(),
        groups: Vec::new(),
        our_order: true,
    });
    let settings = Settings {
        tls: Some(tls.unwrap()),
        ..Settings::default()
    };
    (settings, certificate)
}

fn door(settings: Settings) -> Door {
    let door = Door::new(Pool::new(Handle::current(), 1));
    door.close(settings);
    door
}

fn connector(trusted: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Both ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

#[tokio::test]
async fn a_client_that_stops_reading_is_left_behind_tls_too() {
    let (settings, certificate) = settings();
    let (door, (client, server)) = (door(settings), pair().await);
    let connector = connector(certificate);
    let name = ServerName::try_from("localhost").unwrap();
    let patience = Duration::from_millis(200);
    let (client, server) = tokio::join!(
        connector.connect(name, client),
        door.enter(server, patience)
    );
    let (_client, mut server) = (client.unwrap(), server.unwrap());
    let endless = async {
        loop {
            server.write_all(&[b'x'; 1 << 14]).await?;
        }
    };
    let stopped: io::Result<()> = timeout(Duration::from_secs(30), endless).await.unwrap();
    assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_waited_for_ten_seconds() {
    let (settings, _) = settings();
    let (door, (_client, server)) = (door(settings), pair().await);
    let begin = Instant::now();
    let entered = door.enter(server, Duration::from_secs(1)).await;
    assert_eq!(entered.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(begin.elapsed().as_secs(), HANDSHAKE_TIMEOUT.as_secs());
}

#[tokio::test]
async fn a_locked_door_does_not_open_and_tls_neither_begins_nor_ends() {
    let users = || Settings {
        users: vec![(
            "a".to_owned(),
            bcrypt::hash("x", 4).unwrap().parse().unwrap(),
        )],
        ..Settings::default()
    };
    let verified = || Settings {
        clients_verified: true,
        ..settings().0
    };
    let check = |now: Settings, new: Settings, want: Result<(), Refused>| {
        let door = door(now);
        let before = (door.is_locked(), door.scheme());
        assert_eq!(door.replace(new), want);
        if want.is_err() {
            assert_eq!((door.is_locked(), door.scheme()), before);
        }
    };
    check(Settings::default(), Settings::default(), Ok(()));
    check(Settings::default(), users(), Ok(()));
    check(users(), users(), Ok(()));
    check(users(), Settings::default(), Err(Refused::Unlocked));
    check(Settings::default(), settings().0, Err(Refused::Tls));
    check(settings().0, Settings::default(), Err(Refused::Tls));
    check(settings().0, verified(), Ok(()));
    check(verified(), settings().0, Err(Refused::Unlocked));
}

#[test]
fn a_burst_passes_and_then_one_an_interval() {
    let second = Duration::from_secs(1);
    let limiter = Limiter::new(RateLimit {
        interval: second,
        burst: 3,
    });
    let begin = Instant::now();
    let admitted = |at: Duration| (0..5).filter(|_| limiter.admits(begin + at)).count();
    assert_eq!(admitted(Duration::ZERO), 3);
    assert_eq!(admitted(second / 2), 0);
    assert_eq!(admitted(second), 1);
    assert_eq!(admitted(3 * second), 2);
    assert_eq!(admitted(60 * second), 3);
}
