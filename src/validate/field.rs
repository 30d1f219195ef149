//! The places of a preverify batch that have rules, and their names.

/// The places of a preverify batch that have rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Root,
    CurDeptId,
    Users,
    User,
    TargetDeptName,
    PersonalCapacity,
    IsAllocateCapacity,
}

impl Field {
    /// The members that an object at this place has.
    pub(super) fn members(self) -> &'static [Self] {
        match self {
            Self::Root => &[Self::CurDeptId, Self::Users],
            Self::User => &[Self::TargetDeptName, Self::PersonalCapacity, Self::IsAllocateCapacity],
            _ => &[],
        }
    }

    /// The member's name; the two places that are no members have none.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Root | Self::User => "",
            Self::CurDeptId => "curDeptId",
            Self::Users => "users",
            Self::TargetDeptName => "targetDeptName",
            Self::PersonalCapacity => "personalCapacity",
            Self::IsAllocateCapacity => "isAllocateCapacity",
        }
    }
}

/// A set of known fields.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen(u8);

impl Seen {
    #[inline]
    pub(super) fn has(self, field: Field) -> bool {
        self.0 & 1 << field as u8 != 0
    }

    #[inline]
    pub(super) fn add(&mut self, field: Field) {
        self.0 |= 1 << field as u8;
    }
}

/// The member of the root that `rest` starts with, and the length of its quoted name.
#[inline]
pub(super) fn root_member(rest: &[u8]) -> Option<(Field, usize)> {
    match rest.get(1)? {
        b'c' => known(rest, b"\"curDeptId\"", Field::CurDeptId),
        b'u' => known(rest, b"\"users\"", Field::Users),
        _ => None,
    }
}

/// The member of a user that `rest` starts with, and the length of its quoted name.
#[inline]
pub(super) fn user_member(rest: &[u8]) -> Option<(Field, usize)> {
    match rest.get(1)? {
        b't' => known(rest, b"\"targetDeptName\"", Field::TargetDeptName),
        b'p' => known(rest, b"\"personalCapacity\"", Field::PersonalCapacity),
        b'i' => known(rest, b"\"isAllocateCapacity\"", Field::IsAllocateCapacity),
        _ => None,
    }
}

#[inline]
fn known<const N: usize>(rest: &[u8], name: &[u8; N], field: Field) -> Option<(Field, usize)> {
    // An array of known length is compared in a few words, without a call.
    let written: &[u8; N] = rest.first_chunk()?;
    (written == name).then_some((field, N))
}
