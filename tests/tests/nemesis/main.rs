//! What is promised while processes die, stand still and lose what they need: all at once, and one at a time. One program, so that
//! the waits of the one pass beside those of the other.

mod everything;
mod registry_away;
