# syntax=docker/dockerfile:1
# The service as one static binary and nothing else, that runs as nobody on a file system that it cannot write but for /data:
#   docker build -t consent .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges -v consent-data:/data -p 127.0.0.1:8080:8080 \
#     -e CONSENT_TRUSTED_PROXIES=172.17.0.0/16 consent
# The bridge's gateway is every connection's peer: without the last, all visitors share one client's limits (docs/operation.md).

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN make static
RUN install -d -o 65532 -g 65532 -m 0700 /data

# No shell, no libraries. The roots that webhooks' certificates are checked against are in the binary; names are resolved by DNS and
# /etc/hosts, which the container's runtime provides.
FROM scratch
COPY --from=build /src/target/static/consent /usr/local/bin/consent
COPY --from=build --chown=65532:65532 /data /data
ENV CONSENT_DATA=/data \
    CONSENT_LISTEN=0.0.0.0:8080 \
    CONSENT_LOG_FORMAT=json
USER 65532:65532
# Also where the database puts what does not fit into memory while it sorts: there is no /tmp.
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["/usr/local/bin/consent", "doctor", "--health"]
ENTRYPOINT ["/usr/local/bin/consent"]
CMD ["serve"]
