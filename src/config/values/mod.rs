//! The kinds of values an operator can write, one small type each.
//!
//! A kind says what may stand there, reads it into what the rooms work with, and writes it back in
//! the form an operator would choose. Everything else (places, messages, environment, JSON Schema,
//! effective print) follows from that. Most kinds are one value: they implement [`Scalar`]. Lists,
//! maps, files and sections hold more than one place, or look further than the document: they
//! implement [`Kind`] itself.

mod assertion;
mod choice;
mod claim;
mod egress;
mod file;
mod issuer;
mod key_set;
mod limit_store;
mod list;
mod listen_address;
mod number;
mod path;
mod pem;
mod pointer;
mod required;
mod template;
mod text;
mod unit;
mod url;
mod users;

use std::borrow::Cow;

use super::document::{Node, Written};
use super::keys::Shape;
use super::reader::Reader;

pub use assertion::{AssertionAlgorithm, AssertionKey};
pub(super) use choice::choice;
pub use claim::ClaimValue;
pub(super) use claim::OneOf;
pub use egress::EgressProxy;
pub(super) use egress::NoProxy;
pub(super) use file::read_text;
pub use file::{File, LiveFile, Password, Secret, file_error};
pub use issuer::Issuer;
pub use key_set::{KeySetDocument, without_bom};
pub use limit_store::{LimitStore, RedisAddress};
pub(super) use list::{List, Map, Texts};
pub use listen_address::ListenAddress;
pub(super) use number::{Count, Depth, ProperShare, Share, Status};
pub use path::{PathPattern, PathSegment};
pub use pem::{CertificateChain, Roots, TlsKey, certified_key};
pub(super) use pointer::{Expectations, OptionalPointer};
pub use pointer::{Expected, JsonPointer};
pub(super) use required::Must;
pub use required::{Derived, Required};
pub(super) use template::{FRAMING, Fields, HeaderFields, PLACES};
pub use template::{Part, Template};
pub(super) use text::{
    AppId, Claim, Code, HeaderText, Language, LogDirectives, Prefix, Scheme, TOKEN_PATTERN,
    TokenHeader, any_case,
};
pub use unit::parse_duration;
pub(super) use unit::{HeadSize, KIB, MIB, Period, PeriodOrZero, Size};
pub use url::{HttpUrl, is_loopback};
pub(super) use url::{OptionalBase, OptionalUrl, SAFE_URL_PATTERN};
pub use users::{KooDriveUsers, user_id};

/// What stands where a secret would.
pub(super) const REDACTED: &str = "***";

/// What may stand behind a key, and what becomes of it.
pub(super) trait Kind {
    /// What a section holds.
    type Value;

    fn shape() -> Shape;

    /// The value, unless it is wrong; the reader hears of everything that is.
    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<Self::Value>;

    /// As an operator would write it.
    fn write(value: &Self::Value) -> toml::Value;
}

/// A kind whose every value is one TOML value that can be judged by itself.
pub(super) trait Scalar {
    type Value;

    fn shape() -> Shape;

    fn read(written: &toml::Value) -> Result<Self::Value, Fault>;

    fn write(value: &Self::Value) -> toml::Value;
}

/// Why a value is refused. Never repeats the value.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not what the shape expects.
    Unlike,
    /// It looks like it, and is not: "expected an address without a fragment".
    Because(Cow<'static, str>),
}

impl From<&'static str> for Fault {
    fn from(reason: &'static str) -> Self {
        Self::Because(reason.into())
    }
}

impl<S: Scalar> Kind for S {
    type Value = S::Value;

    fn shape() -> Shape {
        S::shape()
    }

    fn read(node: &Node, key: &str, reader: &mut Reader<'_>) -> Option<S::Value> {
        reader.note(key, &node.at);
        let fault = match &node.value {
            Written::Scalar(value) => match S::read(value) {
                Ok(value) => return Some(value),
                Err(fault) => fault,
            },
            _ => Fault::Unlike,
        };
        reader.refuse(node, key, &S::shape(), fault);
        None
    }

    fn write(value: &S::Value) -> toml::Value {
        S::write(value)
    }
}

/// The text that was written, if it is text.
fn text(written: &toml::Value) -> Result<&str, Fault> {
    written.as_str().ok_or(Fault::Unlike)
}
