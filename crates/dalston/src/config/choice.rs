//! The settings that are one of several names.

use dalston_audio::VadKind;
use dalston_egress::Allowed;
use dalston_engine_loopback::Behaviour;
use dalston_engine_sdk::Profile;
use dalston_gateway::auth::AuthMode;

use super::value::{Choice, Named, Value};

/// What recognises speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineName {
    /// Debian's PocketSphinx.
    PocketSphinx,
    /// Another server.
    Remote,
    /// Whisper models, where it is built in.
    Whisper,
    /// ONNX models, where it is built in.
    Sherpa,
    /// Makes up words, for tests.
    Loopback,
}

/// Which engines run, each once, the default one first. There is at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineNames(Vec<EngineName>);

impl Value for Allowed {
    fn expected() -> String {
        "a host, an address or a network, such as media.intern, ::1 or 10.20.0.0/16".into()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for Behaviour {
    fn expected() -> String {
        "delay and delay_per_second with a time, stall_every, error_every and panic_every with a number from 1, word_times with \
         yes or no"
            .into()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Named for EngineName {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("pocketsphinx", Self::PocketSphinx),
        ("remote", Self::Remote),
        ("whisper", Self::Whisper),
        ("sherpa", Self::Sherpa),
        ("loopback", Self::Loopback),
    ];
}

impl EngineName {
    /// Every kind of engine.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.iter().map(|(_, engine)| *engine)
    }

    /// As the configuration calls it.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, engine)| *engine == self).map_or("", |(name, _)| *name)
    }
}

impl std::ops::Deref for EngineNames {
    type Target = [EngineName];

    fn deref(&self) -> &[EngineName] {
        &self.0
    }
}

impl Value for EngineNames {
    fn expected() -> String {
        format!("{}, or several of them parted by commas, each once", Choice::<EngineName>::expected())
    }

    fn parse(text: &str) -> Option<Self> {
        let names: Vec<EngineName> = Vec::<Choice<EngineName>>::parse(text)?.into_iter().map(|it| it.0).collect();
        let is_new = |(at, name): (usize, &EngineName)| !names[..at].contains(name);
        (!names.is_empty() && names.iter().enumerate().all(is_new)).then_some(Self(names))
    }
}

impl Named for AuthMode {
    const NAMES: &'static [(&'static str, Self)] = &[("none", Self::None), ("keys", Self::Keys)];
}

impl Named for Profile {
    const NAMES: &'static [(&'static str, Self)] = &[("balanced", Self::Balanced), ("low-latency", Self::LowLatency)];
}

impl Named for VadKind {
    const NAMES: &'static [(&'static str, Self)] = &[
        (Self::Confirmed.name(), Self::Confirmed),
        (Self::WebRtc.name(), Self::WebRtc),
        (Self::Earshot.name(), Self::Earshot),
    ];
}
