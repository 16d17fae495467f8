# The server and its default engine. Needs BuildKit, which every Docker since 23 has.
#
#   docker build -t dalston:local .
#   docker run --rm dalston:local --help

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches outlive the build; the binary must not stay in one.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package dalston && \
    install -D target/release/dalston /out/usr/local/bin/dalston

FROM debian:12-slim
LABEL org.opencontainers.image.title="Dalston" \
      org.opencontainers.image.description="A speech-to-text server you can see into" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY deploy/image/ /tmp/image/
RUN /tmp/image/install.sh && rm -r /tmp/image
COPY --from=build /out/ /
# 0.0.0.0 is the container's own network. Without keys the server refuses it; see docs/deploy.md.
ENV DALSTON_BIND=0.0.0.0:8000 DALSTON_DATA_DIR=/var/lib/dalston LOG_FORMAT=json
# All that is written, besides /tmp: the rest of the file system can be read-only.
VOLUME /var/lib/dalston
USER 10001:10001
EXPOSE 8000 8100
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["dalston", "health"]
# Drains: see DALSTON_DRAIN_TIMEOUT.
STOPSIGNAL SIGTERM
ENTRYPOINT ["dalston"]
CMD ["serve"]
