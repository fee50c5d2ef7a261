//! When a flaky cluster fails, and how: a specification and a time in, a fault out. Always the same minutes fail, so
//! that who watches the demo can wait for it.

use crate::demo::fleet::ClusterSpec;

/// Every so many minutes one is bad.
const EVERY_MINUTES: i64 = 4;
/// For so long into the bad minute requests fail: two or three scrapes of 15 seconds.
const BAD_MS: i64 = 40_000;

/// What goes wrong with an answer of `/federate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// 503, as from a load balancer whose servers are all away.
    Unavailable,
    /// The connection closes in the middle of the body.
    Cut,
}

impl Fault {
    /// The fault of a request at `now_ms` (milliseconds since the Unix epoch): kinds take turns.
    pub(super) fn at(spec: &ClusterSpec, now_ms: i64) -> Fault {
        let minute = now_ms.div_euclid(60_000) + i64::from(spec.index);
        if !spec.flaky
            || minute.rem_euclid(EVERY_MINUTES) != 0
            || now_ms.rem_euclid(60_000) >= BAD_MS
        {
            return Fault::None;
        }
        if minute.div_euclid(EVERY_MINUTES) % 2 == 0 {
            Fault::Unavailable
        } else {
            Fault::Cut
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demo::fleet::Shape;

    #[test]
    fn faults_come_and_go() {
        fn check(flaky: bool, seconds: i64, want: Fault) {
            let spec = ClusterSpec {
                name: "x".into(),
                index: 0,
                shape: Shape::Demo,
                series: 1,
                seed: 1,
                flaky,
                source_interval: Duration::from_secs(15),
            };
            assert_eq!(Fault::at(&spec, seconds * 1000), want, "{flaky} {seconds}");
        }
        check(false, 0, Fault::None);
        check(true, 0, Fault::Unavailable);
        check(true, 39, Fault::Unavailable);
        check(true, 40, Fault::None);
        check(true, 60, Fault::None);
        check(true, 239, Fault::None);
        check(true, 240, Fault::Cut);
        check(true, 480, Fault::Unavailable);
    }
}
