//! What operators see: records, spans on their way, lines and metrics.

mod export;
mod logs;
mod record;
