//! Low-rate spans: one per request, allocation or session. The hot path has [`SessionTrace`](crate::SessionTrace).

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use opentelemetry::trace::{Link, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use pin_project_lite::pin_project;

use crate::label::{AttrValue, Label};
use crate::names::{self, Key, key};
use crate::outcome::SessionOutcome;
use crate::{Component, TraceContext, Tracers};

/// The catalogue of low-rate spans.
impl Tracers {
    /// SERVER span of one WebSocket session, in the gateway's lane. `route` is the route's template; `traceparent` is what
    /// the handshake brought: it becomes the parent, but its wish to be sampled is not heard.
    pub fn websocket(&self, route: &str, traceparent: Option<&str>) -> Span {
        if self.is_off() {
            return Span::none();
        }
        let name = match names::span::WEBSOCKET_STREAM.strip_prefix(names::span::WEBSOCKET_PREFIX) {
            Some(stream) if stream == route => Cow::Borrowed(names::span::WEBSOCKET_STREAM),
            _ => Cow::Owned(format!("{}{}", names::span::WEBSOCKET_PREFIX, Label::new(route).as_str())),
        };
        let span = self.server(name, traceparent);
        span.label(key::HTTP_ROUTE, route);
        span
    }

    /// SERVER span of one HTTP request, in the gateway's lane, named `METHOD route`.
    pub fn http_server(&self, method: &str, route: &str, traceparent: Option<&str>) -> Span {
        if self.is_off() {
            return Span::none();
        }
        let (method, route) = (Label::new(method), Label::new(route));
        let span = self.server(Cow::Owned(format!("{} {}", method.as_str(), route.as_str())), traceparent);
        span.set(key::HTTP_REQUEST_METHOD, &method);
        span.set(key::HTTP_METHOD, method);
        span.set(key::HTTP_ROUTE, route);
        span
    }

    /// `session_router.allocate`, in the session router's lane.
    pub fn allocate(&self, parent: &TraceContext) -> Span {
        let name = Cow::Borrowed(names::span::ALLOCATE);
        self.open(Component::SessionRouter, SpanKind::Internal, name, &parent.as_parent())
    }

    /// A span of a job. Its name comes from [`names::span`], or is a stage's or an engine's; `linked` is a span that it
    /// repeats, such as that of an earlier attempt.
    pub fn step(
        &self,
        component: Component,
        kind: StepKind,
        name: impl Into<Cow<'static, str>>,
        parent: &TraceContext,
        linked: &TraceContext,
    ) -> Span {
        let Some(pipeline) = self.pipeline() else { return Span::none() };
        let name = match name.into() {
            Cow::Owned(name) => Cow::Owned(Label::new(&name).as_str().to_owned()),
            borrowed => borrowed,
        };
        let kind = match kind {
            StepKind::Internal => SpanKind::Internal,
            StepKind::Producer => SpanKind::Producer,
            StepKind::Consumer => SpanKind::Consumer,
            StepKind::Client => SpanKind::Client,
        };
        let tracer = pipeline.tracer(component);
        let links = linked.span_context().map(|context| Link::new(context, Vec::new(), 0));
        let builder = tracer.span_builder(name).with_kind(kind).with_links(links.into_iter().collect());
        let span = tracer.build_with_context(builder, &parent.as_parent());
        Span(Some(Context::new().with_span(span)))
    }

    /// CLIENT span of a call to a database, named after what it does: `operation` is the command or statement without its
    /// values, `procedure` the script that it runs, `server` host and port.
    pub fn database(
        &self,
        component: Component,
        system: &'static str,
        operation: &'static str,
        procedure: Option<&'static str>,
        server: (&str, u16),
        parent: &TraceContext,
    ) -> Span {
        let span = self.open(component, SpanKind::Client, Cow::Borrowed(operation), &parent.as_parent());
        span.set(key::DB_SYSTEM_NAME, system);
        span.set(key::DB_OPERATION_NAME, operation);
        if let Some(procedure) = procedure {
            span.set(key::DB_STORED_PROCEDURE_NAME, procedure);
        }
        span.label(key::SERVER_ADDRESS, server.0);
        span.set(key::SERVER_PORT, server.1);
        span
    }

    fn server(&self, name: Cow<'static, str>, traceparent: Option<&str>) -> Span {
        let parent = traceparent.map_or_else(TraceContext::none, TraceContext::from_traceparent);
        self.open(Component::Gateway, SpanKind::Server, name, &parent.as_parent())
    }

    fn open(&self, component: Component, kind: SpanKind, name: Cow<'static, str>, parent: &Context) -> Span {
        let Some(pipeline) = self.pipeline() else { return Span::none() };
        let tracer = pipeline.tracer(component);
        let span = tracer.build_with_context(tracer.span_builder(name).with_kind(kind), parent);
        Span(Some(Context::new().with_span(span)))
    }
}

/// What a step of a job is to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Nothing in particular.
    Internal,
    /// It puts a message into a queue.
    Producer,
    /// It works on a message out of one.
    Consumer,
    /// It calls another service.
    Client,
}

