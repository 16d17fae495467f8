//! `dalston keys`: API keys for the configuration.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result};
use dalston_gateway::auth::{ApiKey, KeyRecord, ServerSecret};
use serde_json::json;

use crate::{
    cli::{CreateKeyArgs, Output},
    config::{self, ConfigError, Settings},
};

/// Makes a key, and the server's secret when there is none yet. Prints the key once; it is kept nowhere.
pub fn create(args: &CreateKeyArgs) -> Result<()> {
    let flags = [("data_dir", "--data-dir", args.data_dir.clone())];
    let (settings, _, problems) = config::read(args.config.as_deref(), config::environment(), &flags);
    if !problems.is_empty() {
        return Err(ConfigError(problems).into());
    }
    let secret = match settings.server_secret().map_err(|problem| ConfigError(vec![problem]))? {
        Some(secret) => secret,
        None => make_secret(&settings)?,
    };
    let key = ApiKey::generate(&secret, args.scopes.clone());
    let record = KeyRecord {
        name: Some(args.name.clone()),
        max_sessions: args.max_sessions.map(|most| most as usize),
        ..key.record().clone()
    };
    let table = toml::to_string(&record).context("a key is plain data")?;
    match args.output {
        Output::Json => println!("{}", json!({ "key": key.expose(), "record": record })),
        Output::Text => {
            println!("{}\n", key.expose());
            eprintln!("The line above is the key. It is shown this once; keep it where passwords are kept.");
            eprintln!("Add these lines to the server's TOML file (`dalston serve --config FILE`):\n");
            println!("[[gateway.auth.keys]]\n{}", table.trim_end());
        }
    }
    Ok(())
}

fn make_secret(settings: &Settings) -> Result<ServerSecret> {
    let file = settings.secret_file().map_err(|problem| ConfigError(vec![problem]))?;
    let secret = ServerSecret::generate();
    write_secret(&file, secret.expose()).with_context(|| format!("cannot write {}", file.display()))?;
    eprintln!("Made {}, which hashes of keys depend on: whoever runs the server needs it.\n", file.display());
    Ok(secret)
}

/// Readable for nobody else, and never over another secret: the keys made with it would be lost.
fn write_secret(file: &Path, secret: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}
