# Two stages: the whole toolchain builds, and what runs has nothing but the program, glibc, libgcc and the certificate
# authorities; no shell, no root. Both are Debian 12, so the program finds the glibc that it was built with.
#
#   docker build -t tributary:0.1.0 .
#   docker run --rm -p 9095:9095 tributary:0.1.0 demo

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
# Cargo.toml names them.
COPY benches benches
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin tributary \
    && strip -o /tributary target/release/tributary

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /tributary /usr/bin/tributary
COPY LICENSE /usr/share/doc/tributary/LICENSE
# The user of the Deployment in config/kubernetes.
USER 65532:65532
EXPOSE 9095
ENTRYPOINT ["/usr/bin/tributary"]
