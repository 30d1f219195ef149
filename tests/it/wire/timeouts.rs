//! Nothing is waited for without end, and no number of connections is too many.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::case::{closes, open, plan, raw, reason};
use super::frames::{
    DATA, END_HEADERS, Frames, HEADERS, Outcome, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use crate::support::faults::Behaviour;
use crate::support::koodrive::PREVERIFY;
use crate::support::raw::RawConnection;
use crate::support::world::{GOOD_BATCH, World};

const SOON: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_millis(400);
const GET: &str = "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎";

/// The other side closes no sooner than `after`, and in good time.
async fn closes_after(connection: &mut RawConnection, begun: Instant, after: Duration, name: &str) {
    closes(connection).await.unwrap_or_else(|why| panic!("{name}: {why}"));
    let took = begun.elapsed();
    assert!(after <= took + Duration::from_millis(50) && took < after * 6, "{name}: {took:?}");
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let world =
        plan().config("[listen]\nheader_timeout = '400ms'\nidle_timeout = '1h'").start().await;
    for (name, begin) in [
        ("nothing", ""),
        ("the beginning of HTTP/2", "PRI * HTTP/2"),
        ("empty lines", "⏎⏎⏎"),
        ("a request line", "GET /koodrive/test/echo HTTP/1.1⏎"),
        ("half a head", "GET /koodrive/test/echo HTTP/1.1⏎{H}X:"),
    ] {
        let begun = Instant::now();
        let mut connection = open(&world).await;
        connection.send(raw(&world, begin)).await.unwrap();
        closes_after(&mut connection, begun, HEAD, name).await;
    }
    // A head that drips in is late all the same.
    let begun = Instant::now();
    let mut connection = open(&world).await;
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    for byte in raw(&world, GET) {
        pause.tick().await;
        if connection.send([byte]).await.is_err() {
            break;
        }
    }
    assert!(begun.elapsed() < HEAD * 6);

    // Nor is the head of a second request; between two requests there is time.
    let mut connection = open(&world).await;
    connection.send(raw(&world, GET)).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 200);
    tokio::time::timeout(HEAD * 2, connection.answer()).await.expect_err("it stays open");
    let begun = Instant::now();
    connection.send("GET /koo").await.unwrap();
    closes_after(&mut connection, begun, HEAD, "the second head").await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let world = plan().config("[listen]\nidle_timeout = '400ms'").start().await;
    let mut connection = open(&world).await;
    connection.send(raw(&world, GET)).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 200);
    closes_after(&mut connection, Instant::now(), HEAD, "HTTP/1.1").await;

    let bearer = format!("Bearer {}", world.sso.token_for("alice"));
    let mut frames = Frames::open(world.gateway.address).await;
    frames.request(1, &fields(&bearer, "GET", "/koodrive/test/echo"), None).await;
    assert!(matches!(frames.outcome(1).await, Outcome::Answer { status: 200, .. }));
    assert_eq!(frames.outcome(3).await, Outcome::Closed);
    // One on which nothing was ever asked, too.
    let mut frames = Frames::open(world.gateway.address).await;
    assert_eq!(frames.outcome(1).await, Outcome::Closed);
}

fn fields<'a>(bearer: &'a str, method: &'a str, path: &'a str) -> [(&'a str, &'a str); 5] {
    [
        (":method", method),
        (":scheme", "http"),
        (":authority", "gateway"),
        (":path", path),
        ("authorization", bearer),
    ]
}

