//! Which engines there are now.

use std::sync::{Arc, PoisonError, RwLock};

use super::EngineInfo;

/// The engines that jobs can be planned with, preferred first. A clone is the same catalogue.
///
/// Where all engines run in this process it never changes; where they run elsewhere, whoever hears of them replaces it.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    engines: Arc<RwLock<Arc<[EngineInfo]>>>,
}

impl Catalogue {
    /// The engines as they are now. What is planned with them stays whole while others come and go.
    pub fn now(&self) -> Arc<[EngineInfo]> {
        // Nobody panics while holding it; a catalogue that was poisoned all the same is still a whole one.
        self.engines.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts others in their place. `true`: they are not the same.
    pub fn replace(&self, engines: Vec<EngineInfo>) -> bool {
        if *self.now() == *engines {
            return false;
        }
        *self.engines.write().unwrap_or_else(PoisonError::into_inner) = engines.into();
        true
    }
}

impl From<Vec<EngineInfo>> for Catalogue {
    fn from(engines: Vec<EngineInfo>) -> Self {
        Self { engines: Arc::new(RwLock::new(engines.into())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Stage;

    #[test]
    fn what_is_planned_with_stays_while_engines_come_and_go() {
        let catalogue = Catalogue::from(vec![EngineInfo::new("first", Stage::PREPARE)]);
        let (planned, other) = (catalogue.now(), catalogue.clone());
        assert!(other.replace(vec![EngineInfo::new("second", Stage::PREPARE)]));
        assert_eq!(planned[0].engine_id, "first");
        assert_eq!(catalogue.now()[0].engine_id, "second");
        assert!(!catalogue.replace(other.now().to_vec()), "the same again is no news");
    }
}
