//! What is deployed (`Dockerfile`, `docker-compose.yml`, `deploy/`) against the tools that read it and the binary that it starts.
//! No container engine is needed: the image's files are put together from Debian's packages, and its commands run as processes.

mod compose;
mod files;
mod helm;
mod image;
mod observability;
mod systemd;
