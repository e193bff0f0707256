//! Questions to go with a policy: drawn from its workload, answered by the engine, and chosen until
//! the share of ALLOW is what was asked for. Written and read as lines. It knows nothing of servers.

use std::io::{self, BufRead, Write};

use pdp_engine::check::check;
use pdp_engine::facts::{Change, Fact, Facts, Rejected};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Effect, Malformed, ObjectRef, PermissionRef, Question, SubjectRef};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;

use crate::random::{Dice, Purpose, Skew};

/// How many questions are drawn for one that is answered as wanted, before there is none.
const TRIES: u32 = 10_000;

/// The longest line of questions, in bytes: four names of 256 bytes and the words between them.
const MAX_LINE_BYTES: usize = 2_048;

/// The most questions in a file: some gigabytes of memory.
const MAX_QUESTIONS: usize = 50_000_000;

/// A policy that can be made again and again, and that questions can be drawn for.
pub trait Workload {
    /// Every fact, kind by kind, what is referred to before what refers to it.
    fn all(&self) -> Box<dyn Iterator<Item = Fact> + '_>;

    /// A question that some assignment speaks to; usually it is granted or denied by it.
    fn granted(&self, dice: &mut Dice, skew: Skew) -> Ask;

    /// A question about anybody and anything.
    fn any(&self, dice: &mut Dice, skew: Skew) -> Ask;
}

/// A question that owns its names, with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Whether an account asks, and not a person.
    pub account: bool,
    /// The subject's id.
    pub subject: String,
    /// An operation or a right.
    pub kind: PermissionKind,
    /// Its name.
    pub permission: String,
    /// The resource's type.
    pub type_name: String,
    /// The resource's id.
    pub id: String,
    /// The answer; `Deny` until it is worked out.
    pub expected: Effect,
}

/// Which questions to draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mix {
    /// How keys are drawn.
    pub skew: Skew,
    /// The share of questions that are answered ALLOW, from 0 to 1.
    pub allow: f64,
    /// How many.
    pub count: usize,
    /// The seed.
    pub seed: u64,
}

/// Why there are no such questions.
#[derive(Debug, thiserror::Error)]
pub enum QuestionsError {
    /// The share is none.
    #[error("`{0}` is no share of questions; it must be 0 to 1")]
    Share(f64),
    /// The policy does not answer so.
    #[error(
        "none of {TRIES} questions was answered {}; choose another share or policy",
        .wanted.as_str()
    )]
    NoneAnswered {
        /// What was wanted.
        wanted: Effect,
    },
    /// The workload asks what is no question.
    #[error("the policy asks what is no question")]
    Malformed(#[from] Malformed),
    /// A line is no question.
    #[error("line {line}: {why}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There are none.
    #[error("there are no questions")]
    Empty,
    /// There are too many.
    #[error("there are more than {MAX_QUESTIONS} questions")]
    TooMany,
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

// === impl Ask ===

impl Ask {
    /// A question whose answer is not known yet.
    #[must_use]
    pub fn new(
        account: bool,
        subject: String,
        (kind, permission): (PermissionKind, &str),
        type_name: String,
        id: String,
    ) -> Self {
        let (permission, expected) = (permission.to_owned(), Effect::Deny);
        Self { account, subject, kind, permission, type_name, id, expected }
    }

    /// As the engine is asked.
    #[must_use]
    pub fn as_question(&self) -> Question<'_> {
        let subject = match self.account {
            true => SubjectRef::Account(&self.subject),
            false => SubjectRef::Person(&self.subject),
        };
        let permission = PermissionRef { kind: self.kind, name: &self.permission };
        Question::new(subject, permission, ObjectRef { type_name: &self.type_name, id: &self.id })
    }

    /// As a line, without its end: answer, subject, permission, resource, with tabs between them.
    #[must_use]
    pub fn to_line(&self) -> String {
        let Self { account, subject, kind, permission, type_name, id, expected } = self;
        let subject_kind = if *account { "account" } else { "person" };
        let (effect, kind) = (expected.as_str(), kind.as_str());
        format!("{effect}\t{subject_kind}:{subject}\t{kind}:{permission}\t{type_name}:{id}")
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn from_line(line: &str) -> Result<Self, &'static str> {
        let mut parts = line.split('\t');
        let (Some(effect), Some(subject), Some(permission), Some(resource), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("a question has four parts with tabs between them");
        };
        let expected = Effect::ALL.into_iter().find(|it| it.as_str() == effect);
        let expected =
            expected.ok_or("the answer is not `ALLOW`, `DENY` or `REQUIRES_APPROVAL`")?;
        let (account, subject) = match subject.split_once(':') {
            Some(("person", id)) => (false, id),
            Some(("account", id)) => (true, id),
            _ => return Err("the subject is not `person:ID` or `account:ID`"),
        };
        let permission = permission.split_once(':').and_then(|(kind, name)| {
            let kinds = [PermissionKind::Operation, PermissionKind::Right];
            kinds.into_iter().find(|it| it.as_str() == kind).map(|kind| (kind, name))
        });
        let permission =
            permission.ok_or("the permission is not `operation:NAME` or `right:NAME`")?;
        let (type_name, id) = resource.split_once(':').ok_or("the resource is not `Type:ID`")?;
        let ask =
            Self::new(account, subject.to_owned(), permission, type_name.to_owned(), id.to_owned());
        let ask = Self { expected, ..ask };
        if ask.as_question().validate().is_err() {
            return Err("a name could not name anything");
        }
        Ok(ask)
    }
}