#[tokio::test]
async fn a_body_that_stops_is_refused_in_words() {
    let world = plan().config("[listen]\nbody_timeout = '300ms'").start().await;
    for path in [PREVERIFY, "/koodrive/test/echo"] {
        let mut connection = open(&world).await;
        let head = format!("POST {path} HTTP/1.1⏎{{H}}{{A}}Content-Length: 50⏎⏎{{\"cur");
        connection.send(raw(&world, &head)).await.unwrap();
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, &*reason(&answer)), (408, "body_timeout"), "{path}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let bearer = format!("Bearer {}", world.sso.token_for("alice"));
    let mut frames = Frames::open(world.gateway.address).await;
    let block = Frames::block(&fields(&bearer, "POST", PREVERIFY));
    frames.send(HEADERS, END_HEADERS, 1, &block).await.unwrap();
    frames.send(DATA, 0, 1, b"{\"cur").await.unwrap();
    let outcome = frames.outcome(1).await;
    assert!(matches!(outcome, Outcome::Answer { status: 408, .. }), "{outcome:?}");
    assert!(world.koodrive.received.all().iter().all(|received| !received.body.complete));
}

#[tokio::test]
async fn a_slow_body_that_moves_may_take_its_time() {
    let world = plan()
        .config("[listen]\nbody_timeout = '2s'\n[forward]\nresponse_timeout = '300ms'")
        .start()
        .await;
    let mut connection = open(&world).await;
    let head = "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 12⏎⏎";
    connection.send(raw(&world, head)).await.unwrap();
    let mut pause = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..12 {
        pause.tick().await;
        connection.send("x").await.unwrap();
    }
    assert_eq!(connection.answer().await.unwrap().status, 200);

    // But once it is sent, KooDrive has only so long.
    world.koodrive.switch.set(Behaviour::hang());
    connection.send(raw(&world, &format!("{head}xxxxxxxxxxxx"))).await.unwrap();
    let answer = connection.answer().await.unwrap();
    assert_eq!((answer.status, &*reason(&answer)), (504, "upstream_timeout"));
}

#[tokio::test]
async fn a_caller_that_takes_nothing_is_cut_off() {
    let world = plan().config("[listen]\nidle_timeout = '500ms'").start().await;
    let path = "/koodrive/test/bytes/100000000";
    let mut connection = open(&world).await;
    connection.send(raw(&world, &format!("GET {path} HTTP/1.1⏎{{H}}{{A}}⏎"))).await.unwrap();
    assert!(world.koodrive.server.wait_abandoned(1, SOON).await, "HTTP/1.1");
    drop(connection);

    // In HTTP/2 the connection moves, but the window of the stream is never opened.
    let bearer = format!("Bearer {}", world.sso.token_for("alice"));
    let mut frames = Frames::open(world.gateway.address).await;
    frames.request(1, &fields(&bearer, "GET", path), None).await;
    let outcome = frames.outcome(1).await;
    assert!(matches!(outcome, Outcome::Reset(_) | Outcome::Closed), "{outcome:?}");
    assert!(world.koodrive.server.wait_abandoned(2, SOON).await, "HTTP/2");
}

