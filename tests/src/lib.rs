//! Support for whole-system tests: start the real binary, receive its spans, watch its log.
