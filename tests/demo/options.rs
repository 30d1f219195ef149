//! What the demo can be asked to do.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::moods::Place;

/// Shows koodrive-gateway at work: an SSO, a KooDrive simulator and the real gateway, on loopback.
#[derive(Debug, Parser)]
#[command(name = "demo")]
pub struct Options {
    /// Leave after the tour: 0 if every step went as promised, else 1. Takes free ports where
    /// the usual ones are taken.
    #[arg(long)]
    pub once: bool,

    /// Serve only these, without gateway and tour, for a gateway started by hand.
    #[arg(long, value_delimiter = ',', value_name = "sso,koodrive", conflicts_with = "once")]
    pub only: Vec<Part>,

    /// Print a fresh SSO token from a demo that is running.
    #[arg(
        long,
        value_name = "SUBJECT",
        num_args = 0..=1,
        default_missing_value = "alice",
        conflicts_with_all = ["once", "only"]
    )]
    pub token: Option<String>,

    /// Stand before peers and let them misbehave (moods.rs).
    #[arg(
        long,
        hide = true,
        value_delimiter = ',',
        value_name = "NAME=PORT:PEER",
        conflicts_with_all = ["once", "only", "token"]
    )]
    pub moods: Vec<Place>,

    /// The gateway's configuration; addresses, client and secret of the simulators follow it.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/config/local.toml"))]
    pub config: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    Sso,
    Koodrive,
}
