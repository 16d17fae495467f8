//! Where a session stands in the store.
//!
//! ```text
//! sessions/<tenant>/<yyyy-mm-dd>/<hh-mm>/<session id>/session.json      what ran; a session is there when this file is
//!                                                     transcript.json   what was said
//!                                                     audio.wav         if it was asked for
//! deleted/<tenant>/<yyyy-mm-dd>/<hh-mm>/<session id>                    empty: its tombstone
//! expires/<yyyy-mm-dd>/<hh-mm>/<tenant>/<session id>                    empty: when to sweep
//!                                       <session id>.deleted            empty: when to sweep its tombstone
//! spool/…                                                               sessions that are not finished yet
//! ```
//!
//! The files beside `session.json` are those of its own incarnation: `transcript.2-0.json` is of a session that a second connection
//! has taken. So two workers that write of one session write no file of each other's, and whichever `session.json` is there has
//! its own beside it.
//!
//! The minute comes out of the id itself, which begins with the time it was made (UUID version 7). So one session is found
//! without a search, the newest are found by looking at the last folders only, and no folder holds more than a minute of one
//! tenant. Nothing that a client chose becomes part of a path.

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

use dalston_protocol::SessionId;
use object_store::path::Path as Key;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Incarnation;

const SESSIONS: &str = "sessions";
const EXPIRES: &str = "expires";
const DELETED: &str = "deleted";
/// What the names of notes about tombstones end with. No id has a dot.
const OF_TOMBSTONE: &str = ".deleted";

/// The last moment that four digits of a year can tell.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// A minute of UTC, in the order of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Minute {
    day: String,
    minute: String,
}

impl Minute {
    pub(crate) fn new(day: impl Into<String>, minute: impl Into<String>) -> Self {
        Self { day: day.into(), minute: minute.into() }
    }

    pub(crate) fn of(time: SystemTime) -> Self {
        let text = rfc3339(time);
        Self::new(&text[..10], format!("{}-{}", &text[11..13], &text[14..16]))
    }

    /// An id that does not tell a time counts as the oldest there is.
    fn of_id(id: &SessionId) -> Self {
        let uuid = id.as_str().strip_prefix(SessionId::PREFIX).and_then(|rest| Uuid::try_parse(rest).ok());
        let milliseconds = match uuid {
            // RFC 9562 §5.7: the first 48 bits are milliseconds since 1970.
            Some(uuid) if uuid.get_version_num() == 7 => (uuid.as_u128() >> 80) as u64,
            _ => 0,
        };
        Self::of(SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds).min(LATEST))
    }

    pub(crate) fn day(&self) -> &str {
        &self.day
    }
}

/// A time as RFC 3339 in UTC with milliseconds; beyond the years 1970 to 9999 the nearest that can be told.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(LATEST);
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).to_string()
}

/// A tenant as the name of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TenantFolder(String);

impl TenantFolder {
    /// A plain name stays readable. Any other is hashed: it might be long, or mean something to a file system. The dot
    /// keeps the two apart.
    pub(crate) fn of(tenant: &str) -> Self {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if (1..=64).contains(&tenant.len()) && tenant.chars().all(plain) {
            return Self(tenant.into());
        }
        let mut name = String::from("sha256.");
        for byte in Sha256::digest(tenant) {
            let _ = write!(name, "{byte:02x}");
        }
        Self(name)
    }

    /// The folder of all its days.
    pub(crate) fn sessions(&self) -> Key {
        Key::from_iter([SESSIONS, &self.0])
    }

    /// The folder of the minutes of one day.
    pub(crate) fn day(&self, day: &str) -> Key {
        Key::from_iter([SESSIONS, &self.0, day])
    }

    /// The folder of the sessions of one minute.
    pub(crate) fn minute(&self, minute: &Minute) -> Key {
        Key::from_iter([SESSIONS, &self.0, &minute.day, &minute.minute])
    }
}

/// The folder of one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    tenant: TenantFolder,
    minute: Minute,
    id: SessionId,
}

impl Place {
    pub(crate) fn of(tenant: TenantFolder, id: &SessionId) -> Self {
        Self { minute: Minute::of_id(id), tenant, id: id.clone() }
    }

    pub(crate) fn minute(&self) -> &Minute {
        &self.minute
    }

