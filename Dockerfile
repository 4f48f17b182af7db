# An image that contains one static program, the certificates that it trusts, and an empty folder for SQLite. It has no
# shell and no libraries, so nothing in it needs updates except Parlour. Build it with BuildKit: docker build -t parlour .

# The version of rust-toolchain.toml.
FROM rust:1.95-slim-bookworm AS build
# The build of the allocator needs make.
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The registry and the compiled libraries stay in caches between builds, so that a build compiles only what has changed.
#
# The program is linked statically with glibc. Parlour was measured with glibc, and musl's allocator, which SQLite would
# use, is slow with several threads. Since 2.34, glibc resolves names by /etc/hosts and DNS without loading libraries, so a
# static program does, too; the linker's warning about getaddrinfo concerns other ways, like LDAP. The flags do not apply
# to procedural macros, which are libraries and cannot be static, because --target is given, even if it is the machine's
# own target.
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
# A number, so that Kubernetes can verify that it is not root. No name is needed here.
USER 65532:65532
# The one folder that this user may write. Without a PARLOUR_DATABASE_URL, parlour.db is created here: mount a volume, or
# it is deleted with the container.
WORKDIR /data
# Not PARLOUR_LISTEN, which would take precedence over the PORT that a platform sets.
ENV PORT=8080
EXPOSE 8080
STOPSIGNAL SIGTERM
# No HEALTHCHECK: it would need a program in the image that sends the request. Let the platform call /healthz and /readyz.
ENTRYPOINT ["/parlour"]
