//! What is wrong in a configuration file, where, and how it is told to the administrator.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a value was written: a file and a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The file as it was opened.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// One mistake in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Error {
    /// Where it stands; nothing for a default or for a file that cannot be read.
    pub origin: Option<Origin>,
    /// The parameter or service it is about.
    pub subject: Option<String>,
    /// What was expected and what was found.
    pub text: String,
}

impl Error {
    /// A mistake about `subject` at `origin`.
    pub fn new(origin: Option<Origin>, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Error { origin, subject: Some(subject.into()), text: text.into() }
    }

    /// A mistake about a whole file or line.
    pub fn general(origin: Option<Origin>, text: impl Into<String>) -> Self {
        Error { origin, subject: None, text: text.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if let Some(subject) = &self.subject {
            write!(f, "{subject}: ")?;
        }
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// All mistakes that were found, in the order of files and lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// `Ok` where `errors` is empty; otherwise the errors sorted, each once: a default that repeats another parameter's
    /// wrong value has no line of its own, and correcting that one helps both.
    pub fn check(mut errors: Vec<Error>) -> Result<(), Errors> {
        if errors.is_empty() {
            return Ok(());
        }
        errors.sort();
        errors.dedup();
        let written: BTreeSet<String> =
            errors.iter().filter(|e| e.origin.is_some()).map(|e| e.text.clone()).collect();
        errors.retain(|e| e.origin.is_some() || e.subject.is_none() || !written.contains(&e.text));
        Err(Errors(errors))
    }

    /// The mistakes, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &Error> {
        self.0.iter()
    }

    /// The mistakes as a list, to be joined with others.
    pub fn into_vec(self) -> Vec<Error> {
        self.0
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Errors(vec![error])
    }
}

impl fmt::Display for Errors {
    /// One mistake a line, without a line end after the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