/// What a span does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessagingOperation {
    /// Puts it into its queue.
    Send,
    /// Works on it.
    Process,
}

/// A span of the catalogue. It ends when it is dropped; off, it is nothing at all.
#[derive(Debug, Default)]
pub struct Span(Option<Context>);

impl Span {
    /// The span of a process without tracing.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Whether anybody will see it.
    pub fn is_recording(&self) -> bool {
        self.0.as_ref().is_some_and(|cx| cx.span().is_recording())
    }

    /// Sets an attribute. Keys are not deduplicated downstream: set each once.
    pub fn set(&self, key: Key, value: impl Into<AttrValue>) {
        if let Some(cx) = &self.0 {
            cx.span().set_attribute(KeyValue::new(key.as_str(), value.into().0));
        }
    }

    /// Sets an attribute to an id, a route or the like; what is no [`Label`] is redacted. Free when off.
    pub fn label(&self, key: Key, text: &str) {
        if self.0.is_some() {
            self.set(key, Label::new(text));
        }
    }

    /// Adds an event; its name comes from [`names::event`](crate::names::event).
    pub fn event<const N: usize>(&self, name: &'static str, attributes: [(Key, AttrValue); N]) {
        if let Some(cx) = &self.0 {
            let attributes = attributes.into_iter().map(|(key, value)| KeyValue::new(key.as_str(), value.0)).collect();
            cx.span().add_event(name, attributes);
        }
    }

    /// Links it to a span of which it is no child, but with which it belongs together.
    pub fn link(&self, other: &TraceContext) {
        if let (Some(cx), Some(other)) = (&self.0, other.span_context()) {
            cx.span().add_link(other, Vec::new());
        }
    }

    /// Marks the span as failed. Both are words of the program: details belong in the log line beside it.
    pub fn fail(&self, kind: &'static str, message: &'static str) {
        if let Some(cx) = &self.0 {
            cx.span().set_attribute(KeyValue::new(key::ERROR_TYPE.as_str(), kind));
            cx.span().set_status(Status::error(message));
        }
    }

    /// Sets what it does with a message of this queue, by the conventions.
    pub fn messaging(&self, operation: MessagingOperation, queue: &str) {
        let (kind, name) = match operation {
            MessagingOperation::Send => ("send", "publish"),
            MessagingOperation::Process => ("process", "process"),
        };
        self.set(key::MESSAGING_SYSTEM, "dalston");
        self.label(key::MESSAGING_DESTINATION, queue);
        self.set(key::MESSAGING_OPERATION_TYPE, kind);
        self.set(key::MESSAGING_OPERATION_NAME, name);
    }

    /// Sets the status of an HTTP answer, under both conventions; 5xx is a failure.
    pub fn http_status(&self, status: u16) {
        self.set(key::HTTP_RESPONSE_STATUS_CODE, status);
        self.set(key::HTTP_STATUS_CODE, status);
        if status >= 500 {
            self.fail("http_5xx", "the server answered with an error");
        }
    }

    /// Sets how a session ended and with which close code; a fault of the server's is a failure.
    pub fn session_ended(&self, outcome: SessionOutcome, close_code: u16) {
        self.set(key::OUTCOME, outcome.as_str());
        self.set(key::CLOSE_CODE, close_code);
        if outcome.is_server_fault() {
            self.fail(outcome.as_str(), "the session did not end well");
        }
    }

    /// To make children of this span, here or elsewhere.
    pub fn context(&self) -> TraceContext {
        let span_context = self.0.as_ref().map(|cx| cx.span().span_context().clone());
        span_context.map_or_else(TraceContext::none, TraceContext::from_span_context)
    }

    /// Makes this span the current one whenever `future` is polled, so that log lines carry its ids and `tracing` spans
    /// become its children. (Not called `instrument`: with `tracing::Instrument` in scope, that would mean another thing.)
    pub fn around<F>(&self, future: F) -> InSpan<F> {
        InSpan { inner: future, context: self.0.clone() }
    }

    /// Runs `f` with this span as the current one.
    pub fn in_scope<T>(&self, f: impl FnOnce() -> T) -> T {
        let _guard = self.0.clone().map(Context::attach);
        f()
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(cx) = &self.0 {
            // Explicitly: an instrumented future that lives longer holds the context, but must not hold the span open.
            cx.span().end();
        }
    }
}

pin_project! {
    /// A future with a span as its context. It holds no guard across an await.
    #[derive(Debug)]
    pub struct InSpan<F> {
        #[pin]
        inner: F,
        context: Option<Context>,
    }
}

impl<F> InSpan<F> {
    pub(crate) fn new(inner: F, context: Option<Context>) -> Self {
        Self { inner, context }
    }
}

impl<F: Future> Future for InSpan<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _guard = this.context.clone().map(Context::attach);
        this.inner.poll(task)
    }
}
