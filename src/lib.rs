//! **Tributary** makes the Prometheus servers of many Kubernetes clusters look like one.
//!
//! ```text
//!  clusters' /federate
//!        │ bytes
//!     cluster ──▶ scrape (parse ▶ relabel) ──▶ Snapshot ──▶ store ──▶ expose ──▶ serve: /federate ──▶ central Prometheus
//!                                                             │
//!                                                          samples ──▶ query ──▶ serve: /api/v1 ──▶ Grafana, promtool
//! ```
//!
//! `app` builds these stages from `config` and wires them; `demo` runs simulated clusters in front of them. The
//! modules stand in reading order, and a module may use only those that stand below it in this list: the test
//! `tests/it/order.rs` keeps it so.

pub mod cli;
pub mod app;
pub mod demo;
pub mod config;
pub mod grafana;
pub mod serve;
pub mod query;
pub mod promql;
pub mod scrape;
pub mod cluster;
pub mod store;
pub mod expose;
pub mod relabel;
pub mod parse;
pub mod pool;
pub mod telemetry;
pub mod model;

/// Shared with the tests of the whole.
#[cfg(test)]
#[path = "../tests/it/testdata.rs"]
mod testdata;
