//! `check-config`: what would be in effect, or everything that is wrong.

use std::path::Path;
use std::process::ExitCode;

use koodrive_gateway::{app, config};

use super::{NO, failed, load};

pub(super) fn run(path: &Path, online: bool) -> ExitCode {
    let loaded = match load(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    print!("{}", config::effective(&loaded));
    if !online {
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let probes = runtime.block_on(app::preflight(&loaded.config));
    println!();
    for probe in &probes {
        println!("# {probe}");
    }
    if probes.iter().all(|probe| probe.ok) { ExitCode::SUCCESS } else { NO }
}
