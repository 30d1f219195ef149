//! What the files under test import in place of `std::sync`, and how their schedules are explored.

pub(crate) mod sync {
    pub(crate) use std::sync::PoisonError;

    pub(crate) use shuttle::sync::{Arc, Mutex, MutexGuard, atomic};
}

/// Runs `scene` under as many schedules as the environment says, from the seed it names. A failure
/// prints the schedule by which shuttle's `replay` repeats it; the seed repeats all of them.
pub(crate) fn explore(name: &str, scene: fn()) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (schedules, seed) = (number("SCHEDULES").unwrap_or(1000), number("SEED").unwrap_or(1));
    let schedules = usize::try_from(schedules).expect("a number of schedules");
    println!("{name}: {schedules} schedules from seed {seed}");
    shuttle::check_random_with_seed(scene, seed, schedules);
}
