//! How many streams of an HTTP/2 connection are there at once: each takes memory that only the place
//! of an accepted call accounts for.

use std::time::Duration;

use super::case::plan;
use super::frames::{END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, Outcome, SETTINGS};

const ECHO: &str = "/koodrive/test/echo";
const SOON: Duration = Duration::from_secs(10);

fn get(fields: &[(&'static str, &str)]) -> Vec<u8> {
    let path =
        [(":method", "GET"), (":scheme", "http"), (":authority", "gateway"), (":path", ECHO)];
    Frames::block(&[&path[..], fields].concat())
}

/// More than may be open at once: each is answered before more is read, so none is refused.
#[tokio::test]
async fn a_stranger_never_has_many_streams_at_once() {
    const STREAMS: u32 = 300;
    let world = plan().start().await;
    let mut frames = Frames::open(world.gateway.address).await;
    // No refusal with a body is ever taken.
    frames.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).await.unwrap();
    for at in 0..STREAMS {
        frames.send(HEADERS, END_HEADERS | END_STREAM, 2 * at + 1, &get(&[])).await.unwrap();
    }
    for _ in 0..STREAMS {
        let frame = frames.next().await.expect("every one is answered");
        assert_eq!(frame.kind, HEADERS, "{frame:?}");
    }
}

/// What is kept for many streams would be kept as long as the connection lives.
#[tokio::test]
async fn a_connection_that_had_many_streams_at_once_says_goodbye_when_it_rests() {
    const STREAMS: u32 = 40;
    let world = plan().start().await;
    let bearer = format!("Bearer {}", world.sso.token_for("alice"));
    for (streams, stays) in [(STREAMS, false), (8, true)] {
        world.koodrive.switch.gate.close();
        let mut frames = Frames::open(world.gateway.address).await;
        let head = get(&[("authorization", &bearer)]);
        for at in 0..streams {
            frames.send(HEADERS, END_HEADERS | END_STREAM, 2 * at + 1, &head).await.unwrap();
        }
        assert!(world.koodrive.switch.gate.wait_for(streams as usize, SOON).await);
        world.koodrive.switch.gate.open();
        let mut ended = 0;
        while ended < streams {
            let frame = frames.next().await.expect("every one is answered");
            ended += u32::from(frame.flags & END_STREAM != 0);
        }
        // Whoever goes on calling keeps it.
        frames.send(HEADERS, END_HEADERS | END_STREAM, 2 * streams + 1, &head).await.unwrap();
        let outcome = frames.outcome(2 * streams + 1).await;
        assert!(matches!(outcome, Outcome::Answer { status: 200, .. }), "{outcome:?}");
        if !stays {
            let frame = frames.next().await.expect("a farewell");
            assert_eq!((frame.kind, frame.code()), (GOAWAY, 0), "{frame:?}");
            assert_eq!(frames.outcome(u32::MAX).await, Outcome::Closed);
        }
    }
}
