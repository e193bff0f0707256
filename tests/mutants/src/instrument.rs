//! Many mutants in one source text: each place that has some asks which one is on.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use anyhow::{Context, Result};
use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, BinOp, Block, Expr, ExprBinary, ExprStruct, ExprUnary, Pat, PatGuard, Signature};

use crate::listed::{Genre, Mutant, Place, Source};

/// A source text with mutants in it.
#[derive(Debug, Default)]
pub(crate) struct Instrumented {
    pub(crate) text: String,
    /// What each mutant alone added to the text: an error there is the mutant's own.
    own: Vec<(Range<usize>, usize)>,
    /// What is around the mutants of one place: an error there may be of any of them.
    around: Vec<(Range<usize>, Vec<usize>)>,
    /// The functions that were `const` until mutants came in.
    consts: Vec<(String, usize)>,
    /// The mutants that have no place in it.
    pub(crate) left: Vec<usize>,
    /// The mutants that are no Rust.
    pub(crate) unviable: Vec<usize>,
}

/// What cargo-mutants has a function give that gives an iterator.
const NO_ITEMS: &str = "::std::iter::empty()";

/// Who is to blame for an error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The code that a mutant puts in.
    Own(usize),
    /// The way in which the mutants of a place are put in.
    Around(Vec<usize>),
}

/// Puts `mutants`, by their numbers, into the text of one file.
pub(crate) fn instrument(source: &str, mutants: &[(usize, &Mutant)]) -> Result<Instrumented> {
    let file = syn::parse_file(source).context("cannot be parsed")?;
    let mut found = Found {
        source: Source::new(source),
        at: HashMap::new(),
        edits: Vec::new(),
        unviable: Vec::new(),
        within: None,
        blank: Vec::new(),
        consts: Vec::new(),
    };
    for (number, mutant) in mutants {
        found
            .at
            .entry((mutant.genre, mutant.span.start))
            .or_default()
            .push((*number, (*mutant).clone()));
    }
    found.visit_file(&file);
    let Found { edits, unviable, blank, consts, .. } = found;
    let placed: HashSet<usize> =
        edits.iter().flat_map(|edit| edit.mutants.iter()).chain(&unviable).copied().collect();
    let left = mutants
        .iter()
        .map(|(number, _)| *number)
        .filter(|number| !placed.contains(number))
        .collect();
    Ok(Instrumented { consts, left, unviable, ..write(source, edits, &blank) })
}

impl Instrumented {
    /// The mutants in the functions of this name that may no longer be asked where a constant is made.
    pub(crate) fn consts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.consts.iter().filter(move |(function, _)| function == name).map(|(_, mutant)| *mutant)
    }

    /// Who is to blame for an error at this place of the text.
    pub(crate) fn blame(&self, place: Place) -> Option<Blame> {
        let at = Source::new(&self.text).offset(place)?;
        if let Some((_, mutant)) = self.own.iter().find(|(range, _)| range.contains(&at)) {
            return Some(Blame::Own(*mutant));
        }
        let around = self.around.iter().filter(|(range, _)| range.contains(&at));
        around
            .min_by_key(|(range, _)| range.len())
            .map(|(_, mutants)| Blame::Around(mutants.clone()))
    }
}

/// What is added before and after a piece of the source.
#[derive(Debug)]
struct Edit {
    range: Range<usize>,
    before: Vec<(Option<usize>, String)>,
    after: String,
    mutants: Vec<usize>,
}

struct Found<'a> {
    source: Source<'a>,
    /// By what they are looked for and where they begin.
    at: HashMap<(Genre, Place), Vec<(usize, Mutant)>>,
    edits: Vec<Edit>,
    unviable: Vec<usize>,
    /// The `const`, and the name, of the function that is looked at.
    within: Option<(Range<usize>, String)>,
    /// What is left out: the `const` of functions that ask which mutant is on.
    blank: Vec<Range<usize>>,
    /// What those functions are called, and the mutants in them.
    consts: Vec<(String, usize)>,
}

