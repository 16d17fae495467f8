//! The server under test as the machine sees it: its processes, and the port they answer at.

mod child;
mod observer;
mod port;
mod processes;
mod target;

pub use child::ServerChild;
pub use observer::{Observer, Sample};
pub use port::listener;
pub use processes::{Memory, ProcessTree, Usage};
pub use target::Target;
