//! Jobs over HTTP: files in, transcripts out.

mod exchange;
mod follow;
mod upload;

use std::time::Duration;

use bytes::Bytes;
use dalston_protocol::{
    JobId,
    job::{Job, JobCreated, JobList, Task},
};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{follow::Progress, upload::Upload};
use crate::{ApiKey, Endpoint, JobsError};

/// Where jobs are.
const JOBS: &str = "/v1/audio/transcriptions";
/// Longest wait for an answer, and for any piece of an upload or event stream.
const PATIENCE: Duration = Duration::from_secs(60);

/// Speaks to one server about jobs. Every call is a connection of its own; nothing is retried.
#[derive(Debug, Clone)]
pub struct JobsClient {
    endpoint: Endpoint,
    api_key: Option<ApiKey>,
}

/// Which jobs are listed.
#[derive(Debug, Clone, Default)]
pub struct ListJobs {
    /// Only those that stand there.
    pub status: Option<String>,
    /// Most of them in one answer.
    pub limit: Option<u32>,
    /// What the answer before gave.
    pub cursor: Option<String>,
}

impl ListJobs {
    fn query(&self) -> String {
        let limit = self.limit.map(|limit| limit.to_string());
        let pairs = [("status", &self.status), ("limit", &limit), ("cursor", &self.cursor)];
        let given = pairs.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish()
    }
}

/// What failed for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadList {
    /// The tasks, with their jobs.
    pub items: Vec<DeadItem>,
    /// Gives the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A task that failed for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeadItem {
    /// Its job, which can be tried again.
    pub job_id: JobId,
    /// What the job is called.
    pub name: Option<String>,
    /// The task, with its last error.
    pub task: Task,
}

impl JobsClient {
    /// A client of this server.
    pub fn new(endpoint: Endpoint, api_key: Option<ApiKey>) -> Self {
        Self { endpoint, api_key }
    }

    /// Uploads a file; with its answer, the server has made a job of it.
    ///
    /// # Errors
    /// [`JobsError`] tells a server that is not there from one that refuses. So with every other call.
    pub async fn create(&self, upload: Upload) -> Result<JobCreated, JobsError> {
        let request = self.request(Method::POST, JOBS)?;
        let request = upload.into_request(request).await?;
        // Its pieces are what is waited for, not the whole.
        read(exchange::send(&self.endpoint, request, None).await?).await
    }

    /// One job, with its stages, and its transcript when it is completed.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn job(&self, id: &JobId) -> Result<Job, JobsError> {
        self.call(Method::GET, &format!("{JOBS}/{id}")).await
    }

    /// A page of jobs, newest first.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn list(&self, wanted: &ListJobs) -> Result<JobList, JobsError> {
        self.call(Method::GET, &format!("{JOBS}?{}", wanted.query())).await
    }

    /// Ends a job, now or soon.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn cancel(&self, id: &JobId) -> Result<JobCreated, JobsError> {
        self.call(Method::POST, &format!("{JOBS}/{id}/cancel")).await
    }

    /// Has another try at a job that failed.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn retry(&self, id: &JobId) -> Result<JobCreated, JobsError> {
        self.call(Method::POST, &format!("{JOBS}/{id}/retry")).await
    }

    /// Forgets a job that has ended.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn delete(&self, id: &JobId) -> Result<(), JobsError> {
        self.bytes(Method::DELETE, &format!("{JOBS}/{id}")).await.map(drop)
    }

    /// A page of what failed for good, that of the newest jobs first. It takes no status.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn dead(&self, wanted: &ListJobs) -> Result<DeadList, JobsError> {
        self.call(Method::GET, &format!("{JOBS}/dead?{}", wanted.query())).await
    }

    /// The transcript of a completed job as a file: `txt`, `srt`, `vtt` or `json`.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn export(&self, id: &JobId, format: &str) -> Result<Bytes, JobsError> {
        self.bytes(Method::GET, &format!("{JOBS}/{id}/export/{format}")).await
    }

    /// How the job is now, and every change from then on until it has ended.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn follow(&self, id: &JobId) -> Result<Progress, JobsError> {
        let request = self.request(Method::GET, &format!("{JOBS}/{id}/events"))?;
        let answer = exchange::send(&self.endpoint, empty(request)?, Some(PATIENCE)).await?;
        Ok(Progress::new(answer.ok().await?))
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, route: &str) -> Result<T, JobsError> {
        let request = empty(self.request(method, route)?)?;
        read(exchange::send(&self.endpoint, request, Some(PATIENCE)).await?).await
    }

    async fn bytes(&self, method: Method, route: &str) -> Result<Bytes, JobsError> {
        let request = empty(self.request(method, route)?)?;
        exchange::send(&self.endpoint, request, Some(PATIENCE)).await?.ok().await?.bytes().await
    }

    fn request(&self, method: Method, route: &str) -> Result<http::request::Builder, JobsError> {
        let mut request = Request::builder()
            .method(method)
            .uri(self.endpoint.path(route))
            .header(http::header::HOST, self.endpoint.authority());
        if let Some(key) = &self.api_key {
            let value = key.bearer().map_err(|_| JobsError::BadHeader { name: "API key" })?;
            request = request.header(http::header::AUTHORIZATION, value);
        }
        Ok(request)
    }
}

fn empty(request: http::request::Builder) -> Result<Request<exchange::Outgoing>, JobsError> {
    let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed();
    request.body(body).map_err(|error| JobsError::Unspeakable(error.to_string()))
}

async fn read<T: DeserializeOwned>(answer: exchange::Answer) -> Result<T, JobsError> {
    let body = answer.ok().await?.bytes().await?;
    serde_json::from_slice(&body)
        .map_err(|error| JobsError::Unspeakable(format!("an answer of another shape: {error}")))
}
