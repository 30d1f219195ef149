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
    known(rest, b"\"curDeptId\"", Field::CurDeptId)
        .or_else(|| known(rest, b"\"users\"", Field::Users))
}

/// The member of a user that `rest` starts with, and the length of its quoted name.
#[inline]
pub(super) fn user_member(rest: &[u8]) -> Option<(Field, usize)> {
    known(rest, b"\"targetDeptName\"", Field::TargetDeptName)
        .or_else(|| known(rest, b"\"personalCapacity\"", Field::PersonalCapacity))
        .or_else(|| known(rest, b"\"isAllocateCapacity\"", Field::IsAllocateCapacity))
}

#[inline]
fn known<const N: usize>(rest: &[u8], name: &[u8; N], field: Field) -> Option<(Field, usize)> {
    rest.starts_with(name).then_some((field, N))
}
