//! Who may ask, what a refusal looks like, and what guessing costs.

use std::process::Command;

use tokio::task::JoinSet;

use super::*;
use crate::support::eventually;
use crate::support::process::{Process, free_address};

fn users(users: &[(&str, &str)]) -> String {
    let lines = users
        .iter()
        .map(|(user, password)| format!("  {user}: {}\n", hash(password)));
    format!("basic_auth_users:\n{}", lines.collect::<String>())
}

fn plain() -> Client {
    client(&[]).build().unwrap()
}

#[tokio::test]
async fn everything_asks_for_a_password() {
    let web = users(&[("user", "right")])
        + "http_server_config:\n  headers: {X-Frame-Options: deny, Strict-Transport-Security: max-age=5}\n";
    let locked = Locked::start(&web, &[]);
    let client = plain();
    for path in [
        "/-/healthy",
        "/-/ready",
        "/metrics",
        "/federate",
        "/api/v1/clusters",
        "/absent",
    ] {
        let url = locked.url("http", path);
        for login in [
            None,
            Some(("user", "wrong")),
            Some(("nobody", "right")),
            Some(("", "")),
        ] {
            let answer = ask(&client, &url, login).await.unwrap();
            assert_eq!(answer.status(), 401, "{path} {login:?}");
            let header = |name| answer.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header("www-authenticate"), "Basic");
            assert_eq!(header("content-type"), "text/plain; charset=utf-8");
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("x-frame-options"), "deny");
            assert_eq!(header("strict-transport-security"), "max-age=5");
            assert_eq!(answer.text().await.unwrap(), "Unauthorized\n");
        }
        let answer = ask(&client, &url, Some(("user", "right"))).await.unwrap();
        assert_ne!(answer.status(), 401, "{path}");
        assert_eq!(answer.headers()["x-frame-options"], "deny");
    }
    let posted = client.post(locked.url("http", "/metrics")).send().await;
    assert_eq!(
        posted.unwrap().status(),
        401,
        "before the method is looked at"
    );
}

#[tokio::test]
async fn passwords_change_while_it_runs_and_the_door_never_opens() {
    let locked = Locked::start(&users(&[("user", "first"), ("other", "other")]), &[]);
    let (client, metrics) = (plain(), locked.url("http", "/metrics"));
    let first = Some(("user", "first"));
    let (second, other) = (Some(("user", "second")), Some(("other", "other")));
    assert_eq!(get(&client, &metrics, first).await, Ok(200));
    assert_eq!(get(&client, &metrics, second).await, Ok(401));
    locked.write(
        "web.yaml",
        &users(&[("user", "second"), ("other", "other")]),
    );
    becomes("the new password", || async {
        get(&client, &metrics, second).await == Ok(200)
    })
    .await;
    assert_eq!(get(&client, &metrics, first).await, Ok(401));
    for open in [
        "",
        "basic_auth_users: {}",
        "basic_auth_users: {user: second}",
    ] {
        locked.write("web.yaml", open);
        becomes("the wrong file to be seen", || async {
            metric(&client, &metrics, other, FOLLOWED).await == 0.0
        })
        .await;
        assert_eq!(get(&client, &metrics, None).await, Ok(401), "{open}");
        assert_eq!(get(&client, &metrics, second).await, Ok(200), "{open}");
        locked.write(
            "web.yaml",
            &users(&[("user", "second"), ("other", "other")]),
        );
        becomes("the good file to be seen", || async {
            metric(&client, &metrics, other, FOLLOWED).await == 1.0
        })
        .await;
    }
}

#[tokio::test]
async fn pages_of_named_origins_may_read_the_api() {
    let folder = tempfile::tempdir().unwrap();
    let web = users(&[("user", "right")]);
    let locked = Locked::start_in(folder, &web, Some(r"https://.*\.example\.com"));
    let closed = Locked::start(&web, &[]);
    let (client, page) = (plain(), "https://a.example.com");
    let asked =
        |locked: &Locked, method: reqwest::Method, path: &str, origin: &str, password: &str| {
            let request = client.request(method, locked.url("http", path));
            let request = request.header("origin", origin);
            request.basic_auth("user", Some(password)).send()
        };
    let (get, options) = (reqwest::Method::GET, reqwest::Method::OPTIONS);
    let api = "/api/v1/clusters";
    for (locked, method, path, origin, password, status, want) in [
        (&locked, &get, api, page, "right", 200, Some(page)),
        (&locked, &options, api, page, "right", 204, Some(page)),
        (&locked, &get, api, page, "wrong", 401, Some(page)),
        (&locked, &options, api, page, "wrong", 401, Some(page)),
        (
            &locked,
            &get,
            api,
            "https://b.example.org",
            "right",
            200,
            None,
        ),
        (&locked, &get, "/metrics", page, "right", 200, None),
        (&locked, &options, "/metrics", page, "right", 405, None),
        (&closed, &get, api, page, "right", 200, None),
        (&closed, &options, api, page, "right", 405, None),
    ] {
        let answer = asked(locked, method.clone(), path, origin, password);
        let answer = answer.await.unwrap();
        let allowed = answer.headers().get("access-control-allow-origin");
        let allowed = allowed.map(|value| value.to_str().unwrap());
        let got = (answer.status().as_u16(), allowed);
        assert_eq!(got, (status, want), "{method} {path} {origin} {password}");
    }
}

