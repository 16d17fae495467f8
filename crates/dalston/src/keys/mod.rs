//! `dalston keys`: who may use a server. On its database, which may be in use; or, with `--url`, by the server itself.

mod place;
mod show;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use dalston_client::{ApiKey, Endpoint};
use dalston_protocol::key::{KeyLimits, NewKey, Scope};

use self::place::Place;
use crate::cli::Output;

/// `dalston keys`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key. It is shown once; the server keeps a hash of it.
    Create(CreateKeyArgs),
    /// List the keys, those that can be used first.
    List {
        /// Where, and how to print it.
        #[command(flatten)]
        common: Common,
    },
    /// Take keys back for good. Within two seconds they open nothing; sessions that are open go on.
    Revoke {
        /// The keys, by their ids
        #[arg(required = true)]
        ids: Vec<String>,
        /// Where, and how to print it.
        #[command(flatten)]
        common: Common,
    },
}

/// `dalston keys create`
#[derive(Debug, Args)]
pub struct CreateKeyArgs {
    /// For whom or what it is
    #[arg(long)]
    name: String,
    /// What it may do: `realtime` opens sessions, `batch` uploads files, `read` sees what runs, `admin` does everything. May
    /// be given again
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
    scopes: Vec<Scope>,
    /// Whose jobs, sessions and webhooks it sees; keys with the same tenant see the same [default: its own alone]
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Sessions that it may have open at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_sessions: Option<u32>,
    /// Jobs that its tenant may have open at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_jobs: Option<u32>,
    /// Files that it may upload at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_uploads: Option<u32>,
    /// Requests that it may send a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_second: Option<u32>,
    /// Days after which it is worth nothing
    #[arg(long, value_name = "DAYS")]
    expires_in_days: Option<u32>,
    /// Where, and how to print it.
    #[command(flatten)]
    common: Common,
}

/// Where keys are, and how they are printed.
#[derive(Debug, Args)]
pub struct Common {
    /// Have this server do it, with an API key of the scope `admin` [default: open its database]
    #[arg(long = "url", value_name = "URL")]
    endpoint: Option<Endpoint>,
    /// That key; better in the environment than here, where other users can see it
    #[arg(long, value_name = "KEY", env = "DALSTON_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Where the server keeps its things [default: ~/.local/share/dalston]
    #[arg(long, value_name = "DIR", conflicts_with = "endpoint")]
    data_dir: Option<String>,
    /// The server's settings
    #[arg(long, value_name = "FILE", env = "DALSTON_CONFIG")]
    config: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Common {
    async fn place(&self) -> Result<Place> {
        match &self.endpoint {
            Some(endpoint) => {
                let api_key = self.api_key.as_deref().filter(|key| !key.is_empty()).map(ApiKey::new);
                Ok(Place::Server { endpoint: endpoint.clone(), api_key })
            }
            None => Place::open(self.config.as_deref(), self.data_dir.clone()).await,
        }
    }
}

/// Does it.
pub async fn run(command: &KeysCommand) -> Result<()> {
    match command {
        KeysCommand::Create(args) => create(args).await,
        KeysCommand::List { common } => {
            let place = common.place().await?;
            let keys = place.list().await?;
            place.close().await;
            common.output.print(&keys, show::list)
        }
        KeysCommand::Revoke { ids, common } => {
            let place = common.place().await?;
            for id in ids {
                place.revoke(id).await?;
            }
            place.close().await;
            Ok(())
        }
    }
}

async fn create(args: &CreateKeyArgs) -> Result<()> {
    let limits = KeyLimits {
        max_sessions: args.max_sessions,
        max_jobs: args.max_jobs,
        max_uploads: args.max_uploads,
        requests_per_second: args.requests_per_second,
    };
    let wanted = NewKey {
        name: args.name.clone(),
        scopes: args.scopes.clone(),
        tenant: args.tenant.clone(),
        limits,
        expires_in_days: args.expires_in_days,
    };
    wanted.check().map_err(|error| anyhow::anyhow!(error.message))?;
    let place = args.common.place().await?;
    let made = place.create(wanted).await?;
    place.close().await;
    args.common.output.print(&made, show::made)?;
    if args.common.output == Output::Text {
        eprint!("{}", show::what_next(&made));
    }
    Ok(())
}
