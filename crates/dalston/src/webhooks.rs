//! `dalston webhooks`: who is told of jobs' ends.

use std::fmt::Write;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use dalston_protocol::{Webhook, WebhookEvent, WebhookId, WebhookList};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::{
    cli::{Output, Target},
    http as server,
};

const ROUTE: &str = "/v1/webhooks";

/// `dalston webhooks`
#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
    /// Have a URL told of your jobs' ends. The secret that signs the messages is shown once.
    Create {
        /// Where messages go
        receiver: String,
        /// What it is told of: job.completed, job.failed, job.cancelled. May be given again [default: all]
        #[arg(long = "event", value_name = "EVENT", value_delimiter = ',', value_parser = event)]
        events: Vec<WebhookEvent>,
        /// Where, and how to print it.
        #[command(flatten)]
        common: Common,
    },
    /// List them, oldest first.
    List {
        /// Where, and how to print it.
        #[command(flatten)]
        common: Common,
    },
    /// Have them told nothing more.
    Remove {
        /// The webhooks
        #[arg(required = true)]
        ids: Vec<WebhookId>,
        /// Where, and how to print it.
        #[command(flatten)]
        common: Common,
    },
}

/// Where webhooks are, and how they are printed.
#[derive(Debug, Args)]
pub struct Common {
    /// Which server.
    #[command(flatten)]
    target: Target,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl Common {
    async fn send(&self, method: Method, route: &str, body: Vec<u8>) -> Result<bytes::Bytes> {
        server::send(&self.target.endpoint, method, route, self.target.api_key().as_ref(), body).await
    }
}

/// Does it.
pub async fn run(command: &WebhooksCommand) -> Result<()> {
    match command {
        WebhooksCommand::Create { receiver, events, common } => {
            let mut wanted = json!({ "url": receiver });
            if !events.is_empty() {
                wanted["events"] = json!(events);
            }
            let made: Webhook = read(&common.send(Method::POST, ROUTE, wanted.to_string().into_bytes()).await?)?;
            common
                .output
                .print(&made, |made| format!("{}\n{}\n", made.id, made.secret.as_deref().unwrap_or_default()))?;
            if common.output == Output::Text {
                eprintln!("\nThe second line is the secret that signs its messages. It is shown this once.");
            }
            Ok(())
        }
        WebhooksCommand::List { common } => {
            let list: WebhookList = read(&common.send(Method::GET, ROUTE, Vec::new()).await?)?;
            common.output.print(&list, show)
        }
        WebhooksCommand::Remove { ids, common } => {
            for id in ids {
                common.send(Method::DELETE, &format!("{ROUTE}/{id}"), Vec::new()).await?;
            }
            Ok(())
        }
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T> {
    serde_json::from_slice(body).context("the server answers with something else than webhooks")
}

fn show(list: &WebhookList) -> String {
    let mut text = String::new();
    for webhook in &list.items {
        let events = webhook.events.iter().map(|event| event.as_str()).collect::<Vec<_>>().join(",");
        let state = webhook.disabled_at.as_ref().map(|at| format!("  gone since {at}")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}  {}  {events}{state}", webhook.id, webhook.url);
    }
    text
}

fn event(text: &str) -> Result<WebhookEvent, String> {
    let known = || format!("one of {}", WebhookEvent::ALL.map(WebhookEvent::as_str).join(", "));
    WebhookEvent::ALL.into_iter().find(|event| event.as_str() == text).ok_or_else(known)
}
