//! Tests of the whole: the program in process and as a binary, alone, and between real Prometheus servers.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "tests print what they measure")]

// What the other modules share: the App in process, HTTP, real servers, waiting.
mod support;
// Cases of the folder that TRIBUTARY_TESTDATA names.
#[path = "testdata.rs"]
mod testdata;
// Which module of src/ may use which.
mod order;
// Licences, bans and number of the packages that are built in.
mod licences;
// The command line: exit codes, messages, signals.
mod binary;
// The provisioning file of Grafana's data sources.
mod grafana;
// The files for Kubernetes: Kustomize, schemas, the configuration inside.
mod kubernetes;
// The YAML of README.md.
mod readme;
// What the Dockerfile copies and what the program needs in its image.
mod image;
// A Prometheus configuration turned into ours.
mod import;
// Clusters asked once, by `check-config --online`.
mod online;
// Queries: upstream's own scripts.
mod promqltest;
// The engine over the window against a real Prometheus over blocks of the same samples.
mod blocks;
// Selectors: Prometheus' own /federate against ours, and our own vectors.
mod scenarios;
// PromQL: messages, places and format of a real server.
mod language;
// Three real Prometheus servers, two centres.
mod real;
// Two Tributaries side by side.
mod pair;
// Upstreams that fail, lie or never end, and what their clusters show then.
mod faults;
// The configuration read anew while everything runs.
mod reload;
// A pair of real Prometheus servers, of which one at a time is lost.
mod replicas;
// One cluster through us: its API, its page, a central Prometheus with one target per cluster.
mod passing;
// What is kept of the recent rounds.
mod window;
// The query API: shapes, clients, bad input.
mod api;
// Clients that ask for nonsense, read slowly, or come by the thousand.
mod clients;
// Our own door: TLS, client certificates, passwords, files that change.
mod door;
