//! The commands, through the real binary.
