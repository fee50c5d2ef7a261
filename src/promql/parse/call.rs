//! `name(args…)`, and the arguments of aggregations.

use super::expr::{Level, begins_expression};
use super::{Built, Parser, Read};
use crate::promql::ast::{Call, Expr, Span};
use crate::promql::features::Feature;
use crate::promql::functions::{FUNCTIONS, Function, function};
use crate::promql::lex::{Kind, Token};
use crate::promql::print::quote;

impl<'a> Parser<'a> {
    /// A call whose name has been read.
    pub(super) fn call(&mut self, name: &Token<'a>) -> Read<Built> {
        let (args, end) = self.arguments()?;
        let function = self.function(name);
        let height = args.iter().map(|arg| arg.height).max().unwrap_or(0);
        let height = self.above(name.start, height)?;
        let call = Call {
            function,
            args: args.into_iter().map(|arg| *arg.expr).collect(),
            span: Span::new(name.start, end),
        };
        Ok(Built {
            expr: Box::new(Expr::Call(call)),
            height,
        })
    }

    /// Looks a function up. If there is none it is a mistake, and what is given stands in a tree that nobody sees.
    fn function(&mut self, name: &Token<'a>) -> &'static Function {
        // `start`, `end`, `step` and `range` are words of the language too, so their case does not count.
        let lower = match name.kind {
            Kind::Preprocessor(_) => name.text.to_ascii_lowercase(),
            _ => name.text.to_owned(),
        };
        let Some(function) = function(&lower) else {
            let message = format!("unknown function with name {}", quote(name.text));
            self.mistake(name.start, message);
            return &FUNCTIONS[0];
        };
        if function.experimental && !self.has(Feature::ExperimentalFunctions) {
            let message = format!("function {} is not enabled", quote(function.name));
            self.mistake(name.start, message);
        }
        function
    }

    /// Arguments with their parentheses, and the offset behind.
    pub(super) fn arguments(&mut self) -> Read<(Vec<Built>, usize)> {
        self.expect(Kind::LeftParen)?;
        let mut args = Vec::new();
        if let Some(close) = self.accept(Kind::RightParen)? {
            return Ok((args, close.end()));
        }
        args.push(self.deeper(|p| p.expression(Level::Or))?);
        loop {
            let token = self.next()?;
            match token.kind {
                Kind::RightParen => return Ok((args, token.end())),
                // With nothing behind it that begins an expression, upstream's table takes the comma for a trailing one.
                Kind::Comma if begins_expression(self.peek()?.kind) => {
                    args.push(self.deeper(|p| p.expression(Level::Or))?);
                }
                Kind::Comma => {
                    let message = "trailing commas not allowed in function call args";
                    self.mistake(token.start, message);
                }
                _ => return Err(self.unexpected(&token)),
            }
        }
    }
}
