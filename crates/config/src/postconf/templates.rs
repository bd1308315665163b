//! postconf -b and -t: the texts of delivery reports, from the built-in ones or from a template file.

use super::model::{Model, View};
use super::options::Options;
use super::{Output, file};
use crate::templates::{self, Template};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Shows the templates; with `expanded`, their bodies with the values of the names in them.
pub(super) fn run(
    model: &Model,
    options: &Options,
    expanded: bool,
    built_in: &[Template],
    output: &mut Output,
) -> Result<(), String> {
    let mut found = built_in.to_vec();
    let mut name = match options.words.first() {
        Some(name) => name.clone(),
        None => model.expand("$bounce_template_file", None, output)?,
    };
    if name.is_empty() {
        "[built-in]".clone_into(&mut name);
    } else {
        let bytes: Vec<u8> = super::bytes(&name).collect();
        let path = PathBuf::from(OsString::from_vec(bytes));
        let text = file::read(&path)?.ok_or_else(|| file::missing(&path))?;
        name = file::shown(&path);
        for warning in templates::read(&text, &name, &mut found)? {
            output.warn(&warning);
        }
    }
    let mut texts = Vec::new();
    for template in &found {
        texts.push(if expanded { body(model, template, &name, output)? } else { source(template) });
    }
    output.print(&texts.join("\n"));
    Ok(())
}

/// As a template file would have it.
fn source(template: &Template) -> String {
    let Template { class, charset, from, subject, postmaster_subject, body } = template;
    let copy = postmaster_subject.iter().map(|subject| format!("Postmaster-Subject: {subject}\n"));
    format!(
        "{class}_template = <<EOF\nCharset: {charset}\nFrom: {from}\nSubject: {subject}\n{}\n{body}EOF\n",
        copy.collect::<String>()
    )
}

fn body(model: &Model, template: &Template, file: &str, output: &mut Output) -> Result<String, String> {
    let view = View { model, service: None };
    let (body, warnings) = template.expanded(&view, file)?;
    for warning in warnings {
        output.warn(&warning);
    }
    Ok(format!("expanded_{}_text = <<EOF\n{body}EOF\n", template.class))
}
