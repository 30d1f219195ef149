//! A second judge of batches, made to be plainly right rather than fast: it takes the body apart
//! with `serde_json` and counts the faults the rules of the contract see in it.

use std::collections::HashSet;
use std::fmt;

use koodrive_gateway::config::{UnknownFields, ValidateConfig};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Faults of a body that is JSON.
pub(crate) fn count_faults(body: &[u8], rules: &ValidateConfig) -> usize {
    let root: &RawValue = serde_json::from_slice(body).expect("it is JSON");
    let mut judge = Judge { rules, faults: 0 };
    judge.root(root);
    judge.faults
}

struct Judge<'r> {
    rules: &'r ValidateConfig,
    faults: usize,
}

impl Judge<'_> {
    fn root(&mut self, root: &RawValue) {
        let Some(members) = self.members_at(root, 1) else { return self.other(root, b'{', 1) };
        for (name, value) in &members.0 {
            match name.as_slice() {
                b"curDeptId" => {
                    if self.integer(value, 2) == Some(0) {
                        self.faults += 1;
                    }
                }
                b"users" => self.users(value),
                name => self.unknown(name, &["curDeptId", "users"], value, 2),
            }
        }
        self.names(&members, &["curDeptId", "users"]);
    }

    fn users(&mut self, users: &RawValue) {
        if kind(users) != b'[' || self.rules.max_depth < 2 {
            return self.other(users, b'[', 2);
        }
        let elements = elements(users);
        for user in &elements {
            match self.members_at(user, 3) {
                Some(members) => self.user(&members),
                None => self.other(user, b'{', 3),
            }
        }
        self.faults += usize::from(elements.is_empty() || self.rules.max_users < elements.len());
    }

    fn user(&mut self, members: &Members<'_>) {
        let (mut capacity, mut is_allocated) = (None, None);
        for (name, value) in &members.0 {
            match name.as_slice() {
                b"targetDeptName" => self.department_name(value),
                b"personalCapacity" => capacity = capacity.or(self.integer(value, 4)),
                b"isAllocateCapacity" => match value.get() {
                    "true" | "false" => {
                        is_allocated = is_allocated.or(Some(value.get() == "true"));
                    }
                    _ => self.other(value, b't', 4),
                },
                name => {
                    let known = ["targetDeptName", "personalCapacity", "isAllocateCapacity"];
                    self.unknown(name, &known, value, 4);
                }
            }
        }
        self.names(members, &["personalCapacity", "isAllocateCapacity"]);
        let max = self.rules.max_capacity;
        let is_wrong = capacity.is_some_and(|capacity| {
            is_allocated == Some(false) && capacity != 0
                || is_allocated == Some(true)
                    && capacity == 0
                    && self.rules.require_capacity_when_allocated
                || max != 0 && max < capacity
        });
        self.faults += usize::from(is_wrong);
    }

    fn department_name(&mut self, name: &RawValue) {
        match kind(name) {
            b'n' => {}
            b'"' => {
                let name = decode(name);
                let chars = name.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
                let max = self.rules.max_dept_name_chars;
                self.faults += usize::from(has_lone_surrogate(&name));
                self.faults += usize::from(max != 0 && max < chars);
            }
            _ => self.other(name, b'"', 4),
        }
    }

    /// Digits alone, no leading minus, at most 2^63-1.
    fn integer(&mut self, value: &RawValue, depth: usize) -> Option<u64> {
        if kind(value) != b'0' {
            self.other(value, b'0', depth);
            return None;
        }
        let digits = value.get().bytes().all(|byte| byte.is_ascii_digit());
        let number = value.get().parse::<i64>().ok().filter(|_| digits);
        self.faults += usize::from(number.is_none());
        number.map(i64::unsigned_abs)
    }

    fn unknown(&mut self, name: &[u8], known: &[&str], value: &RawValue, depth: usize) {
        let plain = |text: &str| text.replace(['_', '-'], "").to_uppercase().to_lowercase();
        let name = plain(&String::from_utf8_lossy(name));
        let is_alike = known.iter().any(|known| plain(known) == name);
        let is_refused = self.rules.unknown_fields == UnknownFields::Reject;
        self.faults += usize::from(is_alike || is_refused);
        self.any(value, depth);
    }

    /// A value that should have been of another kind, or stands too deep.
    fn other(&mut self, value: &RawValue, wanted: u8, depth: usize) {
        self.faults += usize::from(kind(value) != wanted);
        self.any(value, depth);
    }

    /// What holds for any value.
    fn any(&mut self, value: &RawValue, depth: usize) {
        match kind(value) {
            b'{' | b'[' if self.rules.max_depth < depth => self.faults += 1,
            b'{' => {
                let members = members(value);
                members.0.iter().for_each(|(_, value)| self.any(value, depth + 1));
                self.names(&members, &[]);
            }
            b'[' => elements(value).iter().for_each(|value| self.any(value, depth + 1)),
            b'"' => self.faults += usize::from(has_lone_surrogate(&decode(value))),
            b'0' => {
                let number: f64 = value.get().parse().expect("JSON's numbers are Rust's");
                let looks_large = 308 < value.get().len() || value.get().contains(['e', 'E']);
                self.faults += usize::from(looks_large && 1e308 < number.abs());
            }
            _ => {}
        }
    }

    /// Names that come twice, lack half a surrogate pair, or are not there.
    fn names(&mut self, members: &Members<'_>, required: &[&str]) {
        let mut seen = HashSet::new();
        for (name, _) in &members.0 {
            self.faults += usize::from(has_lone_surrogate(name));
            self.faults += usize::from(!seen.insert(name.as_slice()));
        }
        let missing = required.iter().filter(|name| !seen.contains(name.as_bytes()));
        self.faults += missing.count();
    }

    fn members_at<'v>(&self, value: &'v RawValue, depth: usize) -> Option<Members<'v>> {
        (kind(value) == b'{' && depth <= self.rules.max_depth).then(|| members(value))
    }
}

/// The first byte; `0` for numbers, `t` for both booleans.
fn kind(value: &RawValue) -> u8 {
    match value.get().as_bytes()[0] {
        b'-' | b'0'..=b'9' => b'0',
        b't' | b'f' => b't',
        other => other,
    }
}

fn elements(array: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(array.get()).expect("an array")
}

fn members(object: &RawValue) -> Members<'_> {
    serde_json::from_str(object.get()).expect("an object")
}

/// UTF-8, except that a lone surrogate is there in three bytes.
fn decode(string: &RawValue) -> Vec<u8> {
    let bytes: Bytes = serde_json::from_str(string.get()).expect("a string");
    bytes.0
}

fn has_lone_surrogate(decoded: &[u8]) -> bool {
    str::from_utf8(decoded).is_err()
}

/// Decoded names and written values, in order, duplicates and all.
struct Members<'v>(Vec<(Vec<u8>, &'v RawValue)>);

impl<'de: 'v, 'v> Deserialize<'de> for Members<'v> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(Vec<u8>, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Bytes, &RawValue>()? {
                    members.push((name.0, value));
                }
                Ok(members)
            }
        }
        from.deserialize_map(InOrder).map(Members)
    }
}

struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Decoded;
        impl Visitor<'_> for Decoded {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(bytes.to_vec())
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(text.as_bytes().to_vec())
            }
        }
        from.deserialize_bytes(Decoded).map(Bytes)
    }
}
