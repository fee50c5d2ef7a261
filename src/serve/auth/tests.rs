use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::memory::{Allowance, REMEMBERED_MAX, Ring, WAITING_MAX};
use super::*;

fn hash(password: &str) -> Hash {
    bcrypt::hash(password, 4).unwrap().parse().unwrap()
}

fn guard() -> Arc<Guard> {
    Arc::new(Guard::new(Pool::new(Handle::current(), 1)))
}

fn credentials(user: &str, password: &str) -> Credentials {
    Credentials {
        user: user.into(),
        password: password.as_bytes().to_vec().into(),
    }
}

async fn verdict(guard: &Arc<Guard>, users: &Users, user: &str, password: &str) -> Verdict {
    guard.check(users, &credentials(user, password), HERE).await
}

/// Whether bcrypt would run for these credentials.
fn is_new(guard: &Guard, user: &str, hash: &Hash, password: &str) -> bool {
    let password = repeated(password.as_bytes());
    let texts = [
        user.as_bytes(),
        hash.0.expose_secret().as_bytes(),
        &password[..],
    ];
    let tag = guard.tag(&texts);
    let memory = guard.memory();
    !memory.good.has(&tag) && !memory.wrong.has(&tag)
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[test]
fn credentials_are_read_as_go_reads_them() {
    fn check(text: &[u8], want: Option<(&str, &str)>) {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(text).unwrap();
        headers.insert(AUTHORIZATION, value);
        let read = Credentials::read(&headers);
        let read = read.map(|read| (read.user, read.password.expose_secret().to_vec()));
        let want = want.map(|(user, password)| (user.into(), password.into()));
        assert_eq!(read, want, "{text:?}");
    }
    check(b"Basic dXNlcjpwYXNz", Some(("user", "pass")));
    check(b"bAsIc dXNlcjpwYXNz", Some(("user", "pass")));
    check(b"Basic dXNlcjpwYTpzcw==", Some(("user", "pa:ss")));
    check(b"Basic Og==", Some(("", "")));
    check(b"Basic dXNlcg==", None);
    check(b"Basic dXNlcjpwYXNz=", None);
    check(b"Basic", None);
    check(b"Basic ", None);
    check(b"Bearer dXNlcjpwYXNz", None);
    check(b"", None);
    check(b"B\xc3\xa4sic dXNlcjpwYXNz", None);
    assert!(Credentials::read(&HeaderMap::new()).is_none());
}

#[test]
fn what_is_no_usable_hash_is_refused_without_repeating_it() {
    fn check(text: &str, want: Option<HashError>) {
        let read = text.parse::<Hash>();
        let shown = format!("{read:?}");
        assert!(text.is_empty() || !shown.contains(text), "{shown}");
        assert_eq!(read.err(), want, "{text}");
    }
    let salted = "u8nQ6Bnr1OYqKPvNRVWAQeZ4UaXLYyUcSvMCqdtTbFVbWKvWLUIUa";
    check(&format!("$2y$10${salted}"), None);
    check(&format!("$2a$04${salted}"), None);
    check(&format!("$2b$16${salted}"), None);
    check(&format!("$2b$17${salted}"), Some(HashError::Cost(17)));
    check(&format!("$2b$03${salted}"), Some(HashError::Cost(3)));
    check(&format!("$2b$99${salted}"), Some(HashError::Cost(99)));
    check(&format!("$1$10${salted}"), Some(HashError::NoHash));
    check(&format!("$2y$10${salted}x"), Some(HashError::NoHash));
    check(&format!("$2y$xx${salted}"), Some(HashError::NoHash));
    check("hunter2", Some(HashError::NoHash));
    check("", Some(HashError::NoHash));
    check(&"ä".repeat(30), Some(HashError::NoHash));
}

#[tokio::test]
async fn a_verdict_is_that_of_bcrypt_and_is_remembered() {
    let (guard, hash) = (guard(), hash("right"));
    let users = guard.users(&[("user".to_owned(), hash.clone())]);
    for (user, password, want) in [
        ("user", "right", Verdict::Good),
        ("user", "wrong", Verdict::Wrong),
        ("user", "", Verdict::Wrong),
        ("User", "right", Verdict::Wrong),
        ("", "right", Verdict::Wrong),
    ] {
        assert!(is_new(&guard, user, &hash, password), "{user} {password}");
        for _ in 0..2 {
            let verdict = verdict(&guard, &users, user, password).await;
            assert_eq!(verdict, want, "{user} {password}");
        }
        // Also for a name that does not exist bcrypt has run.
        assert!(!is_new(&guard, user, &hash, password), "{user} {password}");
    }
    let changed = guard.users(&[("user".to_owned(), super::tests::hash("new"))]);
    let refused = verdict(&guard, &changed, "user", "right").await;
    assert_eq!(refused, Verdict::Wrong);
    let refused = verdict(&guard, &guard.users(&[]), "user", "right").await;
    assert_eq!(refused, Verdict::Wrong);
}

#[tokio::test]
async fn passwords_that_bcrypt_cannot_tell_apart_are_one() {
    let (guard, long) = (guard(), "x".repeat(80));
    let users = guard.users(&[("user".to_owned(), hash(&long))]);
    for password in [long.clone(), "x".repeat(72), long + "y"] {
        let verdict = verdict(&guard, &users, "user", &password).await;
        assert_eq!(verdict, Verdict::Good);
    }
    assert_eq!(guard.memory().good.order.len(), 1);
    let refused = verdict(&guard, &users, "user", &"x".repeat(71)).await;
    assert_eq!(refused, Verdict::Wrong);
}

#[tokio::test]
async fn the_same_credentials_wait_for_one_check() {
    let guard = guard();
    let users = guard.users(&[("user".to_owned(), hash("right"))]);
    let many = (0..100).map(|_| async {
        guard
            .check(&users, &credentials("user", "right"), HERE)
            .await
    });
    let mut set = Vec::new();
    for one in many {
        set.push(Box::pin(one));
    }
    // All of them begin before the first ends: the pool's one place is taken until then.
    let (started, taken) = tokio::sync::oneshot::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let pool = guard.pool.clone();
    let holder = tokio::spawn(async move {
        let wait = move || {
            let _ = started.send(());
            // Ends when the sender goes.
            let _ = held.recv();
        };
        pool.run(wait).await
    });
    taken.await.unwrap();
    for one in &mut set {
        let begun = std::future::poll_fn(|context| {
            std::task::Poll::Ready(one.as_mut().poll(context).is_pending())
        });
        assert!(begun.await);
    }
    assert_eq!(guard.memory().waiting.len(), 1);
    drop(release);
    holder.await.unwrap().unwrap();
    for one in set {
        assert_eq!(one.await, Verdict::Good);
    }
    assert_eq!(guard.memory().waiting.len(), 0);
}

#[tokio::test]
async fn a_client_that_leaves_makes_room_and_pays_all_the_same() {
    let guard = guard();
    let users = guard.users(&[("user".to_owned(), hash("right"))]);
    for number in 0..20 {
        let wrong = credentials("user", &number.to_string());
        let check = guard.check(&users, &wrong, HERE);
        // Long enough to begin, not to end.
        let _ = timeout(Duration::from_micros(1), check).await;
    }
    // What runs is over when the pool, which has one place, takes the next slice.
    guard.pool.run(|| ()).await.unwrap();
    let memory = guard.memory();
    assert_eq!((memory.waiting.len(), memory.running), (0, None));
    let paid = memory.wrong.order.len();
    assert_eq!(paid > 0, memory.allowance.full_at.is_some(), "{paid}");
}

fn check(tag: u8, address: &str) -> Check {
    Check {
        tag: [tag; 32],
        address: address.parse().unwrap(),
        is_user: true,
        hash: Hash(String::new().into()),
        password: Vec::new().into(),
    }
}

/// Whether a place was taken.
fn waits(memory: &mut Memory, tag: u8, address: &str, now: Instant) -> bool {
    match memory.look(&check(tag, address), now) {
        // The sender would be dropped by the place.
        Known::Unknown(sender) => {
            std::mem::forget(sender);
            true
        }
        Known::Verdict(Verdict::Later) => false,
        Known::Verdict(_) | Known::Follow(_) => panic!("it is new"),
    }
}

/// The tag that may begin, of those that wait.
fn begins(memory: &mut Memory, now: Instant) -> u8 {
    let mut tags: Vec<_> = memory.waiting.keys().copied().collect();
    tags.retain(|tag| matches!(memory.begin(tag, now), Begin::Now));
    assert_eq!(tags.len(), 1, "{tags:?}");
    memory.running = None;
    memory.waiting.remove(&tags[0]);
    tags[0][0]
}

#[test]
fn while_the_allowance_is_used_up_an_address_has_two_places() {
    let (mut memory, now) = (Memory::default(), Instant::now());
    for tag in 0..8 {
        assert!(waits(&mut memory, tag, "10.0.0.1", now));
    }
    assert!(!waits(&mut memory, 8, "10.0.0.1", now));
    assert!(waits(&mut memory, 9, "10.0.0.2", now));
    memory.waiting.clear();
    memory.allowance.spend(Duration::from_secs(1), now);
    assert!(waits(&mut memory, 20, "10.0.0.1", now));
    assert!(!waits(&mut memory, 21, "10.0.0.1", now));
    assert!(waits(&mut memory, 21, "10.0.0.1", now), "it comes back");
    assert!(!waits(&mut memory, 22, "10.0.0.1", now));
    assert!(!waits(&mut memory, 22, "10.0.0.1", now), "one does already");
    assert!(waits(&mut memory, 23, "10.0.0.2", now));
    for number in 100..=255 {
        waits(&mut memory, number, &format!("10.1.0.{number}"), now);
    }
    assert_eq!(memory.waiting.len(), WAITING_MAX);
}

#[test]
fn who_did_not_guess_goes_first_then_who_comes_back() {
    let (mut memory, now) = (Memory::default(), Instant::now());
    memory.guessed("10.0.0.1".parse().unwrap());
    memory.guessed("10.0.0.2".parse().unwrap());
    assert!(waits(&mut memory, 1, "10.0.0.2", now));
    assert!(waits(&mut memory, 2, "10.0.0.1", now));
    memory.turned_away.add([3; 32]);
    assert!(waits(&mut memory, 3, "10.0.0.1", now));
    assert!(waits(&mut memory, 4, "10.0.0.3", now));
    assert!(waits(&mut memory, 5, "10.0.0.3", now));
    let order: Vec<_> = (0..5).map(|_| begins(&mut memory, now)).collect();
    assert_eq!(order, [4, 5, 3, 2, 1]);
}

#[test]
fn wrong_passwords_take_three_hundredths_of_the_time() {
    let begin = Instant::now();
    let (mut allowance, mut now) = (Allowance::default(), begin);
    let one = Duration::from_millis(50);
    let mut spent = Duration::ZERO;
    while now < begin + Duration::from_secs(600) {
        if let Some(at) = allowance.ready_at(now) {
            now = at;
        }
        now += one;
        spent += one;
        allowance.spend(one, now);
    }
    let share = spent.as_secs_f64() / 600.0;
    assert!((0.03..0.035).contains(&share), "{share}");
    // After a rest it is as at first.
    now += Duration::from_secs(60);
    let mut at_once = 0;
    while allowance.ready_at(now).is_none() {
        allowance.spend(one, now);
        at_once += 1;
    }
    assert_eq!(at_once, 3);
}

#[test]
fn addresses_of_one_network_are_one() {
    fn check(peer: &str, want: &str) {
        assert_eq!(address(peer.parse().unwrap()).to_string(), want);
    }
    check("10.0.0.1", "10.0.0.1");
    check("::ffff:10.0.0.1", "10.0.0.1");
    check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
    check("::1", "::");
}

#[test]
fn a_ring_forgets_the_oldest() {
    let mut ring = Ring::default();
    for number in 0..=REMEMBERED_MAX {
        let mut tag = [0; 32];
        tag[..8].copy_from_slice(&number.to_le_bytes());
        ring.add(tag);
        ring.add(tag);
    }
    assert_eq!(
        (ring.tags.len(), ring.order.len()),
        (REMEMBERED_MAX, REMEMBERED_MAX)
    );
    assert!(!ring.has(&[0; 32]));
}

#[test]
fn a_busy_machine_makes_a_check_no_dearer() {
    let (begin, second) = (Instant::now(), Duration::from_secs(1));
    let check = |from: Option<Duration>, to: Option<Duration>, want: Duration| {
        assert_eq!(spent((begin, from), (begin + 8 * second, to)), want);
    };
    check(Some(second), Some(4 * second), 3 * second);
    check(Some(second), Some(second), second);
    check(None, Some(second), 8 * second);
    check(None, None, 8 * second);
    let spin = Instant::now();
    while spin.elapsed() < Duration::from_millis(50) {}
    assert!(cpu_time().is_none_or(|time| time > Duration::from_millis(1)));
}