impl Found<'_> {
    fn take(&mut self, genre: Genre, start: LineColumn) -> Vec<(usize, Mutant)> {
        self.at.remove(&(genre, place(start))).unwrap_or_default()
    }

    fn range(&self, of: &impl Spanned) -> Range<usize> {
        let span = of.span();
        let offset = |at| self.source.offset(place(at)).unwrap_or(0);
        offset(span.start())..offset(span.end())
    }

    /// `expression` where none of `mutants` is on, and each one's text where it is.
    fn choose(&mut self, range: Range<usize>, texts: Vec<(usize, String)>) {
        let mutants = texts.iter().map(|(number, _)| *number).collect();
        let mut before = vec![(None, "(".to_owned())];
        for (number, text) in texts {
            before.push((Some(number), format!("if {} {{ {text} }} else ", on(number))));
        }
        before.push((None, "{ ".to_owned()));
        self.edit(range, before, " })".to_owned(), mutants);
    }

    fn edit(
        &mut self,
        range: Range<usize>,
        before: Vec<(Option<usize>, String)>,
        after: String,
        mutants: Vec<usize>,
    ) {
        if let Some((token, name)) = &self.within {
            self.blank.push(token.clone());
            self.consts.extend(mutants.iter().map(|mutant| (name.clone(), *mutant)));
        }
        self.edits.push(Edit { range, before, after, mutants });
    }

    fn function(&mut self, signature: &Signature, block: &Block) {
        let within = signature
            .constness
            .as_ref()
            .map(|token| (self.range(token), signature.ident.to_string()));
        let outer = std::mem::replace(&mut self.within, within);
        if let (Some(first), Some(last)) = (block.stmts.first(), block.stmts.last()) {
            let mutants = self.take(Genre::FnValue, first.span().start());
            if !mutants.is_empty() {
                self.value(self.range(first).start..self.range(last).end, &mutants);
            }
        }
        visit::visit_block(self, block);
        self.within = outer;
    }

    /// What the statements of a function give, or what the mutants do.
    fn value(&mut self, range: Range<usize>, mutants: &[(usize, Mutant)]) {
        let numbers = mutants.iter().map(|(number, _)| *number).collect();
        if mutants.iter().all(|(_, mutant)| mutant.replacement == NO_ITEMS) {
            // The type is what the function's own text makes it: its iterator is cut off.
            let on: Vec<String> = mutants.iter().map(|(number, _)| on(*number)).collect();
            let after = format!(" }}).take(if {} {{ 0 }} else {{ usize::MAX }})", on.join(" || "));
            return self.edit(range, vec![(None, "({ ".to_owned())], after, numbers);
        }
        let give = |(number, mutant): &(usize, Mutant)| {
            let text = format!("if {} {{ return {}; }} ", on(*number), mutant.replacement);
            (Some(*number), text)
        };
        self.edit(range, mutants.iter().map(give).collect(), String::new(), numbers);
    }
}

