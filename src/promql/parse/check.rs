//! Types, and the other rules that hold only for a whole expression (`checkAST` in upstream's `parse.go`).
//!
//! Comes in: a tree whose syntax is good. Goes out: the same tree with its vector matching settled, or all mistakes in
//! upstream's order: parents before children where the parent does not look at their types first.

use std::collections::BTreeSet;

use super::{MISTAKES_MAX, ParseError, ParseErrors, has_non_empty_matcher};
use crate::model::labels::METRIC_NAME;
use crate::promql::ast::{
    Aggregate, Aggregator, Binary, Call, Cardinality, Expr, Subquery, Unary, ValueType,
    VectorMatching, VectorSelector,
};
use crate::promql::print::quote;

/// Checks a tree and settles what only its types tell.
pub(super) fn check(input: &str, mut expr: Expr) -> Result<Expr, ParseErrors> {
    let mut checker = Checker {
        input,
        errors: Vec::new(),
    };
    checker.expr(&mut expr);
    if checker.errors.is_empty() {
        Ok(expr)
    } else {
        Err(ParseErrors::new(checker.errors))
    }
}

/// What is wrong with a selector in an expression, if anything: two names, or nothing that it asks for.
pub(super) fn selector_mistake(selector: &VectorSelector) -> Option<String> {
    let Some(name) = &selector.name else {
        let fine = selector.may_match_everything || has_non_empty_matcher(&selector.matchers);
        return (!fine)
            .then(|| "vector selector must contain at least one non-empty matcher".to_owned());
    };
    let (_, inside) = selector.matchers.split_last()?;
    let other = inside.iter().find(|m| m.name() == METRIC_NAME)?;
    let (name, other) = (quote(name), quote(other.value()));
    Some(format!(
        "metric name must not be set twice: {name} or {other}"
    ))
}

struct Checker<'a> {
    input: &'a str,
    errors: Vec<ParseError>,
}

