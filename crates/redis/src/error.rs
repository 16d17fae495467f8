//! Why a call failed, and what that means for whoever made it.

use std::time::Duration;

use redis::{ErrorKind, ServerErrorKind};

/// Why Redis did not do what it was asked. None of them tells a key or a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// The URL cannot be used.
    #[error("not an address of Redis: {0}")]
    NotAnAddress(String),
    /// No connection: nobody listens there, the name is unknown, or no Sentinel knows a primary.
    #[error("Redis cannot be reached: {0}")]
    Unreachable(String),
    /// The connection broke while the call was under way.
    #[error("the connection to Redis was lost")]
    Lost,
    /// No answer in time.
    #[error("Redis did not answer within {0:?}")]
    TimedOut(Duration),
    /// It has started and reads its data.
    #[error("Redis is loading its data")]
    Loading,
    /// It may not write: it is a replica by now, its disk is full, or too few replicas listen.
    #[error("Redis takes no writes ({0})")]
    ReadOnly(String),
    /// It holds as much as it may.
    #[error("Redis is out of memory")]
    OutOfMemory,
    /// A part of the cluster has no primary just now, or its slots move.
    #[error("the Redis cluster is not whole ({0})")]
    ClusterDown(String),
    /// Another script does not end.
    #[error("Redis is busy with a script")]
    Busy,
    /// A stream or its group is gone: the server was emptied.
    #[error("the stream has no such consumer group")]
    NoGroup,
    /// User, password or rights are not as they must be.
    #[error("Redis refused access ({0})")]
    Denied(String),
    /// Any other answer that is an error: a fault of the program.
    #[error("Redis answered with an error: {0}")]
    Answer(String),
}

impl RedisError {
    /// Whether the same call can succeed later without anybody's doing anything about it here.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::NotAnAddress(_) | Self::Denied(_) | Self::Answer(_))
    }

    /// Whether the server may have done what it was asked all the same. What must not be done twice is not simply
    /// repeated.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Lost | Self::TimedOut(_))
    }

    /// One word of a closed list, for spans and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotAnAddress(_) => "not_an_address",
            Self::Unreachable(_) => "unreachable",
            Self::Lost => "connection_lost",
            Self::TimedOut(_) => "timeout",
            Self::Loading => "loading",
            Self::ReadOnly(_) => "read_only",
            Self::OutOfMemory => "out_of_memory",
            Self::ClusterDown(_) => "cluster_down",
            Self::Busy => "busy",
            Self::NoGroup => "no_group",
            Self::Denied(_) => "denied",
            Self::Answer(_) => "error_answer",
        }
    }

    /// Whether another connection may do better: to the same server, or to the one that has taken over.
    pub(crate) fn spoils_the_connection(&self) -> bool {
        matches!(self, Self::Lost | Self::TimedOut(_) | Self::ReadOnly(_) | Self::ClusterDown(_) | Self::Denied(_))
    }

    /// What went wrong before a connection stood.
    pub(crate) fn connecting(error: &redis::RedisError) -> Self {
        match Self::from(error) {
            Self::Lost | Self::TimedOut(_) | Self::Answer(_) => Self::Unreachable(error.category().to_owned()),
            other => other,
        }
    }
}

impl From<&redis::RedisError> for RedisError {
    fn from(error: &redis::RedisError) -> Self {
        use ServerErrorKind as Server;
        let code = || error.code().unwrap_or("unknown").to_owned();
        match error.kind() {
            // The library's own timeouts are longer than ours: what it calls a failure of I/O has ended the connection.
            ErrorKind::Io | ErrorKind::Parse => Self::Lost,
            ErrorKind::InvalidClientConfig | ErrorKind::EmptySentinelList => Self::NotAnAddress(error.to_string()),
            ErrorKind::AuthenticationFailed => Self::Denied("AUTH".to_owned()),
            ErrorKind::MasterNameNotFoundBySentinel | ErrorKind::NoValidReplicasFoundBySentinel => {
                Self::Unreachable("no Sentinel knows a primary".to_owned())
            }
            ErrorKind::ClusterConnectionNotFound => Self::ClusterDown("no connection".to_owned()),
            ErrorKind::Server(Server::BusyLoading) => Self::Loading,
            ErrorKind::Server(Server::ReadOnly) => Self::ReadOnly(code()),
            ErrorKind::Server(Server::NoPerm) => Self::Denied(code()),
            ErrorKind::Server(
                Server::ClusterDown | Server::MasterDown | Server::TryAgain | Server::Moved | Server::Ask,
            ) => Self::ClusterDown(code()),
            ErrorKind::Extension => match error.code().unwrap_or_default() {
                "OOM" => Self::OutOfMemory,
                "NOGROUP" => Self::NoGroup,
                "BUSY" => Self::Busy,
                "MISCONF" | "NOREPLICAS" => Self::ReadOnly(code()),
                "NOAUTH" | "WRONGPASS" => Self::Denied(code()),
                _ => Self::Answer(error.to_string()),
            },
            _ => Self::Answer(error.to_string()),
        }
    }
}
