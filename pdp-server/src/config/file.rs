//! The settings file: one flat YAML map. Every complaint names the file and the line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use granit_parser::{Event, Parser};

use super::Settings;

/// How large a settings file may be, in bytes: a hundred times what all settings take.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Why a settings file cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}", .path.display(), .line.map(|line| format!(":{line}")).unwrap_or_default())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; `None` if it concerns the whole file.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

/// On which line each setting stands, by its name.
pub(super) type Lines = BTreeMap<String, usize>;

/// Reads a settings file.
pub(super) fn read(path: &Path) -> Result<(Settings, Lines), FileError> {
    let whole = |message: String| FileError { path: path.to_owned(), line: None, message };
    let size = std::fs::metadata(path).map_err(|error| whole(error.to_string()))?.len();
    if size > MAX_FILE_BYTES {
        return Err(whole(format!("the file has {size} bytes; the limit is {MAX_FILE_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| whole(error.to_string()))?;
    parse(&text).map_err(|(line, message)| FileError {
        path: path.to_owned(),
        line: Some(line),
        message,
    })
}

type Complaint = (usize, String);

/// Where in the map the reader is.
enum Place {
    Outside,
    BeforeKey,
    BeforeValue(String),
}

fn parse(text: &str) -> Result<(Settings, Lines), Complaint> {
    let mut settings = Settings::default();
    let mut place = Place::Outside;
    let mut lines = Lines::new();
    let mut documents = 0_usize;
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|e| (e.marker().line(), format!("not valid YAML: {}", e.info())))?;
        let line = span.start.line();
        let nested = || (line, "a list or a map stands where a setting was expected".to_owned());
        place = match (event, place) {
            (Event::Scalar(key, ..), Place::BeforeKey) => {
                if lines.insert(key.to_string(), line).is_some() {
                    return Err((line, format!("`{key}` stands here a second time")));
                }
                Place::BeforeValue(key.into_owned())
            }
            (Event::Scalar(value, ..), Place::BeforeValue(key)) => {
                set(&mut settings, &key, &value).map_err(|message| (line, message))?;
                Place::BeforeKey
            }
            // A file of comments holds one empty value.
            (Event::Scalar(value, ..), Place::Outside) if value.is_empty() || value == "~" => {
                Place::Outside
            }
            (Event::Scalar(..), Place::Outside) => {
                return Err((line, "a text stands where the map of settings was expected".into()));
            }
            (Event::MappingStart(..), Place::Outside) => Place::BeforeKey,
            (Event::MappingEnd, _) => Place::Outside,
            (Event::DocumentStart(..), place) => {
                documents += 1;
                if documents > 1 {
                    return Err((line, "a second document; the file holds one map".to_owned()));
                }
                place
            }
            (Event::MappingStart(..) | Event::SequenceStart(..) | Event::SequenceEnd, _) => {
                return Err(nested());
            }
            (Event::StreamStart | Event::StreamEnd | Event::DocumentEnd, place) => place,
            (_, _) => return Err((line, "anchors and aliases are not accepted".to_owned())),
        };
    }
    Ok((settings, lines))
}

fn set(settings: &mut Settings, key: &str, value: &str) -> Result<(), String> {
    match settings.set(key, value) {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(format!("`{key}` is `{value}`: {error}")),
        None => Err(format!(
            "there is no setting `{key}`; the settings are {}",
            Settings::names().join(", ")
        )),
    }
}
