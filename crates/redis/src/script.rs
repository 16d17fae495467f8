//! Scripts: one atomic step of the server each.

use redis::{ScriptInvocation, ToRedisArgs};

/// A Lua script. It is sent once and called by its hash from then on; a server that forgot it is sent it again.
///
/// A script that begins with `#!lua` is refused as a whole, before its first command, where it may not write or memory
/// has run out; without, it can end half way. Those that free memory say `#!lua flags=allow-oom`.
#[derive(Debug, Clone)]
pub struct Script {
    name: &'static str,
    code: redis::Script,
}

impl Script {
    /// `name` is what a span calls it.
    pub fn new(name: &'static str, code: &str) -> Self {
        Self { name, code: redis::Script::new(code) }
    }

    /// To be given its keys and arguments, and then to [`Redis::run`](crate::Redis::run).
    pub fn call(&self) -> ScriptCall<'_> {
        ScriptCall { name: self.name, invocation: self.code.prepare_invoke() }
    }
}

/// A script with its keys and arguments.
pub struct ScriptCall<'a> {
    pub(crate) name: &'static str,
    pub(crate) invocation: ScriptInvocation<'a>,
}

impl ScriptCall<'_> {
    /// The next of `KEYS`.
    #[must_use]
    pub fn key(mut self, key: impl ToRedisArgs) -> Self {
        self.invocation.key(key);
        self
    }

    /// The next of `ARGV`.
    #[must_use]
    pub fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.invocation.arg(arg);
        self
    }
}

impl std::fmt::Debug for ScriptCall<'_> {
    /// Without keys and arguments.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ScriptCall").field(&self.name).finish()
    }
}
