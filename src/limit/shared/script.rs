//! What is asked of the store, and what it says: two scripts, one round trip each.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Script};

use crate::limit::bucket::Quota;
use crate::limit::throttle::{Elsewhere, Pause};

/// What is asked of one bucket.
pub(in crate::limit) struct Ask {
    /// Its name among all that share the server.
    pub(in crate::limit) key: String,
    pub(in crate::limit) quota: Quota,
    /// More than a full bucket costs a full bucket; nothing is taken by 0.
    pub(in crate::limit) tokens: u32,
}

/// Whether the pause that replicas share is asked about, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::limit) enum AskPause {
    No,
    /// Buckets are charged all the same.
    Look,
    /// While it lasts, no bucket is charged.
    Obey,
}

/// What the store said.
pub(in crate::limit) struct Answer<const N: usize> {
    /// Nothing while nobody asked about it.
    pub(in crate::limit) pause: Option<Elsewhere>,
    /// The first that had too little, and after how long it would have enough. Nothing was taken
    /// from it nor from those behind it.
    pub(in crate::limit) refused: Option<(usize, Duration)>,
    pub(in crate::limit) until_full: [Duration; N],
}

/// The scripts, and who runs them.
pub(super) struct Scripts {
    charge: Script,
    pause: Script,
    /// Under which this process tells of pauses.
    me: String,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            charge: Script::new(include_str!("gcra.lua")),
            pause: Script::new(include_str!("pause.lua")),
            me: random_name(),
        }
    }

    /// Asks all in one step.
    pub(super) async fn charge<const N: usize>(
        &self,
        connection: &mut MultiplexedConnection,
        asks: &[Ask; N],
        pause: AskPause,
    ) -> Result<Answer<N>, RedisError> {
        let mut invocation = self.charge.prepare_invoke();
        let (me, refuses) = match pause {
            AskPause::No => ("", 0),
            AskPause::Look => (&*self.me, 0),
            AskPause::Obey => (&*self.me, 1),
        };
        invocation.key(key("pause")).arg(me).arg(refuses);
        for Ask { key, quota, tokens } in asks {
            let tokens = (*tokens).min(quota.burst());
            invocation.key(key).arg(micros(quota.per_token())).arg(quota.burst()).arg(tokens);
        }
        let numbers: Vec<u64> = invocation.invoke_async(connection).await?;
        let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
        let duration = |at: usize| Duration::from_micros(number(at));
        let (lasts, length) = (duration(3), duration(4));
        let elsewhere = match number(2) {
            1 => Elsewhere::Paused(Pause { lasts, length }),
            2 => Elsewhere::Yours { length },
            3 => Elsewhere::Probing,
            4 => Elsewhere::Theirs { length },
            _ => Elsewhere::None,
        };
        let refused = usize::try_from(number(0)).unwrap_or(0).checked_sub(1);
        Ok(Answer {
            pause: (pause != AskPause::No).then_some(elsewhere),
            refused: refused.map(|place| (place, duration(1))),
            until_full: std::array::from_fn(|at| duration(at + 5)),
        })
    }

    /// Tells of a pause, or that there is none any more.
    pub(super) async fn tell(
        &self,
        connection: &mut MultiplexedConnection,
        pause: Option<Pause>,
    ) -> Result<(), RedisError> {
        let (lasts, length) = pause.map(|pause| (pause.lasts, pause.length)).unwrap_or_default();
        let mut invocation = self.pause.prepare_invoke();
        let invocation = invocation.key(key("pause")).arg(&self.me);
        let invocation = invocation.arg(whole_micros(lasts)).arg(whole_micros(length));
        invocation.invoke_async::<u64>(connection).await.map(drop)
    }
}

/// The braces keep all keys on one node, as a script wants it of a cluster behind a proxy.
pub(in crate::limit) fn key(name: &str) -> String {
    format!("{{koodrive-gateway}}:limit:{name}")
}

/// With a fraction.
pub(in crate::limit) fn micros(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    format!("{}.{:03}", nanos / 1000, nanos % 1000)
}

fn whole_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Unlike that of any other process.
fn random_name() -> String {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source does not fail");
    format!("{:016x}", u64::from_ne_bytes(bytes))
}
