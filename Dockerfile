# An image that holds one static program, the certificates it believes, and an empty folder for SQLite: no shell, no
# libraries, nothing to keep up to date but Parlour itself. Build it with BuildKit: docker build -t parlour .

FROM rust:1-slim-bookworm AS build
# What the allocator is built with.
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The registry and what was compiled stay in caches between builds, so that a change compiles what has changed.
#
# Linked with glibc, all of it inside: Parlour was measured with it, and musl's allocator, which SQLite would use, is slow
# under threads. Since 2.34, glibc finds names by /etc/hosts and DNS without loading libraries, so a static program does,
# too; the linker's warning about getaddrinfo speaks of other ways, like LDAP. With --target named, even where it is
# the machine's own, the flags leave macros alone, which are libraries and cannot be static.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    target="$(rustc --print host-tuple)" \
    && RUSTFLAGS='-C target-feature=+crt-static' \
       cargo build --release --locked --bin parlour --target "$target" \
    && mkdir -p /image/etc/ssl/certs /image/data \
    && cp "target/$target/release/parlour" /image/parlour \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && chown 65532:65532 /image/data

FROM scratch
COPY --from=build /image/ /
# As a number, so that Kubernetes can see that it is not root; nobody needs a name here.
USER 65532:65532
# The one folder that this user may write. Without a PARLOUR_DATABASE_URL, parlour.db is made here: mount a volume, or
# it goes with the container.
WORKDIR /data
# Not PARLOUR_LISTEN, which would go before the PORT that a platform sets.
ENV PORT=8080
EXPOSE 8080
STOPSIGNAL SIGTERM
# No HEALTHCHECK: it would need a program in here to ask with. Whoever runs the image asks /healthz and /readyz.
ENTRYPOINT ["/parlour"]
