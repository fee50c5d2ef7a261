//! Clients of the merged endpoint: what they get and how it is framed, those that ask for nonsense, stop reading, or
//! come by the thousand.

mod answers; // status codes, headers, framing, and the same page in every coding
mod limits; // slow readers, many bodies, a thousand clients
mod swaps; // whole snapshots only, while they are replaced
mod load; // health probes and rounds beside readers of large pages: measured
