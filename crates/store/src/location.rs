//! Where artifacts and finished sessions are kept, as a setting says it.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use url::Url;

use crate::StoreError;

/// A folder of this machine, or a bucket that many machines share.
///
/// Written as a path, as `file:///path`, or as `s3://bucket/prefix`. How the bucket is reached stands in the environment, as for
/// every program that speaks S3: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, and
/// `AWS_ENDPOINT_URL` or `AWS_ENDPOINT_URL_S3` for a server that is not Amazon's. Without keys, those that the machine, the pod
/// or the task was given are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub(crate) kind: Kind,
    pub(crate) access: Option<Access>,
}

/// What a location names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder(PathBuf),
    Bucket {
        name: String,
        /// Names parted by `/`; empty for the whole bucket.
        prefix: String,
    },
}

/// Environment variables. Some are secret, so that nobody prints them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Access(Arc<[(String, String)]>);

impl Location {
    /// A folder.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self { kind: Kind::Folder(path.into()), access: None }
    }

    /// The same, reached with these variables in place of those of the process.
    #[must_use]
    pub fn with_variables<K: Into<String>, V: Into<String>>(self, variables: impl IntoIterator<Item = (K, V)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { access: Some(Access(variables.collect())), ..self }
    }

    /// Whether other machines can reach it, too.
    pub fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::Bucket { .. })
    }
}

impl Access {
    pub(crate) fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with("AWS_")).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A variable that says something.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, value)| *other == name && !value.is_empty()).map(|(_, value)| value)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl FromStr for Location {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        // What was written is not repeated: it may hold a password.
        let wrong = |reason: &str| StoreError::InvalidLocation { reason: reason.into() };
        let Some((scheme, _)) = text.split_once("://") else {
            if text.is_empty() || text.starts_with("s3:") || text.starts_with("file:") {
                return Err(wrong("it is a path, `file:///path` or `s3://bucket/prefix`"));
            }
            return Ok(Self::folder(text));
        };
        let url = Url::parse(text).map_err(|error| wrong(&format!("it is no URL: {error}")))?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "nothing but a bucket and a prefix stands in it; keys stand in AWS_ACCESS_KEY_ID and \
                              AWS_SECRET_ACCESS_KEY, the server in AWS_ENDPOINT_URL",
            ));
        }
        match scheme {
            "file" => {
                let path =
                    url.to_file_path().map_err(|()| wrong("`file:///path` has three slashes and names no host"))?;
                Ok(Self::folder(path))
            }
            "s3" => {
                let name = url.host_str().filter(|name| is_bucket(name));
                let name =
                    name.ok_or_else(|| wrong("a bucket has 3 to 63 letters in lower case, digits, `.` and `-`"))?;
                let prefix = url.path().trim_matches('/');
                if !prefix.is_empty() && !prefix.split('/').all(crate::artifacts::is_name) {
                    return Err(wrong("names in the prefix are of letters, digits, `.`, `-` and `_`"));
                }
                Ok(Self { kind: Kind::Bucket { name: name.into(), prefix: prefix.into() }, access: None })
            }
            _ => Err(wrong("only `file` and `s3` are known")),
        }
    }
}

fn is_bucket(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    (3..=63).contains(&name.len()) && name.chars().all(allowed)
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Folder(path) => path.display().fmt(f),
            Kind::Bucket { name, prefix } if prefix.is_empty() => write!(f, "s3://{name}"),
            Kind::Bucket { name, prefix } => write!(f, "s3://{name}/{prefix}"),
        }
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::folder(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_path_or_a_bucket() {
        for (written, shown, is_shared) in [
            ("/var/lib/dalston", "/var/lib/dalston", false),
            ("files", "files", false),
            ("file:///var/lib/a%20b", "/var/lib/a b", false),
            ("s3://my-bucket", "s3://my-bucket", true),
            ("s3://my-bucket/", "s3://my-bucket", true),
            ("s3://my-bucket/a/b.c/", "s3://my-bucket/a/b.c", true),
        ] {
            let location: Location = written.parse().unwrap();
            assert_eq!((location.to_string().as_str(), location.is_shared()), (shown, is_shared), "{written}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_what_was_written() {
        for wrong in [
            "",
            "s3:bucket",
            "s3://",
            "s3://Secret",
            "s3://ab",
            "s3://id:Secret@bucket/a",
            "s3://bucket/a?key=Secret",
            "s3://bucket/Secret/../a b",
            "gs://bucket",
            "file://Secret/a",
        ] {
            let error = wrong.parse::<Location>().unwrap_err().to_string();
            assert!(!error.contains("Secret") && error.contains("artifacts.url"), "{wrong}: {error}");
        }
    }

    #[test]
    fn variables_are_never_shown() {
        let location: Location = "s3://bucket".parse().unwrap();
        let shown = format!("{:?}", location.with_variables([("AWS_SECRET_ACCESS_KEY", "hidden")]));
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hidden"), "{shown}");
    }
}
