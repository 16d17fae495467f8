//! Whole traces: kept or not. (Within a kept session, [`crate::sampling`] tosses coins.)
//!
//! * A span follows its parent of the same process, always: half a trace helps nobody.
//! * A span whose parent is another Dalston process follows it, if the policy is parent-based.
//! * At the public edge the parent is a stranger. Its ids are taken over, its wish is not: the root sampler decides. A
//!   stranger also chooses the trace id, so there a ratio is a coin of ours and not a function of that id.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// Decides for traces that begin here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RootSampler {
    /// Keep all.
    AlwaysOn,
    /// Keep none.
    AlwaysOff,
    /// Keep this share.
    Ratio(f64),
}

/// `OTEL_TRACES_SAMPLER`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerPolicy {
    /// For traces that begin here, and for those of strangers.
    pub root: RootSampler,
    /// Whether another Dalston process that already decided is followed.
    pub parent_based: bool,
}

impl Default for SamplerPolicy {
    fn default() -> Self {
        Self { root: RootSampler::AlwaysOn, parent_based: true }
    }
}

impl SamplerPolicy {
    pub(crate) const HINT: &str = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or \
                                   parentbased_traceidratio";

    /// The policy behind a name of the OpenTelemetry specification; a ratio is 1 until its argument says otherwise.
    pub fn from_name(name: &str) -> Option<Self> {
        let (parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let root = match root {
            "always_on" => RootSampler::AlwaysOn,
            "always_off" => RootSampler::AlwaysOff,
            "traceidratio" => RootSampler::Ratio(1.0),
            _ => return None,
        };
        Some(Self { root, parent_based })
    }
}

/// The policy as it applies to one component.
#[derive(Clone, Debug)]
pub(crate) struct ComponentSampler {
    policy: SamplerPolicy,
    is_public_edge: bool,
}

impl ComponentSampler {
    pub(crate) fn new(policy: SamplerPolicy, is_public_edge: bool) -> Self {
        Self { policy, is_public_edge }
    }

    fn keeps(&self, parent: Option<&Context>, trace_id: TraceId) -> bool {
        let parent = parent.map(|cx| cx.span().span_context().clone()).filter(|span| span.is_valid());
        match parent {
            Some(parent) if !parent.is_remote() => parent.is_sampled(),
            Some(_) if self.is_public_edge => self.keeps_stranger(),
            Some(parent) if self.policy.parent_based => parent.is_sampled(),
            _ => self.keeps_root(trace_id),
        }
    }

    fn keeps_stranger(&self) -> bool {
        match self.policy.root {
            RootSampler::AlwaysOn => true,
            RootSampler::AlwaysOff => false,
            RootSampler::Ratio(ratio) => rand::random_bool(ratio),
        }
    }

    fn keeps_root(&self, trace_id: TraceId) -> bool {
        match self.policy.root {
            RootSampler::AlwaysOn => true,
            RootSampler::AlwaysOff => false,
            RootSampler::Ratio(ratio) => {
                let sdk = Sampler::TraceIdRatioBased(ratio);
                let verdict = sdk.should_sample(None, trace_id, "", &SpanKind::Internal, &[], &[]);
                verdict.decision == SamplingDecision::RecordAndSample
            }
        }
    }
}

impl ShouldSample for ComponentSampler {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        _name: &str,
        _kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        let keeps = self.keeps(parent_context, trace_id);
        let decision = if keeps { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
        SamplingResult { decision, attributes: Vec::new(), trace_state: TraceState::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TraceContext;
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags};

    const STRANGER_WANTS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const STRANGER_REFUSES: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn keeps(policy: &str, ratio: f64, edge: bool, traceparent: &str) -> bool {
        let mut policy = SamplerPolicy::from_name(policy).unwrap();
        if let RootSampler::Ratio(r) = &mut policy.root {
            *r = ratio;
        }
        let parent = TraceContext::from_traceparent(traceparent).as_parent();
        ComponentSampler::new(policy, edge).keeps(Some(&parent), TraceId::from(7))
    }

    #[test]
    fn a_stranger_cannot_force_sampling_at_the_edge() {
        assert!(!keeps("parentbased_always_off", 0.0, true, STRANGER_WANTS));
        assert!(!keeps("parentbased_traceidratio", 0.0, true, STRANGER_WANTS));
        assert!(keeps("parentbased_always_on", 0.0, true, STRANGER_REFUSES));
    }

    #[test]
    fn a_chosen_trace_id_cannot_force_sampling_at_the_edge() {
        let lowest = "00-00000000000000000000000000000001-00f067aa0ba902b7-01";
        let kept = (0..1000).filter(|_| keeps("traceidratio", 0.01, true, lowest)).count();
        assert!(kept < 50, "{kept} of 1000 at one in a hundred");
    }

    #[test]
    fn behind_the_edge_another_process_is_followed_when_parent_based() {
        assert!(keeps("parentbased_always_off", 0.0, false, STRANGER_WANTS));
        assert!(!keeps("parentbased_always_on", 0.0, false, STRANGER_REFUSES));
        assert!(!keeps("always_off", 0.0, false, STRANGER_WANTS));
    }

    #[test]
    fn a_local_parent_is_followed_whatever_the_policy_says() {
        for sampled in [true, false] {
            let flags = TraceFlags::default().with_sampled(sampled);
            let local = SpanContext::new(TraceId::from(1), SpanId::from(2), flags, false, TraceState::default());
            let parent = TraceContext::from_span_context(local).as_parent();
            for root in [RootSampler::AlwaysOn, RootSampler::AlwaysOff, RootSampler::Ratio(0.5)] {
                let sampler = ComponentSampler::new(SamplerPolicy { root, parent_based: false }, true);
                assert_eq!(sampler.keeps(Some(&parent), TraceId::from(1)), sampled);
            }
        }
    }
}
