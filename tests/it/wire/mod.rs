//! What may cross the gateway on the wire: a corpus of raw requests, each of which is refused with
//! nothing upstream, or becomes exactly one correct upstream request.

mod age;
mod case;
mod early;
pub(crate) mod frames;
mod h1_framing;
mod h1_heads;
mod h1_paths;
mod h2;
mod kept;
mod streams;
mod timeouts;
mod tls_end;