impl Checker<'_> {
    /// Checks an expression; its type is returned.
    fn expr(&mut self, expr: &mut Expr) -> ValueType {
        match expr {
            Expr::Number(_) | Expr::String(_) => {}
            Expr::Vector(vector) => self.vector(vector),
            Expr::Matrix(matrix) => self.vector(&matrix.selector),
            Expr::Subquery(subquery) => self.subquery(subquery),
            Expr::Call(call) => self.call(call),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Binary(binary) => self.binary(binary),
            Expr::Unary(unary) => self.unary(unary),
            Expr::Paren(paren) => {
                self.expr(&mut paren.expr);
            }
        }
        expr.value_type()
    }

    fn vector(&mut self, vector: &VectorSelector) {
        if let Some(message) = selector_mistake(vector) {
            self.mistake(vector.span.start, message);
        }
    }

    fn subquery(&mut self, subquery: &mut Subquery) {
        let found = self.expr(&mut subquery.expr);
        if found != ValueType::Vector {
            let found = found.as_str();
            let message =
                format!("subquery is only allowed on instant vector, got {found} instead");
            self.mistake(subquery.span.start, message);
        }
    }

    fn unary(&mut self, unary: &mut Unary) {
        let found = self.expr(&mut unary.expr);
        if !is_operand(found) {
            let message = format!(
                "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                quote(found.documented())
            );
            self.mistake(unary.span.start, message);
        }
    }

    fn aggregate(&mut self, aggregate: &mut Aggregate) {
        self.expect(
            &mut aggregate.expr,
            ValueType::Vector,
            "aggregation expression",
        );
        if let Some(param) = &mut aggregate.param {
            let wanted = match aggregate.op {
                Aggregator::CountValues => ValueType::String,
                _ => ValueType::Scalar,
            };
            self.expect(param, wanted, "aggregation parameter");
        }
    }

    fn call(&mut self, call: &mut Call) {
        self.count_arguments(call);
        if call.function.name == "info" {
            self.info_selector(call);
        }
        let function = call.function;
        for (i, arg) in call.args.iter_mut().enumerate() {
            let Some(wanted) = function.args.get(i).or(function.args.last()) else {
                return;
            };
            if i >= function.args.len() && function.variadic == 0 {
                return;
            }
            let context = format!("call to function {}", quote(function.name));
            self.expect(arg, *wanted, &context);
        }
    }

    fn count_arguments(&mut self, call: &Call) {
        let (function, got) = (call.function, call.args.len());
        let wanted = function.args.len();
        let (how, wanted) = if function.variadic == 0 {
            if got == wanted {
                return;
            }
            ("", wanted)
        } else if got + 1 < wanted {
            ("at least ", wanted - 1)
        } else {
            match usize::try_from(function.variadic) {
                Ok(more) if got > wanted - 1 + more => ("at most ", wanted - 1 + more),
                _ => return,
            }
        };
        let name = quote(function.name);
        self.mistake(
            call.span.start,
            format!("expected {how}{wanted} argument(s) in call to {name}, got {got}"),
        );
    }

    /// The second argument of `info` is a selector without a name, which may match everything.
    fn info_selector(&mut self, call: &mut Call) {
        let start = call.span.start;
        let Some(arg) = call.args.get_mut(1) else {
            return;
        };
        let (found, at) = (arg.value_type(), arg.span().start);
        if found != ValueType::Vector {
            self.mistake(
                start,
                format!(
                    "expected type instant vector in call to function \"info\", got {}",
                    found.documented()
                ),
            );
        }
        match arg {
            Expr::Vector(vector) if vector.name.is_none() => vector.may_match_everything = true,
            Expr::Vector(_) => self.mistake(
                at,
                "expected label selectors only, got vector selector instead",
            ),
            _ => self.mistake(at, "expected label selectors only"),
        }
    }

    fn binary(&mut self, binary: &mut Binary) {
        let left = self.expr(&mut binary.lhs);
        let right = self.expr(&mut binary.rhs);
        let Some(mut matching) = binary.matching.take() else {
            return;
        };
        self.operator(binary, &matching, left, right);
        for (side, found) in [(&binary.lhs, left), (&binary.rhs, right)] {
            if !is_operand(found) {
                self.mistake(
                    side.span().start,
                    "binary expression must contain only scalar and instant vector types",
                );
            }
        }
        let start = binary.span.start;
        if left == ValueType::Vector && right == ValueType::Vector {
            if binary.op.is_set() {
                self.set_operator(binary, &mut matching);
            }
            binary.matching = Some(matching);
        } else {
            if !matching.labels.is_empty() {
                self.mistake(
                    start,
                    "vector matching only allowed between instant vectors",
                );
            }
            if fills(&matching) {
                self.mistake(
                    start,
                    "filling in missing series only allowed between instant vectors",
                );
            }
        }
        if binary.op.is_set() && (left == ValueType::Scalar || right == ValueType::Scalar) {
            let op = quote(binary.op.as_str());
            self.mistake(
                start,
                format!("set operator {op} not allowed in binary scalar expression"),
            );
        }
    }

    /// The rules whose mistakes are shown at the operator.
    fn operator(
        &mut self,
        binary: &Binary,
        matching: &VectorMatching,
        left: ValueType,
        right: ValueType,
    ) {
        let at = self.operator_place(binary);
        if binary.return_bool && !binary.op.is_comparison() {
            self.mistake(at, "bool modifier can only be used on comparison operators");
        }
        let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        if scalars && binary.op.is_comparison() && !binary.return_bool {
            self.mistake(at, "comparisons between scalars must use BOOL modifier");
        }
        if matching.on {
            let include: BTreeSet<&String> = matching.include.iter().collect();
            for label in matching.labels.iter().filter(|l| include.contains(l)) {
                let label = quote(label);
                self.mistake(
                    at,
                    format!("label {label} must not occur in ON and GROUP clause at once"),
                );
            }
        }
    }

    /// The first byte behind the left operand that is no blank.
    fn operator_place(&self, binary: &Binary) -> usize {
        let end = binary.lhs.span().end;
        let blanks = self.input[end..]
            .bytes()
            .take_while(u8::is_ascii_whitespace);
        end + blanks.count()
    }

    fn set_operator(&mut self, binary: &Binary, matching: &mut VectorMatching) {
        let start = binary.span.start;
        if matching.card == Cardinality::OneToOne {
            matching.card = Cardinality::ManyToMany;
        }
        if matching.card != Cardinality::ManyToMany {
            let op = quote(binary.op.as_str());
            self.mistake(start, format!("no grouping allowed for {op} operation"));
            self.mistake(start, "set operations must always be many-to-many");
        }
        if fills(matching) {
            self.mistake(
                start,
                "filling in missing series not allowed for set operators",
            );
        }
    }

    fn expect(&mut self, expr: &mut Expr, wanted: ValueType, context: &str) {
        let found = self.expr(expr);
        if found != wanted {
            let (wanted, found) = (wanted.documented(), found.documented());
            self.mistake(
                expr.span().start,
                format!("expected type {wanted} in {context}, got {found}"),
            );
        }
    }

    fn mistake(&mut self, at: usize, message: impl Into<String>) {
        if self.errors.len() < MISTAKES_MAX {
            self.errors.push(ParseError::new(self.input, at, message));
        }
    }
}

/// Whether operators and signs take this type.
fn is_operand(found: ValueType) -> bool {
    matches!(found, ValueType::Scalar | ValueType::Vector)
}

fn fills(matching: &VectorMatching) -> bool {
    matching.fill_left.is_some() || matching.fill_right.is_some()
}
