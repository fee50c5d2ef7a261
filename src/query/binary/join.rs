//! Arithmetic and comparisons between series of two vectors that have the same signature.
//!
//! Upstream matches anew at each step. Here rows are matched once, and what can differ from step to step (which of
//! several rows of a signature is there) is looked at only where there are several. One side is the "one" side: of its
//! rows with the same signature only one may be there at a step.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::signature::Signatures;
use super::{arithmetic, is_trim, note_trim};
use crate::promql::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::query::budget::Stop;
use crate::query::error::QueryError;
use crate::query::eval::{Evaluator, Merger, Sink, emit};
use crate::query::labels::{LabelEdit, LabelSet, is_metadata};
use crate::query::plan::Binary;
use crate::query::value::{ABSENT, Block, Grid, Key, is_absent, is_present};

pub(super) fn rows(
    eval: &Evaluator<'_>,
    binary: &Binary,
    grid: Grid,
    sink: Sink<'_>,
) -> Result<(), QueryError> {
    let matching = binary
        .matching
        .as_ref()
        .ok_or_else(|| QueryError::internal("the plan lacks how vectors match"))?;
    let left = eval.block(&binary.left, grid)?;
    let right = eval.block(&binary.right, grid)?;
    let mut join = Join::new(eval, binary, matching, left, right, grid)?;
    join.check_one_side()?;
    for row in 0..join.many.len() {
        join.row(row)?;
    }
    if let Some(fill) = join.fill_many {
        join.filled(fill)?;
    }
    emit(join.merged.block, sink)
}

/// What a list of marks costs beside them, with the place by which it is found and the room that tables keep.
const ENTRY_BYTES: usize = 2 * size_of::<(usize, LabelSet, Vec<bool>)>();

struct Join<'a> {
    eval: &'a Evaluator<'a>,
    binary: &'a Binary,
    matching: &'a VectorMatching,
    /// The side of which many rows may meet the same row of the other.
    many: Block,
    one: Block,
    /// The "one" side is the left one.
    swapped: bool,
    /// What stands in for a row that is missing on either side.
    fill_many: Option<f64>,
    fill_one: Option<f64>,
    signatures: Signatures,
    many_signatures: Vec<usize>,
    /// The rows of the "one" side, and how many rows of the other, by signature.
    one_rows: Vec<Vec<usize>>,
    many_counts: Vec<usize>,
    /// Steps at which both sides have anything at all.
    both: Vec<bool>,
    /// By signature: steps at which a row of the "many" side was there.
    met: HashMap<usize, Vec<bool>>,
    /// By signature and labels of the result: the same, to find results that are not unique.
    results: HashMap<(usize, LabelSet), Vec<bool>>,
    merged: Merger,
    steps: usize,
}

impl<'a> Join<'a> {
    fn new(
        eval: &'a Evaluator<'a>,
        binary: &'a Binary,
        matching: &'a VectorMatching,
        left: Block,
        right: Block,
        grid: Grid,
    ) -> Result<Self, QueryError> {
        let swapped = matching.card == Cardinality::OneToMany;
        let (many, one) = if swapped {
            (right, left)
        } else {
            (left, right)
        };
        // As upstream: `fill_left` concerns the "many" side, whichever side of the operator that is.
        let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        let mut signatures = Signatures::new(matching, eval.budget);
        // The signature of each row, and in its list the row of the "one" side; the numbers of a pair and their results.
        signatures.hold((2 * one.len() + many.len()) * size_of::<usize>())?;
        signatures.hold(grid.steps * size_of::<((f64, f64), f64)>())?;
        let numbers = |block: &Block, signatures: &mut Signatures| {
            let number = |key| signatures.number(key);
            block
                .keys
                .iter()
                .map(number)
                .collect::<Result<Vec<usize>, Stop>>()
        };
        let one_signatures = numbers(&one, &mut signatures)?;
        let many_signatures = numbers(&many, &mut signatures)?;
        signatures.hold(signatures.count() * size_of::<(Vec<usize>, usize)>())?;
        let mut one_rows = vec![vec![]; signatures.count()];
        for (row, signature) in one_signatures.iter().enumerate() {
            one_rows[*signature].push(row);
        }
        let mut many_counts = vec![0; signatures.count()];
        for signature in &many_signatures {
            many_counts[*signature] += 1;
        }
        let is_filled = fill_many.is_some() || fill_one.is_some();
        let (here, there) = (occupied(&many, grid), occupied(&one, grid));
        let both = here
            .iter()
            .zip(&there)
            .map(|(a, b)| (*a && *b) || is_filled);
        Ok(Self {
            eval,
            binary,
            matching,
            both: both.collect(),
            many,
            one,
            swapped,
            fill_many,
            fill_one,
            signatures,
            many_signatures,
            one_rows,
            many_counts,
            met: HashMap::new(),
            results: HashMap::new(),
            merged: Merger::new(grid.steps, eval.budget),
            steps: grid.steps,
        })
    }

