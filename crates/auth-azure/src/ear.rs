//! Hears what is logged, in tests.

/// Calls a function with the target of each event.
pub(crate) struct Ear<F>(F);

impl<F: Fn(String) + Send + Sync + 'static> Ear<F> {
    pub(crate) fn new(hear: F) -> Self {
        Self(hear)
    }
}

impl<F: Fn(String) + Send + Sync + 'static> tracing::Subscriber for Ear<F> {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        (self.0)(event.metadata().target().to_owned());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
