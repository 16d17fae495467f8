//! Dalston: a speech-to-text server you can see into.
