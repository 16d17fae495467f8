//! Spans, sampling, propagation, log format and metrics: every name an operator sees.
