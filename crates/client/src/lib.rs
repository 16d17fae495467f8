//! A client of the native realtime API.
