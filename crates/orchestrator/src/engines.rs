//! The engines that there are, where they run in other processes and are announced in the store.

use std::time::{Duration, SystemTime};

use dalston_engine_sdk::batch::{Catalogue, EngineInfo};
use dalston_store::{AnnouncedEngine, JobStore, StoreError};

/// How long an engine is known that is not announced any more. Its jobs wait in its queue until it is back, as they do while it
/// restarts; only one that nobody has run for so long is no longer planned with.
pub const ENGINES_KNOWN: Duration = Duration::from_secs(3600);

/// Makes a catalogue what the announcements say. `true`: it has changed. Where nobody announces any, the engines are those of
/// this process, and stay.
///
/// # Errors
/// When the database fails; the catalogue stays as it was.
pub async fn read_engines(store: &JobStore, catalogue: &Catalogue) -> Result<bool, StoreError> {
    let announced = store.announced(SystemTime::now() - ENGINES_KNOWN).await?;
    if announced.is_empty() {
        return Ok(false);
    }
    Ok(catalogue.replace(announced.iter().filter_map(understood).collect()))
}

/// An engine of a later release may say what this one does not understand; it is left to those who do.
fn understood(engine: &AnnouncedEngine) -> Option<EngineInfo> {
    let read = serde_json::from_str(&engine.info);
    read.inspect_err(|error| tracing::warn!(%error, engine_id = engine.engine_id, "an engine is not understood")).ok()
}
