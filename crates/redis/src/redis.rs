//! The handle.

use std::{fmt, sync::Arc, time::Duration};

use dalston_telemetry::{Component, Span, TraceContext, Tracers};
use redis::{Cmd, FromRedisValue};
use tokio::time::timeout;
use tokio_rustls::rustls::crypto;

use crate::{Heard, Listener, RedisError, ScriptCall, address::Address, connection::Link};

/// How long things may take, and whose calls they are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// For a connection to stand.
    pub connect: Duration,
    /// For a call to be answered, the time to connect included.
    pub answer: Duration,
    /// Whose lane the spans of calls stand in.
    pub component: Component,
    /// What makes them.
    pub tracers: Tracers,
}

impl Default for Settings {
    /// Five seconds: a server that stalls for a moment is waited for, one that is dead is soon known to be.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            answer: Duration::from_secs(5),
            component: Component::Process,
            tracers: Tracers::off(),
        }
    }
}

/// A server, a Sentinel's primary or a cluster. Clones share its connection.
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) address: Address,
    pub(crate) settings: Settings,
    link: Link,
}

impl Redis {
    /// Reads the URL. It connects when it is first asked something.
    ///
    /// | URL | is |
    /// | --- | --- |
    /// | `redis://[user:password@]host[:port][/database]`, `rediss://…` with TLS, `redis+unix:///path` | one server |
    /// | `redis+sentinel://[user:password@]host[:port],…/service[/database]` | the primary that Sentinels call `service` |
    /// | `redis+cluster://[user:password@]host[:port],…`, or several `redis://…` with commas between | a cluster |
    ///
    /// `rediss+sentinel` and `rediss+cluster` are the same with TLS. User and password are Redis's; Sentinels are asked
    /// without.
    ///
    /// # Errors
    /// When it is no such URL. The error does not repeat it: it may hold a password.
    pub fn open(url: &str, settings: Settings) -> Result<Self, RedisError> {
        if url.starts_with("rediss") {
            // The library takes the provider of the process, and panics where several could be meant. This is the one
            // that everything here uses; an error says that one was chosen already, which does as well.
            let _ = crypto::ring::default_provider().install_default();
        }
        let address = Address::parse(url, &settings)?;
        Ok(Self(Arc::new(Shared { address, settings, link: Link::default() })))
    }

    /// One short command.
    ///
    /// # Errors
    /// See [`RedisError::is_transient`] and [`RedisError::may_have_happened`].
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        self.traced(operation(command), None, async |mut wire| command.query_async(&mut wire).await).await
    }

    /// One script.
    ///
    /// # Errors
    /// As [`Redis::query`].
    pub async fn run<T: FromRedisValue>(&self, call: &ScriptCall<'_>) -> Result<T, RedisError> {
        let invocation = &call.invocation;
        self.traced("EVALSHA", Some(call.name), async |mut wire| invocation.invoke_async(&mut wire).await).await
    }

    /// Asks whether it is there.
    ///
    /// # Errors
    /// As [`Redis::query`].
    pub async fn ping(&self) -> Result<(), RedisError> {
        self.query(&redis::cmd("PING")).await
    }

    /// A connection of its own that listens to channels, and tells `heard` from a task of its own: it must not block.
    /// Listening ends with the [`Listener`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn listen(&self, heard: impl Fn(Heard<'_>) + Send + Sync + 'static) -> Listener {
        Listener::start(self.0.clone(), heard)
    }

    async fn traced<T>(
        &self,
        operation: &'static str,
        script: Option<&'static str>,
        call: impl AsyncFnOnce(crate::connection::Wire) -> redis::RedisResult<T>,
    ) -> Result<T, RedisError> {
        let span = self.span(operation, script);
        let answered = self.bounded(call).await;
        if let Err(error) = &answered {
            span.fail(error.kind(), "the call failed");
        }
        answered
    }

    async fn bounded<T>(
        &self,
        call: impl AsyncFnOnce(crate::connection::Wire) -> redis::RedisResult<T>,
    ) -> Result<T, RedisError> {
        let Shared { address, settings, link } = &*self.0;
        // Set once the call may have left.
        let mut used = None;
        let answered = timeout(settings.answer, async {
            let (number, wire) = link.wire(address, settings).await?;
            used = Some(number);
            call(wire).await.map_err(|error| RedisError::from(&error))
        });
        let answered = match (answered.await, used) {
            (Ok(answered), _) => answered,
            (Err(_), Some(_)) => Err(RedisError::TimedOut(settings.answer)),
            (Err(_), None) => Err(RedisError::Unreachable("still connecting".to_owned())),
        };
        if let (Err(error), Some(number)) = (&answered, used)
            && error.spoils_the_connection()
        {
            link.spoilt(number).await;
        }
        answered
    }

    /// Below the span that is current, if there is one: what belongs to no trace makes none.
    fn span(&self, operation: &'static str, script: Option<&'static str>) -> Span {
        let Settings { tracers, component, .. } = &self.0.settings;
        if tracers.is_off() {
            return Span::none();
        }
        let parent = TraceContext::current();
        if parent.trace_id().is_none() {
            return Span::none();
        }
        let Address { host, port, .. } = &self.0.address;
        tracers.database(*component, "redis", operation, script, (host, *port), &parent)
    }
}

/// The command's name, if it is a usual one: text that came from elsewhere does not become a span's name.
fn operation(command: &Cmd) -> &'static str {
    const KNOWN: &[&str] = &[
        "PING", "GET", "SET", "DEL", "EXISTS", "EXPIRE", "INCR", "HGET", "HGETALL", "HSET", "HDEL", "ZADD", "ZRANGE",
        "ZREM", "ZCARD", "PUBLISH", "TIME", "XLEN", "XADD",
    ];
    let name = command.args_iter().next();
    let known = |name: &[u8]| KNOWN.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(name));
    match name {
        Some(redis::Arg::Simple(name)) => known(name).copied().unwrap_or("COMMAND"),
        _ => "COMMAND",
    }
}

impl fmt::Debug for Redis {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { host, port, .. } = &self.0.address;
        f.debug_struct("Redis").field("host", host).field("port", port).finish_non_exhaustive()
    }
}
