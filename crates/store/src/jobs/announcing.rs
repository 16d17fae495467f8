//! Which engines there are, where they run in other processes than those that choose among them.

use std::{collections::BTreeMap, time::SystemTime};

use super::{
    JobStore,
    query::statement,
    row::{Row, now, to_millis},
};
use crate::StoreError;

/// An engine, as whoever runs it tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnouncedEngine {
    /// Its id, which names its queue.
    pub engine_id: String,
    /// All that is to be known of it, as JSON. The store does not look into it.
    pub info: String,
}

/// Most engines that are read. Each takes a few hundred bytes.
const MAX_ENGINES: i64 = 1_024;

impl JobStore {
    /// Tells which engines a runner has, preferred first. To be called again every few seconds.
    ///
    /// What was announced long ago is forgotten on the way: who died has not said goodbye.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn announce(
        &self,
        runner: &str,
        engines: &[AnnouncedEngine],
        forget: SystemTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.database.begin().await?;
        let old = statement("DELETE FROM engines WHERE seen_at < $1").bind(to_millis(forget));
        old.execute(&mut transaction).await?;
        for (place, engine) in (0_i64..).zip(engines) {
            let query = statement(
                "INSERT INTO engines (runner, engine_id, place, info, seen_at) VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (runner, engine_id) DO UPDATE SET place = $3, info = $4, seen_at = $5",
            );
            let query = query.bind(runner).bind(&engine.engine_id).bind(place).bind(&engine.info).bind(now());
            query.execute(&mut transaction).await?;
        }
        transaction.commit().await
    }

    /// The engines that were announced since then, each once and as its runner told last, the preferred ones first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn announced(&self, since: SystemTime) -> Result<Vec<AnnouncedEngine>, StoreError> {
        let query = statement(
            "SELECT engine_id, place, info FROM engines WHERE seen_at >= $1 ORDER BY seen_at DESC, engine_id LIMIT $2",
        );
        let rows = query.bind(to_millis(since)).bind(MAX_ENGINES).fetch_all(self.database.reader()).await?;
        let mut newest = BTreeMap::new();
        for row in &rows {
            let row = Row(row);
            let (engine_id, place, info) =
                (row.get::<String>("engine_id")?, row.get::<i64>("place")?, row.get::<String>("info")?);
            newest.entry(engine_id).or_insert((place, info));
        }
        let mut engines: Vec<_> =
            newest.into_iter().map(|(engine_id, (place, info))| (place, engine_id, info)).collect();
        engines.sort_unstable();
        Ok(engines.into_iter().map(|(_, engine_id, info)| AnnouncedEngine { engine_id, info }).collect())
    }
}
