//! Speech recognition, speakers and punctuation by models in ONNX format, through sherpa-onnx.

#![forbid(unsafe_code)]

/// The engine's id.
pub const ENGINE_ID: &str = "sherpa";
