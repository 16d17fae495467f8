//! The scripts: each is one atomic step, on the server's clock.

use std::{sync::LazyLock, time::Duration};

use dalston_redis::{Script, Value};

use crate::{Claim, Delivery, QueueStats};

/// `flags` say what a script may do when memory has run out: what makes room must be able to.
fn script(name: &'static str, flags: &str, text: &str) -> Script {
    Script::new(name, &format!("#!lua{flags}\n{}{text}", include_str!("common.lua")))
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $flags:literal, $file:literal;)*) => {
        $($(#[$doc])* pub(super) static $constant: LazyLock<Script> =
            LazyLock::new(|| script($name, $flags, include_str!($file)));)*
    };
}

scripts! {
    PUBLISH = "broker.publish", "", "publish.lua";
    CLAIM = "broker.claim", " flags=allow-oom", "claim.lua";
    RENEW = "broker.renew", " flags=allow-oom", "renew.lua";
    ACKNOWLEDGE = "broker.acknowledge", " flags=allow-oom", "acknowledge.lua";
    RELEASE = "broker.release", " flags=allow-oom", "release.lua";
    STATS = "broker.stats", " flags=no-writes,allow-oom", "stats.lua";
}

/// A time as the scripts want it. What is too far to be told is a hundred years away.
pub(super) fn micros(time: Duration) -> u64 {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    u64::try_from(time.min(FAR).as_micros()).unwrap_or(u64::MAX)
}

/// What a look finds.
#[derive(Debug)]
pub(super) enum Found {
    Delivery(Delivery),
    /// Nothing, until a lease ends.
    NothingFor(Duration),
    /// Nothing, and nobody has anything.
    Nothing,
}

impl Found {
    /// `None`: it is no answer of the script's.
    pub(super) fn read(answer: &Value, consumer: &str) -> Option<Self> {
        let Value::Array(fields) = answer else { return None };
        match fields.as_slice() {
            [] => Some(Self::Nothing),
            [until] => Some(Self::NothingFor(time(until)?)),
            [queue, id, deliveries, body, waited] => Some(Self::Delivery(Delivery {
                claim: Claim {
                    queue: text(queue)?,
                    id: text(id)?,
                    consumer: consumer.to_owned(),
                    deliveries: number(deliveries)?.try_into().ok()?,
                },
                body: text(body)?,
                waited: time(waited)?,
            })),
            _ => None,
        }
    }
}

/// `None`: it is no answer of the script's.
pub(super) fn stats(answer: &Value) -> Option<Vec<QueueStats>> {
    let Value::Array(queues) = answer else { return None };
    let stats = queues.iter().map(|queue| {
        let Value::Array(fields) = queue else { return None };
        let [queue, ready, claimed, oldest] = fields.as_slice() else { return None };
        Some(QueueStats {
            queue: text(queue)?,
            ready: number(ready)?.try_into().ok()?,
            claimed: number(claimed)?.try_into().ok()?,
            oldest: time(oldest),
        })
    });
    let mut stats = stats.collect::<Option<Vec<_>>>()?;
    stats.sort_unstable_by(|a, b| a.queue.cmp(&b.queue));
    Some(stats)
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        _ => None,
    }
}

fn time(value: &Value) -> Option<Duration> {
    Some(Duration::from_micros(number(value)?.try_into().ok()?))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}
