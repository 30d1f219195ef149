//! Who issues tokens.

use std::ops::Deref;

use super::{Fault, HttpUrl, Scalar};
use crate::config::keys::Shape;

/// Exactly the `iss` claim; most are also addresses, at which keys can be discovered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issuer {
    name: String,
    url: Option<HttpUrl>,
}

impl Issuer {
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The name as an address, if it is one.
    pub fn url(&self) -> Option<&HttpUrl> {
        self.url.as_ref()
    }
}

impl From<String> for Issuer {
    fn from(name: String) -> Self {
        let url = name.parse().ok();
        Self { name, url }
    }
}

impl Deref for Issuer {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl Scalar for Issuer {
    type Value = Self;

    fn shape() -> Shape {
        String::shape()
    }

    fn read(written: &toml::Value) -> Result<Self, Fault> {
        <String as Scalar>::read(written).map(Self::from)
    }

    fn write(value: &Self) -> toml::Value {
        value.name.as_str().into()
    }
}
