//! The server's secret: set, or in a file of its own that is made when it is first needed.

use std::{
    fs::{self, DirBuilder},
    io::{self, ErrorKind, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use dalston_gateway::auth::ServerSecret;

use super::{problem::Problem, settings::Settings, value::Value};

/// The file in the data directory that holds the secret.
const SECRET_FILE: &str = "server-secret";

impl Value for ServerSecret {
    fn expected() -> String {
        format!("{} characters or more", Self::SHORTEST)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::try_from(text.to_owned()).ok()
    }

    fn is_secret() -> bool {
        true
    }
}

impl Settings {
    /// Where the secret is kept when it is not set.
    ///
    /// # Errors
    /// As [`data_dir`](Self::data_dir).
    pub fn secret_file(&self) -> Result<PathBuf, Problem> {
        Ok(self.data_dir()?.join(SECRET_FILE))
    }

    /// The secret that is set, or the one in the data directory. If there is none, one is made there.
    ///
    /// # Errors
    /// When its file cannot be read or made, or holds something else.
    pub fn server_secret(&self) -> Result<ServerSecret, Problem> {
        if let Some(secret) = &self.server_secret {
            return Ok(secret.clone());
        }
        let file = self.secret_file()?;
        let problem = |message: String| Problem::new(file.display().to_string(), message);
        let read = || match fs::read_to_string(&file) {
            Ok(text) => match ServerSecret::parse(text.trim()) {
                Some(secret) => Ok(Some(secret)),
                None => Err(problem(format!("expected {}", ServerSecret::expected()))),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(problem(format!("cannot be read: {error}"))),
        };
        if let Some(secret) = read()? {
            return Ok(secret);
        }
        write(&file, ServerSecret::generate().expose()).map_err(|error| problem(format!("cannot be made: {error}")))?;
        // Another process may have been quicker, and then it is that one's.
        read()?.ok_or_else(|| problem("was removed while it was made".into()))
    }
}

/// Whole or not at all, readable for nobody else, and never over another secret: the keys made with it would be lost.
fn write(file: &Path, secret: &str) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Nobody else may read a temporary file.
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(new, "{secret}")?;
    new.as_file().sync_all()?;
    match new.persist_noclobber(file) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn of_many_who_make_the_secret_at_once_all_get_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("made on the way");
        let flag = [("data_dir", "--data-dir", Some(data_dir.display().to_string()))];
        let (settings, _, _) = super::super::read(None, [], &flag);
        let secrets: Vec<String> = std::thread::scope(|scope| {
            let making: Vec<_> = (0..8).map(|_| scope.spawn(|| settings.server_secret().unwrap())).collect();
            making.into_iter().map(|made| made.join().unwrap().expose().to_owned()).collect()
        });
        assert!(secrets.iter().all(|secret| secret == &secrets[0]));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&data_dir), mode(&settings.secret_file().unwrap())), (0o700, 0o600));
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1, "unfinished files stay behind");
    }
}
