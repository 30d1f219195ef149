//! Takes changed configurations over while calls go on.

use std::fmt;
use std::future::ready;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::stores::Stores;
use crate::client::EgressError;
use crate::config;
use crate::config::{ConfigError, ListenAddress, Loaded};
use crate::lifecycle::{Event, ServiceManager};
use crate::pipeline::CurrentPipeline;
use crate::server::Tls;
use crate::telemetry::ReloadOutcome;

/// Where changed configurations come from: asked on a timer and on SIGHUP. Blocks.
pub type ConfigSource = Box<dyn FnMut() -> Option<Result<Loaded, ConfigError>> + Send>;

/// What is in force now. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct InForce {
    loaded: Arc<ArcSwap<Loaded>>,
    notes: Arc<ArcSwap<Vec<String>>>,
    /// Where calls arrive, as it was really taken.
    address: ListenAddress,
}

/// What a service manager shows of a gateway that works.
pub(super) fn serving_on(address: &ListenAddress) -> String {
    format!("serving on {address}")
}

impl InForce {
    pub(super) fn loaded(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }

    /// What an operator should know though everything runs.
    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.load().to_vec()
    }

    /// One line for a service manager.
    fn summary(&self) -> String {
        let said = std::iter::once(serving_on(&self.address)).chain(self.notes());
        said.collect::<Vec<_>>().join("; ")
    }
}

pub(super) struct Reloader {
    pub(super) in_force: InForce,
    stores: Arc<Stores>,
    pipeline: CurrentPipeline,
    tls: Option<Arc<Tls>>,
    manager: ServiceManager,
}

impl Reloader {
    pub(super) fn new(
        loaded: &Loaded,
        address: ListenAddress,
        stores: Arc<Stores>,
        pipeline: CurrentPipeline,
        tls: Option<Arc<Tls>>,
        manager: ServiceManager,
    ) -> Self {
        let in_force = InForce {
            loaded: Arc::new(ArcSwap::from_pointee(loaded.clone())),
            notes: Arc::default(),
            address,
        };
        Self { in_force, stores, pipeline, tls, manager }
    }

    pub(super) fn pipeline(&self) -> &CurrentPipeline {
        &self.pipeline
    }

    /// Linger and drain as configured now.
    pub(super) fn stop_times(&self) -> (Duration, Duration) {
        let loaded = self.in_force.loaded();
        (loaded.config.lifecycle.linger, loaded.config.lifecycle.drain)
    }

    /// Reloads until asked to stop.
    pub(super) async fn run_until_stop(
        &mut self,
        events: &mut mpsc::Receiver<Event>,
        mut source: Option<ConfigSource>,
    ) {
        let mut asked_meanwhile = false;
        loop {
            let every = self.in_force.loaded().config.lifecycle.reload_every;
            let asked = tokio::select! {
                biased;
                () = ready(()), if mem::take(&mut asked_meanwhile) => true,
                event = events.recv() => match event {
                    Some(Event::Reload) => true,
                    Some(Event::Stop) | None => return,
                },
                () = tokio::time::sleep(every), if source.is_some() => false,
            };
            if asked {
                self.manager.reloading();
                self.stores.keys.refresh();
            }
            let before = self.in_force.summary();
            source = tokio::select! {
                source = self.poll(source, asked) => source,
                // A file that does not answer keeps its thread, not the process.
                () = stop(events, &mut asked_meanwhile) => return,
            };
            let summary = self.in_force.summary();
            if asked && self.manager.was_ready() {
                self.manager.ready(&summary);
            } else if summary != before {
                self.manager.status(&summary);
            }
        }
    }

    async fn poll(&mut self, source: Option<ConfigSource>, asked: bool) -> Option<ConfigSource> {
        let mut source = source?;
        // Reading files blocks; elsewhere it would hold up calls.
        let polled = tokio::task::spawn_blocking(move || {
            let found = source();
            (source, found)
        });
        let Ok((source, found)) = polled.await else {
            tracing::error!("the configuration cannot be watched any more");
            return None;
        };
        match found {
            None if asked => {
                tracing::info!("configuration unchanged");
                self.stores.telemetry.metrics().config_reloaded(ReloadOutcome::Unchanged);
            }
            None => {}
            Some(Ok(loaded)) => self.take_over(loaded),
            Some(Err(error)) => self.refuse(&error),
        }
        Some(source)
    }

    fn take_over(&mut self, mut loaded: Loaded) {
        let old = self.in_force.loaded();
        let restart = config::restart_only(&old.config, &loaded.config);
        loaded.config = config::keeping_restart_only(&old.config, &loaded.config);
        if let Err(error) = self.try_take_over(&loaded) {
            self.refuse(&error);
            return;
        }
        let mut notes = Vec::new();
        let changes = config::changes(&old, &loaded).join("; ");
        if restart.is_empty() {
            tracing::info!(changes, "configuration reloaded");
        } else {
            let keys = restart.join(", ");
            tracing::warn!(changes, keys, "configuration reloaded, some keys need a restart");
            notes.push(format!("changed, but need a restart: {keys}"));
        }
        self.in_force.loaded.store(Arc::new(loaded));
        self.in_force.notes.store(Arc::new(notes));
        self.stores.telemetry.metrics().config_reloaded(ReloadOutcome::Applied);
    }

    fn try_take_over(&self, loaded: &Loaded) -> Result<(), EgressError> {
        // What can fail comes before anything is replaced; a pipeline sees to that itself.
        let pipeline = self.stores.pipeline(&loaded.config)?;
        if let Some(current) = &self.tls
            && let Some(fresh) = Tls::new(&loaded.config.listen)
        {
            current.replace(fresh);
        }
        self.pipeline.replace(pipeline);
        Ok(())
    }

    fn refuse(&self, error: &dyn std::error::Error) {
        let error = crate::telemetry::chain(error);
        tracing::warn!(error, "configuration refused, keeping the old one");
        self.in_force
            .notes
            .store(Arc::new(vec![format!("a changed configuration was refused: {error}")]));
        self.stores.telemetry.metrics().config_reloaded(ReloadOutcome::Refused);
    }
}

/// Returns when the process is asked to stop. Notes whether it is asked to reload meanwhile: what
/// is being read may have been read before that.
async fn stop(events: &mut mpsc::Receiver<Event>, asked: &mut bool) {
    while let Some(Event::Reload) = events.recv().await {
        *asked = true;
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}
