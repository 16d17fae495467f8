//! Runs a native engine in a child process that forks a stream after loading its model.
