//! The server over real sockets of the loopback, with plain requests.

use std::io::{BufRead as _, Read as _};

use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn spec(flaky: bool) -> ClusterSpec {
    ClusterSpec {
        name: "cluster-01".into(),
        index: 1,
        shape: Shape::Real,
        series: 2000,
        seed: 7,
        flaky,
        // So long that no round ends while a test runs.
        source_interval: Duration::from_secs(86_400 * 365),
    }
}

/// Head and body of an answer.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
    }
}

/// Asks once, on a connection of its own.
async fn get(cluster: SimulatedCluster, path: &str, headers: &str) -> Answer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, Arc::new(cluster), stop.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    stop.cancel();
    server.await.unwrap();
    let end = memchr::memmem::find(&all, b"\r\n\r\n").unwrap();
    Answer {
        head: String::from_utf8(all[..end].to_vec()).unwrap(),
        body: all[end + 4..].to_vec(),
    }
}

fn cluster() -> SimulatedCluster {
    SimulatedCluster::new(spec(false), now_ms())
}

const ALL: &str = "/federate?match[]=%7B__name__%3D~%22.%2B%22%7D";

fn expected() -> String {
    let cluster = cluster();
    String::from_utf8(cluster.body(now_ms()).plain.to_vec()).unwrap()
}

#[tokio::test]
async fn identity_and_gzip_have_their_right_lengths() {
    let plain = get(cluster(), ALL, "").await;
    assert!(plain.head.starts_with("HTTP/1.1 200"));
    assert_eq!(
        plain.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(
        plain.header("content-length"),
        Some(&*plain.body.len().to_string())
    );
    assert_eq!(plain.body.lines().count(), expected().lines().count());

    let packed = get(cluster(), ALL, "Accept-Encoding: deflate, gzip;q=0.5\r\n").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(
        packed.header("content-length"),
        Some(&*packed.body.len().to_string())
    );
    assert!(packed.body.len() * 4 < plain.body.len());
    let mut text = Vec::new();
    GzDecoder::new(&*packed.body)
        .read_to_end(&mut text)
        .unwrap();
    assert_eq!(text.len(), plain.body.len());
}

#[tokio::test]
async fn gzip_can_be_refused_on_both_sides() {
    let server = get(
        cluster().with_gzip_level(0),
        ALL,
        "Accept-Encoding: gzip\r\n",
    )
    .await;
    assert_eq!(server.header("content-encoding"), None);
    let client = get(cluster(), ALL, "Accept-Encoding: gzip;q=0\r\n").await;
    assert_eq!(client.header("content-encoding"), None);
}

#[tokio::test]
async fn selectors_are_honoured() {
    let answer = get(cluster(), "/federate?match[]=kube_pod_info", "").await;
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.starts_with("# TYPE kube_pod_info untyped\nkube_pod_info{"));
    assert!(
        text.lines()
            .skip(1)
            .all(|line| line.starts_with("kube_pod_info{"))
    );
    let nothing = get(cluster(), "/federate", "").await;
    assert_eq!(
        (nothing.header("content-length"), nothing.body.len()),
        (Some("0"), 0)
    );
}

#[tokio::test]
async fn other_paths_answer_as_prometheus_does() {
    async fn check(path: &str, status: u16, part: &str) {
        let answer = get(cluster(), path, "").await;
        assert!(
            answer.head.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {}",
            answer.head
        );
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains(part), "{path}: {text}");
    }
    check("/api/v1/metadata", 200, r#""kube_pod_info":[{"#).await;
    check(
        "/api/v1/status/config",
        200,
        "prometheus_replica: prometheus-k8s-0",
    )
    .await;
    check("/api/v1/status/buildinfo", 200, r#""version":"3."#).await;
    check("/-/healthy", 200, "Healthy").await;
    check("/nosuch", 404, "not found").await;
}

#[tokio::test]
async fn a_cut_body_ends_before_its_promised_length() {
    let cluster = cluster();
    let whole = cluster.body(now_ms()).plain.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cut = move |_: Request<Incoming>| {
        let page = Page::new(whole.clone()).cut();
        async move { Ok::<_, Infallible>(Response::new(page)) }
    };
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(cut))
            .await
    });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /federate HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    assert!(server.await.unwrap().is_err());
    let text = String::from_utf8(all).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let answer = Answer {
        head: head.to_owned(),
        body: body.into(),
    };
    let promised: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert!(
        !body.is_empty() && body.len() < promised,
        "{} of {promised}",
        body.len()
    );
}

#[test]
fn bodies_are_made_once_per_period_and_their_memory_is_used_again() {
    let cluster = cluster();
    let period = cluster.period_ms;
    let first = cluster.body(5 * period);
    assert!(Arc::ptr_eq(&first, &cluster.body(6 * period - 1)));
    let memory = first.plain.as_ptr();
    drop(first);
    let second = cluster.body(6 * period);
    assert_ne!(second.plain.as_ptr(), memory);
    let third = cluster.body(7 * period);
    assert_eq!(third.plain.as_ptr(), memory);
    assert_eq!(second.period, 6);
    assert_eq!(
        third.plain,
        SimulatedCluster::new(spec(false), now_ms())
            .body(7 * period)
            .plain
    );
}