#[tokio::test]
async fn the_connection_that_is_idle_longest_makes_room_and_no_busy_one_does() {
    let world = plan().config("[listen]\nmax_connections = 2").start().await;
    let served = async |connection: &mut RawConnection| {
        connection.send(raw(&world, GET)).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 200);
    };
    let mut first = open(&world).await;
    served(&mut first).await;
    let mut second = open(&world).await;
    served(&mut second).await;
    let mut third = open(&world).await;
    served(&mut third).await;
    closes(&mut first).await.expect("idle longest");

    world.koodrive.switch.gate.close();
    second.send(raw(&world, GET)).await.unwrap();
    third.send(raw(&world, GET)).await.unwrap();
    assert!(world.koodrive.switch.gate.wait_for(2, SOON).await);
    let mut fourth = open(&world).await;
    fourth.send(raw(&world, GET)).await.unwrap();
    let waited = world.koodrive.switch.gate.wait_for(3, Duration::from_millis(300)).await;
    assert!(!waited, "nobody is idle");
    world.koodrive.switch.gate.open();
    for connection in [&mut second, &mut third, &mut fourth] {
        assert_eq!(connection.answer().await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn whoever_was_refused_and_sends_on_makes_room_at_once() {
    let world = plan().config("[listen]\nmax_connections = 2").start().await;
    let refused = "POST /koodrive/test/echo HTTP/1.1⏎{H}Content-Length: 100000⏎⏎";
    let (mut first, mut second) = (open(&world).await, open(&world).await);
    for connection in [&mut first, &mut second] {
        connection.send(raw(&world, refused)).await.unwrap();
        assert_eq!(connection.answer().await.unwrap().status, 401);
    }
    let begun = Instant::now();
    let mut third = open(&world).await;
    third.send(raw(&world, GET)).await.unwrap();
    assert_eq!(third.answer().await.unwrap().status, 200);
    // The rest of what was refused would be taken in for longer.
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    closes(&mut first).await.expect("idle longest");
}

#[tokio::test]
async fn callers_who_come_at_once_wait_for_a_place() {
    let world = plan().config("[listen]\nmax_connections = 1").start().await;
    world.koodrive.switch.gate.close();
    let mut busy = open(&world).await;
    busy.send(raw(&world, GET)).await.unwrap();
    assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
    // Whoever does not fit would try again after one second, after three, after seven.
    let opening = async {
        let mut waiting = Vec::new();
        while waiting.len() < 300 {
            waiting.push(open(&world).await);
        }
        waiting
    };
    let waiting = tokio::time::timeout(SOON, opening).await;
    assert_eq!(waiting.map_or(0, |waiting| waiting.len()), 300);
    world.koodrive.switch.gate.open();
    assert_eq!(busy.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_batch_that_drips_in_is_refused_however_steadily_it_does() {
    let world = plan().config("[listen]\nbody_timeout = '300ms'").start().await;
    let mut connection = open(&world).await;
    let head = format!("POST {PREVERIFY} HTTP/1.1⏎{{H}}{{A}}Content-Length: 100000⏎⏎");
    connection.send(raw(&world, &head)).await.unwrap();
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    let dripping = async {
        for _ in 0..400 {
            pause.tick().await;
            if connection.send("x").await.is_err() {
                break;
            }
        }
    };
    let refused = world.gateway.logs.wait_for(SOON, |line| line["reason"] == "body_timeout");
    tokio::select! {
        () = dripping => panic!("the body may take its time"),
        line = refused => assert!(line.is_some()),
    }
    let answer = connection.answer().await.unwrap();
    assert_eq!((answer.status, &*reason(&answer)), (408, "body_timeout"));
}

#[tokio::test]
async fn a_slow_but_steady_reader_of_http2_is_served_to_the_end() {
    let world = plan().config("[listen]\nidle_timeout = '1s'").start().await;
    let bearer = format!("Bearer {}", world.sso.token_for("alice"));
    let mut frames = Frames::open(world.gateway.address).await;
    frames.request(1, &fields(&bearer, "GET", "/koodrive/test/bytes/300000"), None).await;
    // The windows open by 20 KB four times a second.
    let (mut taken, mut pause) = (0, tokio::time::interval(Duration::from_millis(250)));
    let update = 20_000_u32.to_be_bytes();
    while taken < 300_000 {
        tokio::select! {
            _ = pause.tick() => {
                frames.send(WINDOW_UPDATE, 0, 0, &update).await.unwrap();
                frames.send(WINDOW_UPDATE, 0, 1, &update).await.unwrap();
            }
            frame = frames.next() => {
                let frame = frame.expect("the connection stays open");
                assert_ne!(frame.kind, RST_STREAM, "reset after {taken} bytes");
                taken += if frame.kind == DATA { frame.payload.len() } else { 0 };
            }
        }
    }
    assert_eq!(taken, 300_000);
}

/// With a limit that does not hold a tenth of the connections that callers may open.
#[tokio::test]
async fn with_few_file_descriptors_fewer_connections_are_open_and_all_is_answered() {
    for files in [40, 128] {
        let world = plan().child_with_files(files).start().await;
        let warned = |line: &Value| line["limit"] == files && line["needed"] == 10_768;
        assert!(world.gateway.logs.wait_for(SOON, warned).await.is_some());
        let mut idle = Vec::new();
        for _ in 0..200 {
            idle.push(open(&world).await);
        }
        let mut late = open(&world).await;
        late.send(raw(&world, GET)).await.unwrap();
        assert_eq!(late.answer().await.unwrap().status, 200, "{files} descriptors");
        assert_eq!(world.admin().get("/livez").await.status, 200, "{files} descriptors");
    }
}

#[tokio::test]
async fn without_file_descriptors_connections_wait_and_open_ones_are_served() {
    let world = plan().child().start().await;
    let mut old = open(&world).await;
    old.send(raw(&world, GET)).await.unwrap();
    assert_eq!(old.answer().await.unwrap().status, 200);

    let process = world.gateway.process_id().unwrap();
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    let limits = [format!("--pid={process}"), format!("--nofile={}", files + 4)];
    assert!(Command::new("prlimit").args(limits).status().unwrap().success());
    let mut many = Vec::new();
    for _ in 0..8 {
        many.push(open(&world).await);
    }
    let refused = |line: &Value| line["msg"] == "connection not accepted";
    assert!(world.gateway.logs.wait_for(SOON, refused).await.is_some());
    old.send(raw(&world, GET)).await.unwrap();
    assert_eq!(old.answer().await.unwrap().status, 200);
    let mut late = open(&world).await;
    late.send(raw(&world, GET)).await.unwrap();
    drop(many);
    assert_eq!(late.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn slow_bodies_leave_room_for_calls_without_one() {
    let limits = [
        ("calls at once", "[listen]\nmax_in_flight = 4"),
        ("connections upstream", "[forward]\nmax_connections = 4\nconnect_timeout = '300ms'"),
    ];
    for (name, limits) in limits {
        let world = plan().config(limits).start().await;
        let head = "POST /koodrive/test/echo HTTP/1.1⏎{H}{A}Content-Length: 5⏎⏎";
        let mut slow = Vec::new();
        for at in 1..=3 {
            let mut connection = open(&world).await;
            connection.send(raw(&world, &format!("{head}h"))).await.unwrap();
            let upstream = async {
                while world.koodrive.server.connections() < at {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(SOON, upstream).await.expect(name);
            slow.push(connection);
        }
        let mut fourth = open(&world).await;
        fourth.send(raw(&world, &format!("{head}h"))).await.unwrap();
        let answer = fourth.answer().await.unwrap();
        assert_eq!((answer.status, &*reason(&answer)), (503, "overloaded"), "{name}");
        let bob = |text: &str| raw(&world, &text.replace("{A}", &bearer(&world, "bob")));
        let mut other = open(&world).await;
        other.send(bob(GET)).await.unwrap();
        assert_eq!(other.answer().await.unwrap().status, 200, "{name}: nothing to wait for");

        // A body that has arrived makes room, before its answer has.
        world.koodrive.switch.gate.close();
        slow[0].send("ello").await.unwrap();
        assert!(world.koodrive.switch.gate.wait_for(1, SOON).await, "{name}");
        other.send(bob(&format!("{head}hello"))).await.unwrap();
        assert!(world.koodrive.switch.gate.wait_for(2, SOON).await, "{name}");
        world.koodrive.switch.gate.open();
        assert_eq!(other.answer().await.unwrap().status, 200, "{name}");
        assert_eq!(slow[0].answer().await.unwrap().status, 200, "{name}");
    }
}

#[tokio::test]
async fn memory_for_bodies_and_calls_in_flight_are_bounded() {
    let world = plan()
        .config(
            "[listen]\nmax_buffered = '64KiB'\nmax_in_flight = 3\n[validate]\nmax_body = '40KiB'",
        )
        .start()
        .await;
    let batch = format!("{}{GOOD_BATCH}", " ".repeat(39 * 1024 - GOOD_BATCH.len()));
    world.koodrive.switch.gate.close();
    let preverify = |world: &World| {
        let head = format!("POST {PREVERIFY} HTTP/1.1⏎{{H}}{{A}}Content-Length: {}⏎⏎", batch.len());
        let mut request = raw(world, &head);
        request.extend(batch.bytes());
        request
    };
    let mut first = open(&world).await;
    first.send(preverify(&world)).await.unwrap();
    assert!(world.koodrive.switch.gate.wait_for(1, SOON).await);
    let mut second = open(&world).await;
    second.send(preverify(&world)).await.unwrap();
    let answer = second.answer().await.unwrap();
    assert_eq!((answer.status, &*reason(&answer)), (503, "overloaded"), "no memory left");
    assert_eq!(answer.header("retry-after"), Some("1"));
    let mut more = Vec::new();
    for at in 2..4 {
        let mut connection = open(&world).await;
        connection.send(raw(&world, GET)).await.unwrap();
        assert!(world.koodrive.switch.gate.wait_for(at, SOON).await);
        more.push(connection);
    }
    let mut last = open(&world).await;
    last.send(raw(&world, GET)).await.unwrap();
    let answer = last.answer().await.unwrap();
    assert_eq!((answer.status, &*reason(&answer)), (503, "overloaded"), "no place left");
    world.koodrive.switch.gate.open();
    assert_eq!(first.answer().await.unwrap().status, 200);
    for connection in &mut more {
        assert_eq!(connection.answer().await.unwrap().status, 200);
    }
    last.send(preverify(&world)).await.unwrap();
    assert_eq!(last.answer().await.unwrap().status, 200, "all is free again");
}

fn bearer(world: &World, subject: &str) -> String {
    format!("Authorization: Bearer {}⏎", world.sso.token_for(subject))
}

#[tokio::test]
async fn one_caller_takes_no_place_that_others_need() {
    let world = plan().config("[listen]\nmax_in_flight = 8").start().await;
    world.koodrive.switch.gate.close();
    // As many as one caller gets, and one more.
    let mut hoard = Vec::new();
    for at in 1..=6 {
        let mut connection = open(&world).await;
        connection.send(raw(&world, GET)).await.unwrap();
        assert!(world.koodrive.switch.gate.wait_for(at, SOON).await);
        hoard.push(connection);
    }
    let mut seventh = open(&world).await;
    seventh.send(raw(&world, GET)).await.unwrap();
    let answer = seventh.answer().await.unwrap();
    assert_eq!((answer.status, &*reason(&answer)), (503, "overloaded"));
    let mut others = Vec::new();
    for (at, name) in [(7, "bob"), (8, "carol")] {
        let mut connection = open(&world).await;
        let call = GET.replace("{A}", &bearer(&world, name));
        connection.send(raw(&world, &call)).await.unwrap();
        assert!(world.koodrive.switch.gate.wait_for(at, SOON).await, "{name}");
        others.push(connection);
    }
    world.koodrive.switch.gate.open();
    for connection in hoard.iter_mut().chain(&mut others) {
        assert_eq!(connection.answer().await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn slow_batches_and_unread_answers_hold_no_place_at_koodrive() {
    let config = "[limit]\nconcurrent = 1\ncalls_burst = 100";
    let world = World::plan().config(config).start().await;
    // Batches that never end.
    let head = format!("POST {PREVERIFY} HTTP/1.1⏎{{H}}{{A}}Content-Length: 500⏎⏎{{\"cur");
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut connection = open(&world).await;
        connection.send(raw(&world, &head)).await.unwrap();
        slow.push(connection);
    }
    // Answers whose window is never opened.
    let token = format!("Bearer {}", world.sso.token_for("mallory"));
    let mut frames = Frames::open(world.gateway.address).await;
    frames.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await.unwrap();
    for stream in [1, 3, 5] {
        let sent = world.koodrive.received.all().len();
        let body = Some(GOOD_BATCH.as_bytes());
        frames.request(stream, &fields(&token, "POST", PREVERIFY), body).await;
        let arrived = async {
            while world.koodrive.received.all().len() == sent {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, arrived).await.expect("the place is free again");
    }
    let reply = world.caller("bob").preverify(GOOD_BATCH).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}