    /// Of the "one" side two rows of the same signature must not be there at the same step.
    fn check_one_side(&mut self) -> Result<(), QueryError> {
        let mut found: Option<(usize, [usize; 2])> = None;
        for rows in self.one_rows.iter().filter(|rows| rows.len() > 1) {
            for step in (0..self.steps).filter(|step| self.both[*step]) {
                if found.is_some_and(|(earlier, _)| earlier <= step) {
                    break;
                }
                let mut there = rows
                    .iter()
                    .filter(|row| is_present(self.one.cell(**row, step)));
                if let (Some(a), Some(b)) = (there.next(), there.next()) {
                    found = Some((step, [*a, *b]));
                    break;
                }
            }
        }
        match found {
            None => Ok(()),
            Some((_, rows)) => Err(self.ambiguous(rows)),
        }
    }

    fn ambiguous(&mut self, rows: [usize; 2]) -> QueryError {
        let group = self.signatures.labels(&self.one.keys[rows[0]]);
        let side = if self.swapped { "left" } else { "right" };
        let mut sets = rows.map(|row| self.one.keys[row].to_set());
        sets.sort();
        QueryError::execution(format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{}, \
             {}];many-to-many matching not allowed: matching labels must be unique on one side",
            sets[0], sets[1]
        ))
    }

    /// Meets one row of the "many" side with all that it fits.
    fn row(&mut self, row: usize) -> Result<(), QueryError> {
        let signature = self.many_signatures[row];
        let partners = std::mem::take(&mut self.one_rows[signature]);
        let done = self.meet(row, signature, &partners);
        self.one_rows[signature] = partners;
        done
    }

    fn meet(&mut self, row: usize, signature: usize, partners: &[usize]) -> Result<(), QueryError> {
        self.eval.worked(self.steps * (partners.len() + 1))?;
        for partner in partners {
            let pairs = self.many.row(row).iter().zip(self.one.row(*partner));
            let pairs: Vec<(f64, f64)> = pairs.map(|(a, b)| (*a, *b)).collect();
            let (key, other) = (self.many.keys[row].clone(), self.one.keys[*partner].clone());
            self.combine(signature, &key, &other, &pairs)?;
        }
        let Some(fill) = self.fill_one else {
            return Ok(());
        };
        let cells = self.many.row(row).iter().enumerate();
        let alone = |step: usize| {
            let there = |partner: &usize| is_present(self.one.cell(*partner, step));
            !partners.iter().any(there)
        };
        let pairs: Vec<(f64, f64)> = cells
            .map(|(step, cell)| (if alone(step) { *cell } else { ABSENT }, fill))
            .collect();
        let key = self.many.keys[row].clone();
        let other = Key::set(self.signatures.labels(&key));
        self.combine(signature, &key, &other, &pairs)
    }

    /// For the rows of the "one" side that met nothing.
    fn filled(&mut self, fill: f64) -> Result<(), QueryError> {
        for signature in 0..self.one_rows.len() {
            for partner in self.one_rows[signature].clone() {
                self.eval.worked(self.steps)?;
                let met = self.met.get(&signature);
                let cells = self.one.row(partner).iter().enumerate();
                let pairs: Vec<(f64, f64)> = cells
                    .map(|(step, cell)| match met {
                        Some(met) if met[step] => (ABSENT, *cell),
                        _ => (fill, *cell),
                    })
                    .collect();
                let other = self.one.keys[partner].clone();
                let key = Key::set(self.signatures.labels(&other));
                self.combine(signature, &key, &other, &pairs)?;
            }
        }
        Ok(())
    }

    /// Computes the row of a pair: numbers of the "many" and of the "one" side.
    fn combine(
        &mut self,
        signature: usize,
        key: &Key,
        other: &Key,
        pairs: &[(f64, f64)],
    ) -> Result<(), QueryError> {
        let is_pair = |(a, b): &(f64, f64)| is_present(*a) && is_present(*b);
        if !pairs.iter().any(is_pair) {
            return Ok(());
        }
        let labels = self.result_labels(&key.to_set(), &other.to_set());
        self.note_met(signature, &labels, pairs)?;
        let cells: Vec<f64> = pairs
            .iter()
            .map(|pair| {
                if is_pair(pair) {
                    self.result(*pair)
                } else {
                    ABSENT
                }
            })
            .collect();
        if cells.iter().all(|cell| is_absent(*cell)) {
            return Ok(());
        }
        let mut result = Key::set(labels);
        result.drop_name =
            self.binary.return_bool || (key.drop_name && !changes_meaning(self.binary.op));
        if self.binary.return_bool && !self.eval.rules.delayed_names {
            result.stripped = true;
        }
        self.merged.push(&result, &cells)
    }

    fn result(&self, (many, one): (f64, f64)) -> f64 {
        let (left, right) = if self.swapped {
            (one, many)
        } else {
            (many, one)
        };
        let op = self.binary.op;
        if is_trim(op) {
            note_trim(self.eval, self.binary);
            return ABSENT;
        }
        let result = arithmetic(op, left, right);
        if !op.is_comparison() || self.binary.return_bool {
            result
        } else if result == 0.0 {
            ABSENT
        } else {
            left
        }
    }

    /// Fails where a result is not unique at a step.
    fn note_met(
        &mut self,
        signature: usize,
        labels: &LabelSet,
        pairs: &[(f64, f64)],
    ) -> Result<(), QueryError> {
        let is_several = self.many_counts[signature] > 1;
        if !is_several && self.fill_many.is_none() {
            return Ok(());
        }
        let (steps, one_to_one) = (self.steps, self.matching.card == Cardinality::OneToOne);
        let signatures = &mut self.signatures;
        let mut marks = |labels: usize| {
            signatures.hold(steps + labels + ENTRY_BYTES)?;
            Ok::<_, Stop>(vec![false; steps])
        };
        let met = match self.met.entry(signature) {
            Entry::Occupied(met) => met.into_mut(),
            Entry::Vacant(place) => place.insert(marks(0)?),
        };
        let mut again = mark(met, pairs);
        if !one_to_one && is_several {
            let met = match self.results.entry((signature, labels.clone())) {
                Entry::Occupied(met) => met.into_mut(),
                Entry::Vacant(place) => place.insert(marks(labels.size_bytes())?),
            };
            again = mark(met, pairs);
        }
        let text = match (again && (one_to_one || is_several), one_to_one) {
            (false, _) => return Ok(()),
            (true, true) => {
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            }
            (true, false) => {
                "multiple matches for labels: grouping labels must ensure unique matches"
            }
        };
        Err(QueryError::execution(text))
    }

    /// The labels of the "many" side, as far as the matching leaves them, and those taken from the "one" side.
    fn result_labels(&self, many: &LabelSet, one: &LabelSet) -> LabelSet {
        let mut edit = LabelEdit::new(many);
        if changes_meaning(self.binary.op) {
            edit.retain(|name| !is_metadata(name));
        }
        let matching = self.matching;
        if matching.card == Cardinality::OneToOne {
            edit.retain(|name| matching.labels.iter().any(|have| have == name) == matching.on);
        }
        for name in &matching.include {
            edit.set(name, one.get(name).unwrap_or(""));
        }
        edit.finish()
    }
}

/// Steps at which any row is there.
fn occupied(block: &Block, grid: Grid) -> Vec<bool> {
    let mut steps = vec![false; grid.steps];
    for row in 0..block.len() {
        for (step, cell) in steps.iter_mut().zip(block.row(row)) {
            *step |= is_present(*cell);
        }
    }
    steps
}

/// Marks the steps of all pairs; whether one was marked already.
fn mark(marks: &mut [bool], pairs: &[(f64, f64)]) -> bool {
    let mut again = false;
    for (mark, (a, b)) in marks.iter_mut().zip(pairs) {
        if is_present(*a) && is_present(*b) {
            again |= *mark;
            *mark = true;
        }
    }
    again
}

/// Whether the result is no longer what the name says.
fn changes_meaning(op: BinaryOp) -> bool {
    !op.is_comparison() && !op.is_set() && !is_trim(op)
}
