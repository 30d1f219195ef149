//! Who calls: a live token (`koodrive_05_0010`), or an application's signature (`koodrive_05_0034`).

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::support::recording::{Received, hex, sha256};
use crate::support::sessions::Sessions;

/// How old a signature may be.
const SIGNATURE_LIFE: Duration = Duration::from_mins(15);
/// `A-Za-z0-9-_.~` stay as they are (`koodrive_05_0035`).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[derive(Debug, PartialEq, Eq)]
pub enum Who {
    Holder { token: String, user: String },
    App { user: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBelieved {
    /// Not exactly one Authorization of a known form.
    Credentials,
    /// A token that is unknown, revoked or was unused for too long.
    Token,
    /// A signature that does not hold; why.
    Signature(&'static str),
}

/// An application that signs its calls.
#[derive(Clone, Debug)]
pub struct App {
    pub id: String,
    pub secret: String,
}

impl Who {
    pub fn user(&self) -> &str {
        match self {
            Self::Holder { user, .. } | Self::App { user } => user,
        }
    }
}

/// `scheme` stands before the token: `Bearer`, or `AT` in the carrier edition.
pub fn authenticate(
    received: &Received,
    scheme: &str,
    sessions: &Sessions,
    app: Option<&App>,
    now: SystemTime,
) -> Result<Who, NotBelieved> {
    let value = only(&received.headers, AUTHORIZATION.as_str()).ok_or(NotBelieved::Credentials)?;
    if let Some(fields) = value.strip_prefix("HMAC-SHA256 ") {
        let app = app.ok_or(NotBelieved::Signature("no such application"))?;
        let user = signed_by(received, fields, app, now).map_err(NotBelieved::Signature)?;
        return Ok(Who::App { user });
    }
    let token = value.strip_prefix(scheme).and_then(|rest| rest.strip_prefix(' '));
    let token = token.filter(|token| token.len() == 48 && token.bytes().all(is_lower_hex));
    let token = token.ok_or(NotBelieved::Credentials)?;
    let user = sessions.user_of(token).map_err(|_| NotBelieved::Token)?;
    Ok(Who::Holder { token: token.to_owned(), user })
}

/// `AppId=<id>,SignedHeaders=<a;b;c>,Signature=<hex>`, checked against the request; its user.
fn signed_by(
    received: &Received,
    fields: &str,
    app: &App,
    now: SystemTime,
) -> Result<String, &'static str> {
    let fields: Vec<_> = fields.split(',').filter_map(|field| field.split_once('=')).collect();
    let [("AppId", id), ("SignedHeaders", names), ("Signature", signature)] = fields[..] else {
        return Err("the fields of Authorization");
    };
    if id != app.id {
        return Err("no such application");
    }
    let user = only(&received.headers, "x-user-id").ok_or("X-User-Id")?;
    let date = only(&received.headers, "x-date").ok_or("X-Date")?;
    let signed_at = basic_date(date).ok_or("X-Date is not yyyyMMddTHHmmssZ")?;
    match now.duration_since(signed_at) {
        Err(_) => return Err("X-Date lies in the future"),
        Ok(age) if SIGNATURE_LIFE < age => return Err("X-Date is too old"),
        Ok(_) => {}
    }
    let listed: Vec<_> = names.split(';').collect();
    if !listed.contains(&"x-date") || !listed.contains(&"x-user-id") || !listed.is_sorted() {
        return Err("SignedHeaders");
    }
    let canonical = canonical_request(received, &listed).ok_or("a signed header is not there")?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, app.secret.as_bytes());
    let to_sign = format!("HMAC-SHA256\n{}", sha256(canonical.as_bytes()));
    let expected = hex(hmac::sign(&key, to_sign.as_bytes()).as_ref());
    if expected == signature { Ok(user.to_owned()) } else { Err("the signature does not fit") }
}

fn canonical_request(received: &Received, signed: &[&str]) -> Option<String> {
    let mut path: Vec<String> = Vec::new();
    for segment in received.path().split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(path.pop()),
            segment => path.push(encoded(segment)),
        }
    }
    let mut path = format!("/{}", path.join("/"));
    if !path.ends_with('/') {
        path.push('/');
    }
    let mut query = BTreeMap::<_, Vec<_>>::new();
    for pair in received.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        query.entry(encoded(name)).or_default().push(encoded(value));
    }
    let query = query.into_iter().flat_map(|(name, values)| {
        let mut values = values;
        values.sort();
        values.into_iter().map(move |value| format!("{name}={value}"))
    });
    let query = query.collect::<Vec<_>>().join("&");
    let mut headers = String::new();
    for name in signed {
        let value = only(&received.headers, name)?;
        headers.extend([name, ":", value.trim(), "\n"]);
    }
    let (method, names) = (&received.method, signed.join(";"));
    Some(format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{}", received.body.sha256))
}

fn encoded(part: &str) -> String {
    let decoded = percent_decode_str(part).decode_utf8_lossy().into_owned();
    utf8_percent_encode(&decoded, ENCODED).to_string()
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// `20240909T033325Z`.
fn basic_date(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March, so that the leap day is the last of its year.
    let (march_year, march_month) =
        if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * march_year + march_year / 4 - march_year / 100 + march_year / 400;
    let days = days + (153 * march_month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')
}
