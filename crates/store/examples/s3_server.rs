//! Serves a folder as an S3 server at a free port, tells the environment of those who use it, and ends with its standard input.
//!
//! `cargo run -p dalston-store --features testing --example s3_server -- FOLDER`

use std::{env, error::Error, io, path::PathBuf};

use dalston_store::testing::S3Server;

fn main() -> Result<(), Box<dyn Error>> {
    let folder: PathBuf = env::args_os().nth(1).ok_or("usage: s3_server FOLDER")?.into();
    let server = S3Server::start(&folder)?;
    for (name, value) in server.variables() {
        println!("{name}={value}");
    }
    println!("DALSTON_ARTIFACTS_URL={}", server.url(""));
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
