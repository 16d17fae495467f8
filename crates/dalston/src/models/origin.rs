//! Where the bytes of a model come from: its publisher, a mirror, or a folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use dalston_egress::{Client, Limits, Request, Response, Settings as Egress};
use dalston_telemetry::{Component, TraceContext, Tracers};
use http::{HeaderMap, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::registry::File;

/// Longest download: a large model over a slow line. Silence ends one much sooner.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Largest file: several times the largest model.
const LARGEST: u64 = 32 << 30;
/// To where a publisher keeps its files.
const REDIRECTS: u8 = 5;
/// Bytes read from a file at once.
const PIECE: usize = 256 * 1024;

/// Where files are got.
pub enum Origin {
    /// Each where it is published, or all under one URL.
    Web {
        /// Asks for them.
        client: Client,
        /// `None` for where they are published.
        mirror: Option<String>,
    },
    /// All in one folder, by their names.
    Folder(PathBuf),
}

/// A file from some place in it on.
pub struct Body {
    /// The place: what was asked for, or the beginning, if the other side gives whole files only.
    pub from: u64,
    /// Its whole length, where that is known.
    pub length: Option<u64>,
    pieces: Pieces,
}

enum Pieces {
    Web(Box<Response>),
    File(tokio::fs::File),
}

impl Origin {
    /// What a user means by `--from`, or where models are published.
    ///
    /// # Errors
    /// When it is neither a URL nor a folder.
    pub fn new(asked: Option<&str>, mut egress: Egress) -> Result<Self> {
        let mirror = match asked {
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                // Whoever types it on this machine may well mean one that the world cannot reach.
                let uri: http::Uri = url.parse().with_context(|| format!("--from {url} is no URL"))?;
                let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
                egress.allow.extend(host.parse().ok());
                Some(url.trim_end_matches('/').to_owned())
            }
            Some(folder) => {
                ensure!(
                    Path::new(folder).is_dir(),
                    "--from {folder} is neither a folder nor an http:// or https:// URL"
                );
                return Ok(Self::Folder(folder.into()));
            }
            None => None,
        };
        let client = Client::new(egress, Tracers::off())?;
        Ok(Self::Web { client, mirror })
    }

    /// Where a file is.
    pub fn place_of(&self, file: &File) -> String {
        match self {
            Self::Web { mirror: Some(base), .. } => format!("{base}/{}", file.name),
            Self::Web { mirror: None, .. } => file.url.to_owned(),
            Self::Folder(folder) => folder.join(file.name).display().to_string(),
        }
    }

    /// Opens a file at a place in it.
    ///
    /// # Errors
    /// When it is not there, or nobody answers.
    pub async fn open(&self, file: &File, from: u64) -> Result<Body> {
        let place = self.place_of(file);
        let client = match self {
            Self::Web { client, .. } => client,
            Self::Folder(_) => return from_disk(&place, from).await.with_context(|| format!("cannot read {place}")),
        };
        let limits = Limits { total: LONGEST, body: LARGEST, redirects: REDIRECTS };
        let origin = dalston_egress::Origin {
            component: Component::Orchestrator,
            trace: TraceContext::none(),
            request_id: "models-pull",
        };
        let mut request = Request::get(&place, limits, origin);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-").try_into().context("a range")?);
        }
        let failed = |error: dalston_egress::EgressError| {
            // A name that nobody can look up reads the same as one without an address.
            let hint = match error {
                dalston_egress::EgressError::NotPublic => " (without a network, --from takes a folder or a mirror)",
                _ => "",
            };
            anyhow::Error::new(error).context(format!("cannot get {place}{hint}: the URL"))
        };
        let response = client.send(request).await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {
                let length = response.content_length();
                Ok(Body { from: 0, length, pieces: Pieces::Web(Box::new(response)) })
            }
            StatusCode::PARTIAL_CONTENT => {
                let (start, length) = content_range(response.headers())
                    .filter(|(start, _)| *start == from)
                    .with_context(|| format!("{place} was answered with another part than was asked for"))?;
                Ok(Body { from: start, length, pieces: Pieces::Web(Box::new(response)) })
            }
            // There is no more than what is there already: what that is worth its checksum tells.
            StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
                Ok(Body { from, length: Some(from), pieces: Pieces::Web(Box::new(response)) })
            }
            status => bail!("{place} was answered with {status}"),
        }
    }
}

impl Body {
    /// The next piece.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn piece(&mut self) -> Result<Option<Bytes>> {
        if self.length == Some(self.from) {
            return Ok(None);
        }
        let piece = match &mut self.pieces {
            Pieces::Web(response) => response.chunk().await?,
            Pieces::File(file) => {
                let mut piece = Vec::with_capacity(PIECE);
                let count = file.read_buf(&mut piece).await?;
                (count > 0).then(|| piece.into())
            }
        };
        if let Some(piece) = &piece {
            self.from += piece.len() as u64;
        }
        Ok(piece)
    }
}

async fn from_disk(path: &str, from: u64) -> Result<Body> {
    let mut file = tokio::fs::File::open(path).await?;
    let length = file.metadata().await?.len();
    let from = from.min(length);
    file.seek(std::io::SeekFrom::Start(from)).await?;
    Ok(Body { from, length: Some(length), pieces: Pieces::File(file) })
}

/// `bytes 100-199/200`, or `*` for the whole.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, whole) = text.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, whole.parse().ok()))
}