    /// Whether it comes after `other` in a list that begins with the newest.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        (&self.minute, &self.id) < (&other.minute, &other.id)
    }

    /// What ran. Comes last and goes first: the session is there when this is.
    pub(crate) fn session(&self) -> Key {
        self.file("session.json")
    }

    /// What was said.
    pub(crate) fn transcript(&self, of: Incarnation) -> Key {
        self.file(&format!("transcript{}.json", of.infix()))
    }

    /// What was heard.
    pub(crate) fn audio(&self, of: Incarnation) -> Key {
        self.file(&format!("audio{}.wav", of.infix()))
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> Key {
        let Self { tenant, minute, id } = self;
        tenant.minute(minute).join(id.as_str())
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> Key {
        self.folder().join(name)
    }

    /// The note that this session is to be swept after that time.
    pub(crate) fn expiry(&self, at: SystemTime) -> Key {
        let due = Minute::of(at);
        Key::from_iter([EXPIRES, &due.day, &due.minute, &self.tenant.0, self.id.as_str()])
    }

    /// That this session was deleted.
    pub(crate) fn tombstone(&self) -> Key {
        let Self { tenant, minute, id } = self;
        Key::from_iter([DELETED, &tenant.0, &minute.day, &minute.minute, id.as_str()])
    }

    /// The note that its tombstone is to be swept after that time.
    pub(crate) fn tombstone_expiry(&self, at: SystemTime) -> Key {
        let due = Minute::of(at);
        Key::from_iter([EXPIRES, &due.day, &due.minute, &self.tenant.0, &format!("{}{OF_TOMBSTONE}", self.id)])
    }
}

/// What an expiry note is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    /// A session.
    Session(Place),
    /// The tombstone of one.
    Tombstone(Place),
}

impl Due {
    pub(crate) fn of(note: &Key) -> Option<Self> {
        let parts: Vec<_> = note.parts().collect();
        let [_, _, _, tenant, name] = parts.as_slice() else { return None };
        let (id, kind): (_, fn(Place) -> Self) = match name.as_ref().strip_suffix(OF_TOMBSTONE) {
            Some(id) => (id, Self::Tombstone),
            None => (name.as_ref(), Self::Session),
        };
        Some(kind(Place::of(TenantFolder(tenant.as_ref().into()), &id.parse().ok()?)))
    }
}

/// The folder of all expiry notes, or of those of one day or minute.
pub(crate) fn expiries(day_and_hour: &[&str]) -> Key {
    Key::from_iter([EXPIRES].iter().chain(day_and_hour).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SessionId {
        text.parse().unwrap()
    }

    #[test]
    fn an_id_tells_its_own_minute() {
        // The example of RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC.
        let place = Place::of(TenantFolder::of("key_1"), &id("ses_017f22e279b07cc398c4dc0c0c07398f"));
        assert_eq!(
            place.session().as_ref(),
            "sessions/key_1/2022-02-22/19-22/ses_017f22e279b07cc398c4dc0c0c07398f/session.json"
        );
    }

    #[test]
    fn an_id_without_a_time_is_the_oldest_and_a_time_past_the_calendar_is_no_panic() {
        for (text, minute) in [
            ("ses_1", "1970-01-01"),
            ("ses_919108f7-52d1-4320-9bac-f847db4148a8", "1970-01-01"),
            ("ses_ffffffffffff7cc398c4dc0c0c07398f", "9999-12-31"),
        ] {
            assert_eq!(Minute::of_id(&id(text)).day(), minute, "{text}");
        }
        assert_eq!(Minute::of(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), Minute::new("1970-01-01", "00-00"));
    }

    #[test]
    fn no_two_tenants_share_a_folder_and_none_leaves_its_own() {
        let names = ["anonymous", "a", "A", "", "..", ".", "a/b", "../a", "a%2fb", "sha256.00", "ü", &"a".repeat(65)];
        let folders: Vec<_> = names.iter().map(|name| TenantFolder::of(name)).collect();
        for (i, folder) in folders.iter().enumerate() {
            assert_eq!(folder.sessions().parts().count(), 2, "{:?} is {folder:?}", names[i]);
            assert!(!folders[..i].contains(folder), "{:?} shares {folder:?}", names[i]);
        }
    }

    #[test]
    fn an_expiry_note_leads_back_to_its_session() {
        let place = Place::of(TenantFolder::of("../x"), &SessionId::generate());
        let now = SystemTime::now();
        assert_eq!(Due::of(&place.expiry(now)), Some(Due::Session(place.clone())));
        assert_eq!(Due::of(&place.tombstone_expiry(now)), Some(Due::Tombstone(place)));
    }
}
