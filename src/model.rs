//! The vocabulary that every stage shares: labels, matchers, RE2 regular expressions, metadata. No IO, no clock, no log.

pub mod labels;
pub mod matcher;
pub mod regex;
pub mod metadata;
pub mod quote;