impl<'ast> Visit<'ast> for Found<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
    }

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        let mut mutants = self.take(Genre::BinaryOperator, binary.op.span().start());
        if asks_pattern(binary) {
            // Beside a `let` no other operator is Rust.
            self.unviable.extend(mutants.drain(..).map(|(number, _)| number));
        }
        if !mutants.is_empty() {
            let (range, op) = (self.range(binary), self.range(&binary.op));
            let (left, right) =
                (&self.source.text[range.start..op.start], &self.source.text[op.end..range.end]);
            let texts = mutants
                .iter()
                .map(|(number, mutant)| (*number, format!("{left}{}{right}", mutant.replacement)))
                .collect();
            self.choose(range, texts);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast ExprUnary) {
        let mutants = self.take(Genre::UnaryOperator, unary.op.span().start());
        if !mutants.is_empty() {
            let range = self.range(unary);
            let rest = self.source.text[self.range(&unary.expr)].to_owned();
            let texts = mutants.iter().map(|(number, _)| (*number, rest.clone())).collect();
            self.choose(range, texts);
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_struct(&mut self, expr: &'ast ExprStruct) {
        for field in &expr.fields {
            let mutants = self.take(Genre::StructField, field.span().start());
            if let (false, Some(rest)) = (mutants.is_empty(), &expr.rest) {
                let rest = &self.source.text[self.range(rest)];
                let name = &self.source.text[self.range(&field.member)];
                let texts = mutants
                    .iter()
                    .map(|(number, _)| (*number, format!("({rest}).{name}")))
                    .collect();
                self.choose(self.range(&field.expr), texts);
                if field.colon_token.is_none()
                    && let Some((_, text)) =
                        self.edits.last_mut().and_then(|edit| edit.before.first_mut())
                {
                    *text = format!("{name}: {text}");
                }
            }
        }
        visit::visit_expr_struct(self, expr);
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        let deleted = self.take(Genre::MatchArm, arm.span().start());
        let without = deleted
            .iter()
            .fold(String::new(), |text, (number, _)| format!("{text}!{} && ", on(*number)));
        let mut numbers: Vec<usize> = deleted.iter().map(|(number, _)| *number).collect();
        match &arm.pat {
            Pat::Guard(PatGuard { guard, .. }) => {
                let replaced = self.take(Genre::MatchArmGuard, guard.span().start());
                let mut before = without;
                for (number, mutant) in &replaced {
                    numbers.push(*number);
                    let on = on(*number);
                    before += &if mutant.replacement == "true" {
                        format!("({on} || ")
                    } else {
                        format!("(!{on} && ")
                    };
                }
                if !numbers.is_empty() {
                    let range = self.range(guard.as_ref());
                    let after = ")".repeat(replaced.len() + 1);
                    self.edit(range, vec![(None, format!("{before}("))], after, numbers);
                }
            }
            _ if !numbers.is_empty() => {
                let end = self.range(&arm.pat).end;
                let text = format!(" if {without}true");
                self.edit(end..end, vec![(None, text)], String::new(), numbers);
            }
            _ => {}
        }
        visit::visit_arm(self, arm);
    }
}

/// Whether it is a chain of `&&` with a `let` in it, which stands for itself.
fn asks_pattern(binary: &ExprBinary) -> bool {
    fn holds(expr: &Expr) -> bool {
        match expr {
            Expr::Let(_) => true,
            Expr::Binary(binary) => asks_pattern(binary),
            _ => false,
        }
    }
    matches!(binary.op, BinOp::And(_)) && (holds(&binary.left) || holds(&binary.right))
}

fn write(source: &str, mut edits: Vec<Edit>, blank: &[Range<usize>]) -> Instrumented {
    // Those around others first; what was found first is around.
    edits.sort_by_key(|edit| (edit.range.start, usize::MAX - edit.range.end));
    let mut out = Instrumented::default();
    let (mut open, mut next): (Vec<(usize, &Edit)>, usize) = (Vec::new(), 0);
    for at in 0..=source.len() {
        while let Some((begin, edit)) =
            open.pop_if(|(_, edit)| edit.range.end == at && edit.range.start < at)
        {
            out.text.push_str(&edit.after);
            out.around.push((begin..out.text.len(), edit.mutants.clone()));
        }
        while let Some(edit) = edits.get(next).filter(|edit| edit.range.start == at) {
            next += 1;
            let begin = out.text.len();
            for (mutant, text) in &edit.before {
                let from = out.text.len();
                out.text.push_str(text);
                out.own.extend(mutant.map(|mutant| (from..out.text.len(), mutant)));
            }
            if edit.range.is_empty() {
                out.around.push((begin..out.text.len(), edit.mutants.clone()));
            } else {
                open.push((begin, edit));
            }
        }
        if at < source.len()
            && !blank.iter().any(|range| range.contains(&at))
            && source.is_char_boundary(at)
        {
            out.text.extend(source[at..].chars().next());
        }
    }
    out
}

fn on(number: usize) -> String {
    format!("crate::mutant::on({number})")
}

fn place(at: LineColumn) -> Place {
    Place { line: at.line, column: at.column + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listed::Span;

    const SOURCE: &str = "const fn twice(n: u32) -> u32 {\n    n + n\n}\n\nfn of(n: u32, m: Option<u32>) -> u32 {\n    \
                          match m {\n        Some(m) if !(m == n) => twice(m),\n        Some(_) => 1,\n        \
                          _ => 2,\n    }\n}\n";

    /// The mutants of the first place that `of` stands at.
    fn mutant(genre: Genre, of: &str, replacement: &str) -> Mutant {
        let at = SOURCE.find(of).unwrap();
        let place = |at: usize| {
            let before = &SOURCE[..at];
            let start = before.rfind('\n').map_or(0, |end| end + 1);
            Place {
                line: before.matches('\n').count() + 1,
                column: before[start..].chars().count() + 1,
            }
        };
        let span = Span { start: place(at), end: place(at + of.len()) };
        Mutant {
            name: of.to_owned(),
            file: "a.rs".to_owned(),
            genre,
            replacement: replacement.to_owned(),
            span,
        }
    }

    fn put(mutants: &[Mutant]) -> Instrumented {
        instrument(SOURCE, &mutants.iter().enumerate().collect::<Vec<_>>()).unwrap()
    }

    /// The text with one mutant on, as a compiler sees it: without what is never run.
    fn without_spaces(text: &str) -> String {
        text.chars().filter(|it| !it.is_whitespace()).collect()
    }

    #[test]
    fn every_place_asks_which_mutant_is_on() {
        let mutants = [
            mutant(Genre::FnValue, "n + n", "0"),
            mutant(Genre::BinaryOperator, "+", "-"),
            mutant(Genre::BinaryOperator, "+", "*"),
            mutant(Genre::MatchArm, "Some(m) if !(m == n) => twice(m),", ""),
            mutant(Genre::MatchArmGuard, "!(m == n)", "true"),
            mutant(Genre::MatchArmGuard, "!(m == n)", "false"),
            mutant(Genre::UnaryOperator, "!", ""),
            mutant(Genre::BinaryOperator, "==", "!="),
            mutant(Genre::MatchArm, "Some(_) => 1,", ""),
        ];
        let put = put(&mutants);
        assert!(put.left.is_empty());
        let on = |number: usize| format!("crate::mutant::on({number})");
        let [value, minus, times, arm, always, never, not, unlike, other] = std::array::from_fn(on);
        let told = format!(
            "fn twice(n: u32) -> u32 {{ if {value} {{ return 0; }}
               (if {minus} {{ n - n }} else if {times} {{ n * n }} else {{ n + n }}) }}
             fn of(n: u32, m: Option<u32>) -> u32 {{ match m {{
               Some(m) if !{arm} && ({always} || (!{never} && ((if {not} {{ (m == n) }} else {{
                 !((if {unlike} {{ m != n }} else {{ m == n }})) }})))) => twice(m),
               Some(_) if !{other} && true => 1,
               _ => 2, }} }}"
        );
        assert_eq!(without_spaces(&put.text), without_spaces(&told));
        syn::parse_file(&put.text).unwrap();
        assert!(put.consts("twice").eq([0, 1, 2]) && put.consts("of").next().is_none());
    }

    #[test]
    fn an_error_is_blamed_on_the_mutant_or_on_those_of_its_place() {
        let mutants = [
            mutant(Genre::BinaryOperator, "+", "-"),
            mutant(Genre::BinaryOperator, "+", "*"),
            mutant(Genre::FnValue, "match m", "7"),
        ];
        let put = put(&mutants);
        // The last one's place ends elsewhere than its function, which does not matter.
        assert!(put.left.is_empty());
        let place = |of: &str| {
            let before = &put.text[..put.text.find(of).unwrap()];
            let line = before.matches('\n').count() + 1;
            Place { line, column: before.lines().last().unwrap_or_default().chars().count() + 1 }
        };
        assert_eq!(put.blame(place("- n")), Some(Blame::Own(0)));
        assert_eq!(put.blame(place("* n")), Some(Blame::Own(1)));
        assert_eq!(put.blame(place("n + n")), Some(Blame::Around(vec![0, 1])));
        assert_eq!(put.blame(place("return 7")), Some(Blame::Own(2)));
        assert_eq!(put.blame(place("fn twice")), None);
    }

    #[test]
    fn what_stands_nowhere_is_left() {
        let mut nowhere = mutant(Genre::BinaryOperator, "+", "-");
        nowhere.span.start.column += 1;
        let field = mutant(Genre::StructField, "Some(_)", "");
        assert_eq!(put(&[nowhere, field]).left, [0, 1]);
    }

    #[test]
    fn alone_a_mutant_is_what_cargo_mutants_makes_of_it() {
        let applied = mutant(Genre::BinaryOperator, "==", "!=").applied(SOURCE).unwrap();
        assert_eq!(applied, SOURCE.replace("==", "!="));
    }
}
