//! What `$user`, `$home`, `$extension` and their like stand for, and the environment of commands.
//!
//! Values come from strangers: what a filter does not allow becomes `_`.

use super::context::Context;
use config::expand::{Names, try_expand};
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// Expands a parameter such as forward_path for a delivery.
pub fn expand(
    text: &str,
    context: &Context,
    delimiter: &str,
    filter: Option<&str>,
) -> Result<String, String> {
    let names = Filtered { context, delimiter, filter };
    try_expand(text, &names).map_err(|fault| fault.text)
}

/// The value of a name; `None` where no such name is known.
fn value<'a>(context: &'a Context, delimiter: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let user = context.user.as_deref();
    Some(match name {
        "user" => Cow::Borrowed(context.name.as_str()),
        "home" => Cow::Owned(user.map(|u| u.home.display().to_string()).unwrap_or_default()),
        "shell" => Cow::Owned(user.map(|u| u.shell.display().to_string()).unwrap_or_default()),
        "recipient" => Cow::Owned(context.address.to_string()),
        "extension" => Cow::Borrowed(context.extension.as_deref().unwrap_or_default()),
        "domain" => Cow::Owned(context.domain()),
        "local" => Cow::Borrowed(context.local.as_str()),
        "recipient_delimiter" => match context.extension {
            Some(_) => Cow::Owned(context.delimiter_used(delimiter)),
            None => Cow::Borrowed(""),
        },
        _ => return None,
    })
}

struct Filtered<'a> {
    context: &'a Context,
    delimiter: &'a str,
    filter: Option<&'a str>,
}

impl Names for Filtered<'_> {
    fn raw(&self, name: &str) -> Option<Cow<'_, str>> {
        let value = value(self.context, self.delimiter, name)?;
        let mut text = String::with_capacity(value.len());
        for c in value.chars() {
            match self.filter.is_none_or(|allowed| allowed.contains(c)) {
                // A value is no text to expand.
                true if c == '$' => text.push_str("$$"),
                true => text.push(c),
                false => text.extend(std::iter::repeat_n('_', c.len_utf8())),
            }
        }
        Some(text.into())
    }
}

/// The environment of a command, beyond what `export_environment` passes on.
pub fn environment(context: &Context, filter: &str) -> Vec<(OsString, OsString)> {
    let mut all: Vec<(OsString, OsString)> = Vec::new();
    let censored = |value: &[u8]| {
        let allowed = |b: u8| if filter.as_bytes().contains(&b) { b } else { b'_' };
        OsString::from_vec(value.iter().map(|&b| allowed(b)).collect())
    };
    let mut put = |name: &str, value: &[u8]| all.push((name.into(), censored(value)));
    if let Some(user) = context.user.as_deref() {
        put("HOME", user.home.as_os_str().as_bytes());
        put("SHELL", user.shell.as_os_str().as_bytes());
    }
    put("LOGNAME", context.name.as_bytes());
    put("USER", context.name.as_bytes());
    put("SENDER", context.sender.as_bytes());
    put("RECIPIENT", context.address.as_bytes());
    put("LOCAL", context.local.as_bytes());
    put("DOMAIN", context.domain().as_bytes());
    if let Some(extension) = &context.extension {
        put("EXTENSION", extension.as_bytes());
    }
    if !context.original.is_null() {
        put("ORIGINAL_RECIPIENT", context.original.as_bytes());
    }
    for (name, value) in context.client.iter() {
        put(name, value.as_bytes());
    }
    all.push(("PATH".into(), OsStr::new(super::super::command::PATH).to_owned()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTER: &str = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    #[test]
    fn names_stand_for_the_delivery_and_unsafe_values_are_made_safe() {
        let context = Context::for_test("ann", Some("a$b/../;x"), "/home/ann");
        let expanded = |text: &str, filter| expand(text, &context, "+", filter).unwrap();
        assert_eq!(
            expanded("$home/.forward${recipient_delimiter}${extension}", Some(FILTER)),
            "/home/ann/.forward+a_b/../_x"
        );
        assert_eq!(expanded("$user@$domain ${extension?x}", None), "ann@local.example x");
        assert_eq!(expanded("$extension", None), "a$b/../;x");
        let without = Context::for_test("ann", None, "/home/ann");
        assert_eq!(
            expand("$home/.forward${recipient_delimiter}${extension}", &without, "+", None).unwrap(),
            "/home/ann/.forward"
        );
        assert!(environment(&context, FILTER).contains(&("EXTENSION".into(), "a_b/../_x".into())));
        assert!(!environment(&without, FILTER).iter().any(|(name, _)| name == "EXTENSION"));
    }
}
