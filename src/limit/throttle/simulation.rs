//! Eager callers, and a KooDrive with a strict limit: what reaches it, and what it serves.

use std::collections::VecDeque;

use super::*;

const STEP: Duration = Duration::from_millis(10);
const CALLERS: usize = 200;
/// As `limit.concurrent`.
const PLACES: usize = 32;

/// How KooDrive counts its calls a second.
#[derive(Clone, Copy, Debug)]
enum Counting {
    /// From one full second to the next.
    ByTheSecond,
    /// Within the second that ends now.
    Sliding,
    /// A bucket that is full after a second without calls.
    Bucket,
}

struct KooDrive {
    counting: Counting,
    per_second: usize,
    /// When calls were let through, as far as they still count.
    passed: VecDeque<Duration>,
    asked: usize,
    served: usize,
}

impl KooDrive {
    fn new(counting: Counting, per_second: usize) -> Self {
        Self { counting, per_second, passed: VecDeque::new(), asked: 0, served: 0 }
    }

    fn allows(&mut self, now: Duration) -> bool {
        self.asked += 1;
        let counts = |then: Duration| match self.counting {
            Counting::ByTheSecond => then.as_secs() == now.as_secs(),
            Counting::Sliding => now < then + SECOND,
            Counting::Bucket => now < then,
        };
        self.passed.retain(|then| counts(*then));
        if self.per_second <= self.passed.len() {
            return false;
        }
        // A token that is taken comes back after those before it.
        let back = self.passed.back().copied().unwrap_or(now).max(now);
        let per_token = SECOND / u32::try_from(self.per_second).unwrap();
        let bucket = matches!(self.counting, Counting::Bucket);
        self.passed.push_back(if bucket { back + per_token } else { now });
        self.served += 1;
        true
    }
}

/// One process with its callers.
struct Process {
    throttle: Throttle,
    /// Calls at KooDrive: when they are answered, and whether they are served.
    out: VecDeque<(Duration, bool, Sent)>,
}

impl Process {
    fn new() -> Self {
        Self { throttle: Throttle::default(), out: VecDeque::new() }
    }

    /// One round of all callers who have no call under way.
    fn step(&mut self, koodrive: &mut KooDrive, case: &Case, now: Duration) {
        while self.out.front().is_some_and(|(at, ..)| *at <= now) {
            let (_, served, sent) = self.out.pop_front().unwrap();
            if served {
                sent.served(now);
            } else {
                sent.throttled(case.retry_after, now);
            }
        }
        for _ in self.out.len()..CALLERS {
            // Who comes after one who has to wait, has to wait as well.
            if PLACES <= self.out.len() || self.throttle.look(now).is_err() {
                break;
            }
            let sent = self.throttle.enter(now).expect("a call that may be prepared may go");
            self.out.push_back((now + case.latency, koodrive.allows(now), sent));
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    counting: Counting,
    retry_after: Option<Duration>,
    latency: Duration,
}

fn cases() -> impl Iterator<Item = Case> {
    [Counting::ByTheSecond, Counting::Sliding, Counting::Bucket].into_iter().flat_map(|counting| {
        [None, Some(SECOND)].into_iter().flat_map(move |retry_after| {
            [10, 50, 300].map(|millis| {
                let latency = Duration::from_millis(millis);
                Case { counting, retry_after, latency }
            })
        })
    })
}

fn run(process: &mut Process, koodrive: &mut KooDrive, case: &Case, steps: std::ops::Range<u32>) {
    for step in steps {
        process.step(koodrive, case, STEP * step);
    }
}

#[test]
fn koodrive_is_asked_for_little_more_than_it_serves_and_serves_what_it_can() {
    for case in cases() {
        for per_second in [10, 100] {
            let mut koodrive = KooDrive::new(case.counting, per_second);
            run(&mut Process::new(), &mut koodrive, &case, 0..12_000);
            let limit = 120 * per_second;
            let KooDrive { asked, served, .. } = koodrive;
            let told = format!("{case:?} {per_second}: asked {asked}, served {served} of {limit}");
            assert!(asked <= limit * 11 / 10, "{told}");
            assert!(limit * 92 / 100 <= served, "{told}");
        }
    }
}

#[test]
fn a_limit_that_is_raised_is_soon_used() {
    for case in cases() {
        let (mut process, mut koodrive) = (Process::new(), KooDrive::new(case.counting, 10));
        run(&mut process, &mut koodrive, &case, 0..6000);
        koodrive = KooDrive::new(case.counting, 100);
        run(&mut process, &mut koodrive, &case, 6000..16_000);
        koodrive.served = 0;
        run(&mut process, &mut koodrive, &case, 16_000..18_000);
        assert!(20 * 90 <= koodrive.served, "{case:?}: {}", koodrive.served);
    }
}

const SECOND: Duration = Duration::from_secs(1);