#[tokio::test]
async fn the_rate_limit_is_kept() {
    let locked = Locked::start("rate_limit: {interval: 1h, burst: 3}", &[]);
    let (client, url) = (plain(), locked.url("http", "/-/healthy"));
    for want in [200, 200, 200, 429, 429] {
        assert_eq!(get(&client, &url, None).await, Ok(want));
    }
}

/// The binary with one user, whose hash has the usual cost.
fn guarded(folder: &Path) -> (Process, SocketAddr) {
    let hashed = bcrypt::hash("right", 10).unwrap();
    let web = folder.join("web.yaml");
    fs::write(
        &web,
        format!("basic_auth_users:\n  user: {hashed}\n  late: {hashed}\n"),
    )
    .unwrap();
    let address = free_address();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command
        .args(["--cluster", "a=http://127.0.0.1:1"])
        .arg(format!("--web.listen-address={address}"))
        .arg(format!("--web.config.file={}", web.display()));
    let process = Process::start(&mut command);
    eventually("the listener", PATIENCE, || {
        std::net::TcpStream::connect(address)
    });
    (process, address)
}

#[tokio::test]
async fn a_flood_of_wrong_passwords_costs_little_and_keeps_nobody_out() {
    const SECONDS: u64 = 10;
    const A_SECOND: u64 = 20;
    let folder = tempfile::tempdir().unwrap();
    let (_process, address) = guarded(folder.path());
    let url = |path: &str| format!("http://{address}{path}");
    let (client, right) = (plain(), Some(("user", "right")));
    let metrics = url("/metrics");
    let cpu = || metric(&client, &metrics, right, "process_cpu_seconds_total");
    let before = (cpu().await, Instant::now());

    let mut flood = JoinSet::new();
    let (mut others, mut late) = (Vec::new(), None);
    for number in 0..SECONDS * A_SECOND {
        let (client, url) = (client.clone(), url("/metrics"));
        flood.spawn(async move {
            let wrong = format!("guess {number}");
            get(&client, &url, Some(("late", &wrong))).await.unwrap()
        });
        let begin = Instant::now();
        assert_eq!(get(&plain(), &self::url(address), right).await, Ok(200));
        others.push(begin.elapsed());
        // In the middle, from the same address, one who was never here comes, and comes again.
        if number >= SECONDS * A_SECOND / 2 && late.is_none() {
            late = Some(tokio::spawn(come_late(self::url(address), Instant::now())));
        }
        tokio::time::sleep_until(
            before.1 + Duration::from_millis(1000 / A_SECOND) * u32::try_from(number + 1).unwrap(),
        )
        .await;
    }
    let spent = cpu().await - before.0;
    let took = before.1.elapsed().as_secs_f64();
    let (attempts, waited) = late.unwrap().await.unwrap();
    let codes = flood.join_all().await;
    let refused = |code| codes.iter().filter(|&&other| other == code).count();
    assert_eq!(refused(401) + refused(429), codes.len(), "{codes:?}");
    others.sort_unstable();
    let (median, last) = (others[others.len() / 2], others[others.len() - 1]);
    println!(
        "{} wrong passwords in {took:.1} s: {spent:.2} s of CPU ({:.1} % of a core); {} checked, {} told to come again; \
         others: median {median:?}, slowest {last:?}; the right password came in after {waited:?}, try {attempts}",
        codes.len(),
        100.0 * spent / took,
        refused(401),
        refused(429),
    );
    // Without a bound it would be some 50 ms for each of them: 10 s.
    assert!(spent < 0.1 * took, "{spent} s of CPU in {took} s");
    assert!(refused(401) > 0, "{codes:?}");
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/-/healthy")
}

/// Comes with the right password until it is let in: how often, and how long it took.
async fn come_late(url: String, begin: Instant) -> (u32, Duration) {
    for attempt in 1..=20 {
        match get(&plain(), &url, Some(("late", "right"))).await {
            Ok(200) => return (attempt, begin.elapsed()),
            Ok(429) => sleep(Duration::from_secs(1)).await,
            other => panic!("{other:?}"),
        }
    }
    panic!("never let in");
}
