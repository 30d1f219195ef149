//! What becomes of a call between the gateway and KooDrive, and of the answer on its way back.

mod answers;
mod connections;
mod isolation;
mod lost;
mod protocols;
mod storm;
mod upstream;
mod versions;
