//! Large bodies pass through the real binary without staying in its memory.

use std::time::Instant;

use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::stream;
use http::Method;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use crate::support::caller::Caller;
use crate::support::koodrive::content::{expected, expected_sha256};
use crate::support::recording::hex;
use crate::support::server::Cut;
use crate::support::world::World;

const MIB: u64 = 1024 * 1024;
/// Each way; `tests/bench/large-bodies` measures more of them through the release build.
const BYTES: u64 = 256 * MIB;
/// What buffers, allocator and connections may still take after the warming up.
const GROWTH_MAX: u64 = 16 * MIB;
/// A multiple of 251, so that equal pieces make the simulator's own pattern.
const PIECE_BYTES: usize = 251 * 256;

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_downloads_pass_with_flat_memory() {
    let world = World::plan().child().start().await;
    let alice = world.caller("alice");
    let process = world.gateway.process_id().expect("a child");
    upload(&alice, 8 * MIB).await;
    download(&alice, 8 * MIB).await;

    let before = peak_memory(process);
    let begun = Instant::now();
    upload(&alice, BYTES).await;
    let (uploaded, after_upload) = (begun.elapsed(), peak_memory(process));
    download(&alice, BYTES).await;
    let (downloaded, after) = (begun.elapsed().saturating_sub(uploaded), peak_memory(process));
    let growth = after.saturating_sub(before);
    let told = format!("{before} B, {after_upload} B, {after} B; {uploaded:?}, {downloaded:?}");
    assert!(growth < GROWTH_MAX, "{growth} B more: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_does_not_read_holds_the_upstream_back() {
    let world = World::plan().child().start().await;
    let alice = world.caller("alice");
    let process = world.gateway.process_id().expect("a child");
    download(&alice, 8 * MIB).await;
    let before = peak_memory(process);
    let target = format!("/koodrive/test/bytes/{}", 4 * 1024 * MIB);
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(alice.call(Method::GET, &target).open().await.unwrap());
    }
    // A gateway that reads on would fill memory at hundreds of megabytes a second.
    for _ in 0..300 {
        assert_eq!(alice.get("/koodrive/test/status/204").await.status, 204);
    }
    let growth = peak_memory(process) - before;
    assert!(growth < GROWTH_MAX, "{growth} B more");
    drop(answers);
}

async fn upload(caller: &Caller, bytes: u64) {
    let piece = Bytes::from(expected(PIECE_BYTES));
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut left = bytes;
    let pieces = std::iter::from_fn(move || {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        left -= length as u64;
        (0 < length).then(|| piece.slice(..length))
    });
    pieces.clone().for_each(|piece| hash.update(&piece));
    let frames = pieces.map(|piece| Ok::<_, Cut>(Frame::data(piece)));
    let body = StreamBody::new(stream::iter(frames));
    let call = caller.call(Method::POST, "/koodrive/ose/v1/files/create").streaming(body);
    let reply = call.send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let data = &reply.json()["data"];
    let sent = (bytes, hex(hash.finish().as_ref()));
    assert_eq!((data["size"].as_u64(), data["sha256"].as_str()), (Some(sent.0), Some(&*sent.1)));
}

async fn download(caller: &Caller, bytes: u64) {
    let target = format!("/koodrive/test/bytes/{bytes}");
    let answer = caller.call(Method::GET, &target).open().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.expect("the body comes whole").into_data().expect("the body comes whole");
        read += data.len() as u64;
        hash.update(&data);
    }
    assert_eq!((read, hex(hash.finish().as_ref())), (bytes, expected_sha256(bytes)));
}

/// The most memory a process ever had in RAM.
fn peak_memory(process: u32) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{process}/status")).expect("procfs says so");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("procfs says so");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("procfs says so");
    kibibytes * 1024
}
