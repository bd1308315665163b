//! How many cases of the judgement of clients need a mark that Posthaste means to differ.

use testkit::case::CaseFile;

/// Such cases at most.
const MAX: usize = 10;

/// What files are called whose subject is another: the client, the queue, deliveries, content.
const OTHER_SUBJECTS: &[&str] =
    &["smtp-client", "checks", "client-flags", "lmtp", "local-", "status-filter", "strict-", "virtual"];

/// The cases with a `differs:` line, if they are too many. What a newer Postfix does is none.
pub fn of_restrictions(files: &[(String, String)]) -> Result<Vec<String>, String> {
    let mut marked = Vec::new();
    for (file, text) in
        files.iter().filter(|(file, _)| !OTHER_SUBJECTS.iter().any(|name| file.starts_with(name)))
    {
        let parsed = CaseFile::parse(text).map_err(|why| format!("{file}: {why}"))?;
        let cases = parsed.cases.iter().filter(|case| case.differs);
        marked.extend(cases.map(|case| format!("{file}/{}", case.name)));
    }
    Ok(if marked.len() > MAX { marked } else { Vec::new() })
}
