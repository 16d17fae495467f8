//! Where artifacts and kept sessions go.

use dalston_store::Location;

use super::value::Value;

impl Value for Location {
    fn expected() -> String {
        "a path, file:///path or s3://bucket/prefix; keys and the server of a bucket stand in AWS_ACCESS_KEY_ID, \
         AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL"
            .into()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    /// Not when it is right; but somebody may have written a key into it.
    fn is_secret() -> bool {
        true
    }
}
