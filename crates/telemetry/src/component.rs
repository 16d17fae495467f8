//! The parts of the product, each of which exports under a service name of its own, also when all of them share one
//! process: a viewer shows the same lanes as for a cluster.

/// A part of the product that has a lane in a trace viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Component {
    /// HTTP and WebSocket edge. The only one that talks to strangers, so their sampling wishes end here.
    Gateway,
    /// Registry and allocation.
    SessionRouter,
    /// Session loop of the realtime worker.
    Realtime,
    /// Jobs: planning, scheduling, assembly.
    Orchestrator,
    /// Engines that read uploads.
    EnginePrepare,
    /// Engines that recognise speech in files.
    EngineTranscribe,
    /// Engines that give words their times.
    EngineAlign,
    /// Engines that tell speakers apart.
    EngineDiarize,
    /// Engines of any other stage.
    EngineOther,
    /// Whatever belongs to the process and to none of the above.
    Process,
}

impl Component {
    /// All of them, in the order of [`Component::index`].
    pub const ALL: [Component; Self::COUNT] = [
        Self::Gateway,
        Self::SessionRouter,
        Self::Realtime,
        Self::Orchestrator,
        Self::EnginePrepare,
        Self::EngineTranscribe,
        Self::EngineAlign,
        Self::EngineDiarize,
        Self::EngineOther,
        Self::Process,
    ];

    /// How many there are.
    pub const COUNT: usize = 10;

    /// The lane of the engines of this stage.
    pub fn engine(stage: &str) -> Self {
        match stage {
            "prepare" => Self::EnginePrepare,
            "transcribe" => Self::EngineTranscribe,
            "align" => Self::EngineAlign,
            "diarize" => Self::EngineDiarize,
            _ => Self::EngineOther,
        }
    }

    /// Position in [`Component::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether callers of this component are strangers.
    pub const fn is_public_edge(self) -> bool {
        matches!(self, Self::Gateway)
    }

    /// Default service name; `Process` is whatever the process was configured as.
    pub const fn service_name(self) -> Option<&'static str> {
        match self {
            Self::Gateway => Some("dalston-gateway"),
            Self::SessionRouter => Some("dalston-session-router"),
            Self::Realtime => Some("dalston-realtime"),
            Self::Orchestrator => Some("dalston-orchestrator"),
            Self::EnginePrepare => Some("dalston-engine-prepare"),
            Self::EngineTranscribe => Some("dalston-engine-transcribe"),
            Self::EngineAlign => Some("dalston-engine-align"),
            Self::EngineDiarize => Some("dalston-engine-diarize"),
            Self::EngineOther => Some("dalston-engine"),
            Self::Process => None,
        }
    }

    /// The component a `tracing` target (a module path) belongs to.
    pub fn of_target(target: &str) -> Self {
        let krate = target.split_once("::").map_or(target, |(krate, _)| krate);
        match krate {
            "dalston_gateway" => Self::Gateway,
            "dalston_session_router" => Self::SessionRouter,
            "dalston_realtime" => Self::Realtime,
            "dalston_orchestrator" => Self::Orchestrator,
            "dalston_engine_runner" => Self::EngineOther,
            _ => Self::Process,
        }
    }
}

/// Service names of this process, one per component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceNames([String; Component::COUNT]);

impl ServiceNames {
    /// `service` is what the role calls itself, `overriding` is `OTEL_SERVICE_NAME`.
    ///
    /// A process that is one component takes the override as it stands. A process that holds several keeps its lanes:
    /// there the override replaces the `dalston` they begin with (`acme` → `acme-gateway`, `acme-realtime`, …).
    pub fn new(service: &str, overriding: Option<&str>) -> Self {
        let single_role = Component::ALL.iter().find(|c| c.service_name() == Some(service));
        Self(Component::ALL.map(|component| match (component.service_name(), overriding) {
            (_, Some(name)) if single_role == Some(&component) => name.to_owned(),
            (Some(own), Some(prefix)) => own.replacen("dalston", prefix, 1),
            (Some(own), None) => own.to_owned(),
            (None, name) => name.unwrap_or(service).to_owned(),
        }))
    }

    /// The name `component` exports under.
    pub fn of(&self, component: Component) -> &str {
        &self.0[component.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_keep_their_lanes_in_one_process() {
        let names = ServiceNames::new("dalston", None);
        assert_eq!(names.of(Component::Gateway), "dalston-gateway");
        assert_eq!(names.of(Component::engine("prepare")), "dalston-engine-prepare");
        assert_eq!(names.of(Component::Process), "dalston");
        let different: std::collections::HashSet<&str> = Component::ALL.iter().map(|c| names.of(*c)).collect();
        assert_eq!(different.len(), Component::COUNT);
    }

    #[test]
    fn an_override_names_a_single_role_and_prefixes_several() {
        let one = ServiceNames::new("dalston-realtime", Some("captions"));
        assert_eq!(one.of(Component::Realtime), "captions");
        let several = ServiceNames::new("dalston", Some("acme"));
        assert_eq!(several.of(Component::Realtime), "acme-realtime");
        assert_eq!(several.of(Component::Process), "acme");
    }

    #[test]
    fn a_target_belongs_to_its_crate_and_not_to_its_prefix() {
        assert_eq!(Component::of_target("dalston_realtime::session"), Component::Realtime);
        assert_eq!(Component::of_target("dalston_gateway"), Component::Gateway);
        assert_eq!(Component::of_target("dalston_gateway_tools::x"), Component::Process);
    }
}
