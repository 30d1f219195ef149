//! The contract's promises, held to the whole gateway over real sockets.

mod access_log;
mod canaries;
mod kept_traces;
mod large_bodies;
mod limits;
mod main_job;
mod metrics;
mod neighbours;
mod observe;
mod operators_log;
mod page;
mod rejections;
mod reload;
mod shared_exchange;
mod slips;
mod spans;
mod throttling;
mod tokens;
mod trace_ids;

use std::time::Duration;

use http::Method;

use crate::support::caller::{Call, Caller};
use crate::support::koodrive::PREVERIFY;
use crate::support::world::World;

/// Longest wait for something that should happen at once.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A passthrough call that tells whom KooDrive believes the caller to be.
pub(crate) const WHO_AM_I: &str = "/koodrive/ose/v1/session/auth";

/// A batch of so many users that every rule agrees with.
fn batch_of(users: usize) -> String {
    let user = r#"{"personalCapacity":1,"isAllocateCapacity":true}"#;
    format!(r#"{{"curDeptId":1,"users":[{}]}}"#, vec![user; users].join(","))
}

/// A preverify call about to be made.
pub(crate) fn preverify(caller: &Caller, batch: &str) -> Call {
    caller.call(Method::POST, PREVERIFY).json(batch.to_owned())
}

/// The trace id that an X-Traceid of the gateway's making begins with.
fn trace_of(x_traceid: &str) -> &str {
    x_traceid.get(..32).expect("58 ASCII characters")
}

/// The id of the SERVER span that follows it.
fn span_of(x_traceid: &str) -> &str {
    x_traceid.get(32..48).expect("58 ASCII characters")
}

/// Waits until the metric line that begins with `name` has this value.
pub(crate) async fn metric_becomes(world: &World, name: &str, value: f64) {
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    let mut last = None;
    let asking = async {
        while last != Some(value) {
            pause.tick().await;
            last = world.metric(name).await;
        }
    };
    let became = tokio::time::timeout(SOON, asking).await.is_ok();
    assert!(became, "{name} is {last:?}, not {value}");
}
