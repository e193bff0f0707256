//! What is wrong with a change set, problem by problem.

use pdp_engine::facts::Rejected;
use tonic_types::ErrorDetails;

/// How much text the problems of a refused change set may fill, in bytes. They travel in HTTP/2
/// trailers, three times (once percent-encoded, twice in base64), and clients take 16 KiB of those
/// by default.
pub(super) const MAX_PROBLEM_BYTES: usize = 1536;

/// How long one of those problems may be, in bytes: a cycle may run through many names.
const MAX_ONE_PROBLEM_BYTES: usize = 768;

/// Lists as many problems as fit, in the order of the changes.
pub(super) fn describe(rejected: &Rejected, details: &mut ErrorDetails) -> String {
    let mut message = String::from("the change set was refused");
    let mut left_out = 0_usize;
    for rejection in &rejected.rejections {
        let subject = rejection.key.to_string();
        let problem = shortened(rejection.problem.to_string());
        let length = message.len() + subject.len() + problem.len();
        if length > MAX_PROBLEM_BYTES && details.has_bad_request_violations() {
            left_out += 1;
            continue;
        }
        let field = format!("changes[{}]", rejection.change);
        let text = format!("{subject}: {problem}");
        message.push_str(&format!("; `{field}`: {text}"));
        details.add_bad_request_violation(field, text);
        details.add_precondition_failure_violation(rejection.problem.code(), subject, problem);
    }
    if left_out > 0 {
        message.push_str(&format!("; and {left_out} more"));
    }
    message
}

pub(super) fn shortened(text: String) -> String {
    if text.len() <= MAX_ONE_PROBLEM_BYTES {
        return text;
    }
    let fits = |(at, c): &(usize, char)| at + c.len_utf8() <= MAX_ONE_PROBLEM_BYTES;
    let mut short: String = text.char_indices().take_while(fits).map(|(_, c)| c).collect();
    short.push('…');
    short
}
