//! Values without a default: those an operator must write, and those the checks make.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use super::{Fault, Scalar};
use crate::config::keys::Shape;

/// A value that an operator must write: a configuration without it is refused, so whoever holds a
/// checked one may look into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required<T>(Option<T>);

impl<T> Required<T> {
    /// Before anything is written.
    pub const UNWRITTEN: Self = Self(None);

    pub fn written(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T> From<T> for Required<T> {
    fn from(written: T) -> Self {
        Self(Some(written))
    }
}

impl<T> Deref for Required<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("a configuration without a required value is refused")
    }
}

/// A kind that may be left empty, at a key that may not.
pub(in crate::config) struct Must<K>(PhantomData<K>);

impl<T, K: Scalar<Value = Option<T>>> Scalar for Must<K> {
    type Value = Required<T>;

    fn shape() -> Shape {
        K::shape()
    }

    fn read(written: &toml::Value) -> Result<Required<T>, Fault> {
        K::read(written).map(Required)
    }

    fn write(value: &Required<T>) -> toml::Value {
        K::write(&value.0)
    }
}

/// What the checks make of several keys, so that who holds a checked configuration need not put
/// them together again.
#[derive(Clone, Debug)]
pub struct Derived<T>(Required<Arc<T>>);

impl<T> Derived<T> {
    /// None where the keys are wrong.
    pub(in crate::config) fn new(made: Option<T>) -> Self {
        Self(Required(made.map(Arc::new)))
    }
}

impl<T> Default for Derived<T> {
    fn default() -> Self {
        Self(Required::UNWRITTEN)
    }
}

/// It follows from the keys, so that it tells no two sections apart.
impl<T> PartialEq for Derived<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Deref for Derived<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