/// A policy that holds these facts, as if they had been applied.
///
/// # Errors
/// [`Rejected`] if the policy refuses them.
pub fn hold(facts: impl Iterator<Item = Fact>) -> Result<Facts, Rejected> {
    let changes: Vec<Change> = facts.map(Change::Put).collect();
    let mut held = Facts::default();
    held.apply(&changes)?;
    Ok(held)
}

/// Draws questions and works their answers out.
///
/// # Errors
/// [`QuestionsError`] if the policy does not answer so.
pub fn sample(
    workload: &dyn Workload,
    snapshot: &Snapshot,
    mix: Mix,
    now: Timestamp,
) -> Result<Vec<Ask>, QuestionsError> {
    if !(0.0..=1.0).contains(&mix.allow) {
        return Err(QuestionsError::Share(mix.allow));
    }
    let mut allows = (mix.allow * mix.count as f64).round() as usize;
    let mut asks = Vec::with_capacity(mix.count);
    for n in 0..mix.count {
        let mut dice = Dice::at(mix.seed, Purpose::Question, n as u64);
        // Which are allowed has no pattern, and how many is exact.
        let allow = dice.below((mix.count - n) as u64) < allows as u64;
        allows -= usize::from(allow);
        asks.push(one(workload, snapshot, mix.skew, allow, &mut dice, now)?);
    }
    Ok(asks)
}

fn one(
    workload: &dyn Workload,
    snapshot: &Snapshot,
    skew: Skew,
    allow: bool,
    dice: &mut Dice,
    now: Timestamp,
) -> Result<Ask, QuestionsError> {
    for _ in 0..TRIES {
        // A quarter of what is not allowed is what an assignment speaks to: denials, closed windows.
        let near = allow || dice.chance(0.25);
        let ask = if near { workload.granted(dice, skew) } else { workload.any(dice, skew) };
        let expected = check(snapshot, &ask.as_question(), now)?.effect;
        if (expected == Effect::Allow) == allow {
            return Ok(Ask { expected, ..ask });
        }
    }
    let wanted = if allow { Effect::Allow } else { Effect::Deny };
    Err(QuestionsError::NoneAnswered { wanted })
}

/// Writes questions as lines.
///
/// # Errors
/// Those of the writer.
pub fn write(asks: &[Ask], out: &mut impl Write) -> io::Result<()> {
    asks.iter().try_for_each(|ask| writeln!(out, "{}", ask.to_line()))
}

/// Reads questions from lines.
///
/// # Errors
/// [`QuestionsError`] names the line.
pub fn read(mut lines: impl BufRead) -> Result<Vec<Ask>, QuestionsError> {
    let (mut asks, mut text) = (Vec::new(), String::new());
    for line in 1.. {
        text.clear();
        let most = MAX_LINE_BYTES as u64 + 1;
        if io::Read::take(&mut lines, most).read_line(&mut text)? == 0 {
            break;
        }
        if text.len() > MAX_LINE_BYTES {
            return Err(QuestionsError::Line { line, why: "it has more than 2048 bytes" });
        }
        if asks.len() == MAX_QUESTIONS {
            return Err(QuestionsError::TooMany);
        }
        let ask = Ask::from_line(text.trim_end_matches(['\n', '\r']));
        asks.push(ask.map_err(|why| QuestionsError::Line { line, why })?);
    }
    if asks.is_empty() { Err(QuestionsError::Empty) } else { Ok(asks) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back() {
        for line in [
            "ALLOW\tperson:p1\toperation:View\tDoc00:r1",
            "DENY\taccount:corp/a b\tright:Read\tUserAccount:corp/a:b",
        ] {
            assert_eq!(Ask::from_line(line).unwrap().to_line(), line);
        }
    }

    #[test]
    fn a_line_that_is_no_question_is_refused_with_its_number() {
        let good = "ALLOW\tperson:p1\toperation:View\tDoc00:r1";
        for (bad, said) in [
            ("", "four parts"),
            ("MAYBE\tperson:p1\toperation:View\tDoc00:r1", "the answer is not"),
            ("ALLOW\tgroup:p1\toperation:View\tDoc00:r1", "the subject is not"),
            ("ALLOW\tperson:p1\tvault:View\tDoc00:r1", "the permission is not"),
            ("ALLOW\tperson:p1\toperation:View\tr1", "the resource is not"),
            ("ALLOW\tperson:\toperation:View\tDoc00:r1", "could not name"),
        ] {
            let refused = read(format!("{good}\n{bad}\n").as_bytes()).unwrap_err().to_string();
            assert!(refused.starts_with("line 2: ") && refused.contains(said), "{refused}");
        }
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        assert!(read(long.as_bytes()).unwrap_err().to_string().contains("more than 2048"));
        assert!(matches!(read(&b""[..]), Err(QuestionsError::Empty)));
    }
}
