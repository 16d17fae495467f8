//! A tenant's sessions, newest first.

use dalston_protocol::SessionId;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use object_store::path::Path as Key;

use crate::{
    Page, Shelf, StoreError,
    place::{Minute, Place, TenantFolder},
};

/// The longest page.
const LONGEST_PAGE: usize = 100;

/// Records read at once.
const READ_AHEAD: usize = 8;

impl Shelf {
    /// Up to `limit` sessions, 1 to 100: those before the one that the cursor names, or the newest.
    ///
    /// Reads the names of the tenant's days, of the minutes of the days that the page touches and of the sessions of those
    /// minutes, and the records that the page shows.
    ///
    /// # Errors
    /// Any error of the storage. A record that is damaged is left out and logged.
    pub async fn list(&self, tenant: &str, limit: usize, cursor: Option<&SessionId>) -> Result<Page, StoreError> {
        let limit = limit.clamp(1, LONGEST_PAGE);
        let folder = TenantFolder::of(tenant);
        let cursor = cursor.map(|id| Place::of(folder.clone(), id));
        let places = places_before(self, &folder, cursor.as_ref());
        let read = |place: Result<Place, StoreError>| async move { self.summary(tenant, &place?).await };
        let mut records = std::pin::pin!(places.map(read).buffered(READ_AHEAD));
        let mut sessions = Vec::with_capacity(limit);
        while let Some(record) = records.next().await {
            let session = match record {
                Ok(Some(session)) => session,
                // Deleted in between, or expired.
                Ok(None) => continue,
                Err(error @ StoreError::Damaged { .. }) => {
                    tracing::warn!(event = "session_damaged", %error, "a kept session cannot be read and is not listed");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if sessions.len() == limit {
                let next_cursor = sessions.last().map(|last: &crate::SessionSummary| last.session_id.clone());
                return Ok(Page { sessions, next_cursor });
            }
            sessions.push(session);
        }
        Ok(Page { sessions, next_cursor: None })
    }
}

/// The places before that one, last first. Looks into a folder only when it comes to it.
fn places_before<'a>(
    shelf: &'a Shelf,
    tenant: &'a TenantFolder,
    end: Option<&'a Place>,
) -> impl Stream<Item = Result<Place, StoreError>> + 'a {
    let days = folders(shelf, tenant.sessions()).try_filter(move |day| {
        let wanted = end.is_none_or(|end| day.as_str() <= end.minute().day());
        async move { wanted }
    });
    let minutes = days.map_ok(move |day| {
        let minutes = folders(shelf, tenant.day(&day)).map_ok(move |minute| Minute::new(&day, minute));
        minutes.try_filter(move |minute| {
            let wanted = end.is_none_or(|end| minute <= end.minute());
            async move { wanted }
        })
    });
    let places = minutes.try_flatten().map_ok(move |minute| {
        folders(shelf, tenant.minute(&minute)).try_filter_map(move |name| {
            let place = name.parse().ok().map(|id| Place::of(tenant.clone(), &id));
            let wanted = place.filter(|place| end.is_none_or(|end| place.is_before(end)));
            async move { Ok(wanted) }
        })
    });
    places.try_flatten()
}

fn folders(shelf: &Shelf, folder: Key) -> impl Stream<Item = Result<String, StoreError>> {
    stream::once(async move { shelf.folders(&folder).await })
        .map_ok(|names| stream::iter(names.into_iter().map(Ok)))
        .try_flatten()
}
