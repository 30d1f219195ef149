//! Unit tests of the room's parts.
