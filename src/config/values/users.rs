//! Whose KooDrive users the subjects of an issuer are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::HeaderValue;

use super::file::Content;

/// Subject → KooDrive user id, as `X-User-Id` carries it.
#[derive(Debug)]
pub struct KooDriveUsers(BTreeMap<String, HeaderValue>);

impl KooDriveUsers {
    pub fn get(&self, subject: &str) -> Option<&HeaderValue> {
        self.0.get(subject)
    }
}

impl Content for KooDriveUsers {
    fn parse(text: &str) -> Result<Self, Cow<'static, str>> {
        let written: BTreeMap<String, toml::Spanned<String>> =
            toml::from_str(text).map_err(|error: toml::de::Error| {
                told_at(text, error.span().map_or(0, |span| span.start))
            })?;
        let entry = |(subject, id): (String, toml::Spanned<String>)| {
            let value = user_id(id.get_ref()).ok_or_else(|| told_at(text, id.span().start))?;
            Ok((subject, value))
        };
        Ok(Self(written.into_iter().map(entry).collect::<Result<_, Cow<'static, str>>>()?))
    }
}

/// A KooDrive user id as a header carries it: visible ASCII.
pub fn user_id(text: &str) -> Option<HeaderValue> {
    let legal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if legal { HeaderValue::from_str(text).ok() } else { None }
}

fn told_at(text: &str, offset: usize) -> Cow<'static, str> {
    let before = text.get(..offset).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    let line = before.matches('\n').count() + 1;
    format!(":{line}:{column}: expected lines such as \"subject\" = \"KooDrive user id\"").into()
}
