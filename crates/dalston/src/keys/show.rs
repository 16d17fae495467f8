//! Keys for people.

use std::fmt::Write;

use dalston_protocol::key::{Key, KeyList, Scope};

/// The key alone, so that it can be piped.
pub(super) fn made(key: &Key) -> String {
    format!("{}\n", key.key.as_deref().unwrap_or_default())
}

/// What to do with it.
pub(super) fn what_next(key: &Key) -> String {
    let mut text = String::from(
        "\nThe line above is the key. It is shown this once; keep it where passwords are kept. Running servers know it within \
         two seconds.\n\n  export DALSTON_API_KEY=…\n",
    );
    let has = |scope| key.scopes.contains(&scope) || key.scopes.contains(&Scope::Admin);
    if has(Scope::Batch) {
        text.push_str("  dalston transcribe FILE\n");
    }
    if has(Scope::Realtime) {
        text.push_str("  dalston stream FILE.wav\n");
    }
    if has(Scope::Read) {
        text.push_str("  curl -H \"Authorization: Bearer $DALSTON_API_KEY\" http://127.0.0.1:8000/v1/models\n");
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n`dalston keys revoke {}` takes it back.", key.id);
    text
}

pub(super) fn list(keys: &KeyList) -> String {
    if keys.items.is_empty() {
        return "there are no keys; `dalston keys create` makes one\n".to_owned();
    }
    let mut text =
        format!("{:<12}  {:<20}  {:<24}  {:<12}  {:<24}  state\n", "id", "name", "scopes", "tenant", "last used");
    for key in &keys.items {
        let scopes = key.scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let last_used = key.last_used_at.as_deref().unwrap_or("never");
        let _ = writeln!(
            text,
            "{:<12}  {:<20}  {scopes:<24}  {:<12}  {last_used:<24}  {}",
            key.id,
            key.name,
            key.tenant,
            state(key)
        );
    }
    text
}

fn state(key: &Key) -> String {
    if let Some(at) = &key.revoked_at {
        return format!("revoked {at}");
    }
    let limits = key.limits.named().into_iter().filter_map(|(name, limit)| Some(format!("{name}={}", limit?)));
    let expires = key.expires_at.as_ref().map(|at| format!("until {at}"));
    expires.into_iter().chain(limits).collect::<Vec<_>>().join(" ")
}
