//! A TLS connection ends with a word (`close_notify`, RFC 8446 section 6.1): without it nobody can
//! tell an answer that has ended from one that was cut off.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::case::{plan, raw};
use crate::reload::{TLS, connected};

const SOON: Duration = Duration::from_secs(10);
const CLOSES: &str = "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Connection: close⏎⏎";
const GOES_ON: &str = "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}⏎";
const UPGRADES: &str = "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Connection: upgrade⏎Upgrade: x⏎⏎";
const UPGRADES_AND_CLOSES: &str =
    "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Connection: upgrade, close⏎Upgrade: x⏎⏎";
const H2C: &str = "GET /koodrive/test/echo HTTP/1.1⏎{H}{A}Connection: Upgrade, HTTP2-Settings⏎\
                   Upgrade: h2c⏎HTTP2-Settings: AAMAAABkAAQAAP__⏎⏎";
const CONNECTS: &str = "CONNECT other:443 HTTP/1.1⏎{H}{A}⏎";
const UNPARSABLE: &str = "GET /koodrive/test/echo⏎⏎";

#[tokio::test]
async fn whatever_a_caller_wished_for_the_end_is_told() {
    let world = plan().config(TLS).config("[listen]\nidle_timeout = '300ms'").start().await;
    let cases: &[(&str, &[&str], usize)] = &[
        ("closed by the caller", &[CLOSES], 1),
        ("idle", &[GOES_ON], 1),
        ("an upgrade, then idle", &[UPGRADES], 1),
        ("an upgrade and a close", &[UPGRADES_AND_CLOSES], 1),
        ("h2c, then a close", &[H2C, CLOSES], 2),
        ("an upgrade, then nonsense", &[UPGRADES, UNPARSABLE], 2),
        ("CONNECT", &[CONNECTS], 1),
    ];
    for (name, requests, answers) in cases {
        let mut stream = connected(&world, None).await.unwrap();
        for request in *requests {
            stream.write_all(&raw(&world, request)).await.unwrap();
        }
        let mut read = Vec::new();
        let reading = tokio::time::timeout(SOON, stream.read_to_end(&mut read)).await;
        let text = String::from_utf8_lossy(&read);
        reading.expect(name).unwrap_or_else(|error| panic!("{name}: {error} after {text}"));
        assert_eq!(text.matches("HTTP/1.1 ").count(), *answers, "{name}: {text}");
    }
}
