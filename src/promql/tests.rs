//! The language as a whole: upstream's tables, what is printed against what is read, another parser, limits.

mod errors;
mod limits;
mod others;
mod printing;
mod random;
mod upstream;

use crate::promql::ast::Expr;
use crate::promql::{Features, parse_expr, print_expr};

/// Reads with everything experimental switched on.
fn parse(input: &str) -> Expr {
    parse_expr(input, Features::all()).unwrap_or_else(|err| panic!("{input}: {err}"))
}

/// Prints what was read, and reads that again: the same tree, which prints the same.
fn round_trip(input: &str) -> String {
    let expr = parse(input);
    let printed = print_expr(&expr);
    let again = parse(&printed);
    assert_eq!(again, expr, "{input} became {printed}");
    assert_eq!(print_expr(&again), printed, "{input}");
    printed
}
