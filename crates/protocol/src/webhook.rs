//! Who is told of jobs' ends, and what they are told: messages of Standard Webhooks
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use serde::{Deserialize, Serialize};

use crate::{JobId, MessageId, RequestId, WebhookId, job::JobStatus};

/// What a webhook may be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WebhookEvent {
    /// A transcript is there to be fetched.
    #[serde(rename = "job.completed")]
    JobCompleted,
    /// A job failed for good.
    #[serde(rename = "job.failed")]
    JobFailed,
    /// A job was cancelled, and nothing of it runs any more.
    #[serde(rename = "job.cancelled")]
    JobCancelled,
}

impl WebhookEvent {
    /// Every event there is.
    pub const ALL: [Self; 3] = [Self::JobCompleted, Self::JobFailed, Self::JobCancelled];

    /// The event as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JobCompleted => "job.completed",
            Self::JobFailed => "job.failed",
            Self::JobCancelled => "job.cancelled",
        }
    }

    /// What it is that a job has come to stand there; nothing, while it has not ended.
    pub const fn of(status: JobStatus) -> Option<Self> {
        match status {
            JobStatus::Completed => Some(Self::JobCompleted),
            JobStatus::Failed => Some(Self::JobFailed),
            JobStatus::Cancelled => Some(Self::JobCancelled),
            JobStatus::Pending | JobStatus::Running | JobStatus::Cancelling => None,
        }
    }
}

/// What a webhook is sent. It says that there is a result and not what was said: whoever may read that asks for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookMessage {
    /// What happened.
    #[serde(rename = "type")]
    pub event: WebhookEvent,
    /// When, in RFC 3339.
    pub timestamp: String,
    /// To what.
    pub data: EndedJob,
}

/// A job that has ended, as webhooks are told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndedJob {
    /// Which.
    pub id: JobId,
    /// How.
    pub status: JobStatus,
    /// The request that made it.
    pub request_id: RequestId,
    /// When it was accepted, in RFC 3339.
    pub created_at: String,
    /// Why it failed, as a code; the job itself says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Where messages go.
    pub url: String,
    /// What it is told of.
    pub events: Vec<WebhookEvent>,
    /// When it was made, in RFC 3339.
    pub created_at: String,
    /// Since when it is told nothing more, because it answered 410 Gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<String>,
    /// What messages are signed with: `whsec_…`. Told once, when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// What became of a message to a webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookDelivery {
    /// The message, as `webhook-id` names it.
    pub id: MessageId,
    /// The job that ended.
    pub job_id: JobId,
    /// Attempts that have begun.
    pub attempts: u32,
    /// Since when it was to be told, in RFC 3339.
    pub created_at: String,
    /// When it is tried again; absent once it was taken or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<String>,
    /// When it was taken or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// The status that the last attempt was answered with: 2xx took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<u16>,
    /// Why the last attempt was not answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What became of the newest messages to a webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookDeliveryList {
    /// Newest first, a hundred at most.
    pub items: Vec<WebhookDelivery>,
}

/// A tenant's webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookList {
    /// Oldest first.
    pub items: Vec<Webhook>,
}
