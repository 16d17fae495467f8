//! HTTP and WebSocket at the edge: authentication, limits, dialects.
