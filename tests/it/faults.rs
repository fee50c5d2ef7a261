//! Upstreams that misbehave: every fault has its class of error, costs its own cluster only, and heals.
#![expect(
    clippy::format_collect,
    reason = "bodies of some lines, written to be read"
)]

pub(crate) mod upstream; // a cluster that plays a script, byte by byte
pub(crate) mod proxy; // the program in process, and what it says of itself
pub(crate) mod http; // a client that sees the bytes of an answer
pub(crate) mod program; // the program as a process, with its log
mod failing; // faults that cost a round
mod lines; // faults that cost a line or a family
mod wire; // connections: kept, lost, slow, refused
mod redirects; // redirects: refused, or followed within one server
mod access; // TLS, credentials, headers
mod rotation; // certificates and keys: client certificates, names, versions, change while running
mod oauth2; // tokens: kept, renewed, refused
mod proxies; // HTTP proxies on the way
mod secrets; // planted secrets that nothing may show
mod replicas; // pairs of servers, of which one is used
mod labels; // upstreams that carry the cluster label themselves
mod loops; // ourselves as upstream
mod learned; // metadata that is refused, or hostile
mod chaos; // random bytes from everywhere
mod real; // the fake upstream beside a real Prometheus
