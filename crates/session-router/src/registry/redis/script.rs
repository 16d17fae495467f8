//! The scripts, with the keys and times that all of them take.

use dalston_redis::{Keys, Script, ScriptCall};

use super::millis;
use crate::RegistryTimes;

/// In the order in which `registry.lua` names them.
const COLUMNS: [&str; 15] = [
    "clock", "seen", "capacity", "address", "kind", "kinds", "draining", "suspects", "chosen", "homes", "slots",
    "expiry", "leases", "order", "places",
];

#[derive(Debug)]
pub(super) struct Scripts {
    keys: Vec<String>,
    /// `worker_ttl` and `forget_after`, milliseconds.
    times: [u64; 2],
    restore: Script,
    heartbeat: Script,
    deregister: Script,
    drain: Script,
    suspect: Script,
    reserve: Script,
    renew: Script,
    release: Script,
    workers: Script,
    beat: Script,
}

macro_rules! script {
    ($name:literal) => {
        Script::new(
            concat!("registry.", $name),
            concat!(include_str!("registry.lua"), include_str!(concat!($name, ".lua"))),
        )
    };
}

macro_rules! calls {
    ($($name:ident)*) => {
        $(
            pub(super) fn $name(&self) -> ScriptCall<'_> {
                self.with_keys(&self.$name)
            }
        )*
    };
}

impl Scripts {
    pub(super) fn new(keys: &Keys, times: &RegistryTimes) -> Self {
        Self {
            keys: COLUMNS.iter().map(|column| keys.key(column)).collect(),
            times: [millis(times.worker_ttl), millis(times.forget_after)],
            restore: script!("restore"),
            heartbeat: script!("heartbeat"),
            deregister: script!("deregister"),
            drain: script!("drain"),
            suspect: script!("suspect"),
            reserve: script!("reserve"),
            renew: script!("renew"),
            release: script!("release"),
            workers: script!("workers"),
            beat: script!("beat"),
        }
    }

    calls! { restore heartbeat deregister drain suspect reserve renew release workers beat }

    pub(super) fn with_keys<'a>(&'a self, script: &'a Script) -> ScriptCall<'a> {
        let call = self.keys.iter().fold(script.call(), |call, key| call.key(key));
        self.times.iter().fold(call, |call, time| call.arg(*time))
    }
}
