//! The parts of the room by themselves.

mod cache;
mod flight;
mod lead;
