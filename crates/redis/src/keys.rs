//! Names of keys.

/// Keys that share a slot of a cluster: all begin with `{prefix:part}`, and only what is in braces chooses the slot.
/// What one script touches must share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(String);

impl Keys {
    /// `prefix` tells installations that share a server apart, `part` tells the parts of one installation apart.
    ///
    /// # Panics
    /// When one of them has a brace, which would choose another slot.
    pub fn new(prefix: &str, part: &str) -> Self {
        assert!(!prefix.contains(['{', '}']) && !part.contains(['{', '}']), "a brace chooses another slot");
        Self(format!("{{{prefix}:{part}}}"))
    }

    /// `{prefix:part}:name`. The name may have braces: only the first pair counts.
    pub fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.0)
    }

    /// What all of them begin with, for scripts that make up names themselves: `{prefix:part}:`.
    pub fn prefix(&self) -> String {
        self.key("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_does_not_choose_the_slot() {
        let keys = Keys::new("dalston", "broker");
        assert_eq!(keys.key("queue:{x}"), "{dalston:broker}:queue:{x}");
        assert_eq!(keys.prefix() + "served", keys.key("served"));
    }
}
