//! A reverse proxy that runs beside internal tools and stands in front of Huawei Cloud KooDrive:
//! it accepts the company's SSO token, trades it for the caller's KooDrive access token, guards
//! the preverify call, and shows every call in Jaeger.
//!
//! # The life of a request
//! ```text
//!  caller ── TCP ──▶ server ──▶ pipeline.handle ────────────────────────────────────────────────┐
//!                                │ record opened                                                │
//!    1 trace_id   take or make X-Traceid          first: every log line and refusal carries it  │
//!    2 call       plan_for → Route                pure; says which stages apply                 │
//!    3 accept     SSO JWT → Identity              401/503  headers only, keys already here      │
//!    4 authorize  rules over method, path, claims 403      pure, compiled once                   │
//!    5 limit      preverify                       429      before any body is read              │
//!    6 validate   preverify                       400/413  before any upstream call             │
//!    7 token      Identity → Credential           403/50x  cache → flight → exchange            │
//!    8 forward    swap credentials, stream ─────▶ KooDrive ─────▶ answer streams back ◀─────────┘
//!                 │ the answer refuses the token → renewed once, sent once more if the body allows
//!                                ├ any Err(Rejection) ends it early; rejection → response
//!                                └ record closes when the response body ends: log, metrics, spans
//! ```
//! Cheap before costly, headers before bodies, local before network; nothing is spent upstream on
//! a call that will be refused.
//!
//! # What changes meanwhile
//! ```text
//!  reload    file or SIGHUP ──▶ config (read, checked whole) ──▶ app::reload ──▶ Stores::pipeline
//!            any mistake: the old configuration stays, a note on /readyz       │ same stores
//!            restart-only keys: kept, and said so                              ▼
//!            the next request ◀── CurrentPipeline::replace ◀── a new Pipeline, immutable
//!  keys      a task per issuer in accept: on time, or woken by a token of an unknown key ──▶ fetch
//!            usable ──▶ swapped in, old ones until then; failed ──▶ old ones stay, retry sooner
//!  token     found due on use ──▶ the exchange starts detached, the call goes on with the old one
//!            KooDrive refused it ──▶ that generation is dropped, the call waits for the next one
//!  spans     record closed ──▶ bytes in a bounded queue ──▶ one task ──▶ collector
//! ```
//!
//! # What is never so
//! - A stage knows nothing of statuses, metrics or shutdown: it returns facts or its own error.
//! - Nothing but `lifecycle` spawns, nothing but `clock` reads the time, nothing but `client`
//!   builds an HTTP client, nothing but `telemetry` knows OpenTelemetry.
//! - No request sees two configurations: it keeps the [`pipeline::Pipeline`] it started with.
//! - No token, secret, body or query value reaches a log, span, metric or error.
//!
//! The rooms, in reading order; `tests/it/architecture.rs` holds them to their arrows.

// The spine: composition, connections, one request.
pub mod app;
pub mod pipeline;
pub mod server;

// The stages, in the order a request meets them.
pub mod trace_id;
pub mod call;
pub mod accept;
pub mod authorize;
pub mod limit;
pub mod validate;
pub mod token;
pub mod forward;

// How a refusal looks.
pub mod rejection;

// Shared ground: knows nothing of the above.
pub mod admin;
pub mod blocking;
pub mod body;
pub mod client;
pub mod clock;
pub mod config;
pub mod digest;
pub mod lifecycle;
pub mod listener;
pub mod path;
pub mod places;
pub mod telemetry;
pub mod trace_context;
pub mod wakes;
pub mod words;
