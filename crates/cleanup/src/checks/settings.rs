//! The tables and limits of header and body checks, opened once.

use super::characters::Characters;
use config::parameters::{Checking, Cleanup};
use config::{Config, Errors, ServiceLine};
use mail::mime::Reading;
use tables::{Maps, Opener};

/// What content is looked at for.
#[derive(Clone, Debug)]
pub struct Checks {
    /// `header_checks`.
    pub header: Maps,
    /// `mime_header_checks`.
    pub mime_header: Maps,
    /// `nested_header_checks`.
    pub nested_header: Maps,
    /// `body_checks`.
    pub body: Maps,
    /// So much of each part's body is checked.
    pub body_bytes_max: u64,
    /// How the structure is read.
    pub reading: Reading,
    /// Refuses 8-bit headers.
    pub strict_headers: bool,
    /// Refuses 8-bit bodies that are not declared.
    pub strict_bodies: bool,
    /// Refuses encoded parts and messages.
    pub strict_encodings: bool,
    /// A Content-Transfer-Encoding header tells that the message is 8-bit.
    pub detects_encoding: bool,
    /// What is stripped and refused.
    pub characters: Characters,
}

impl Default for Checks {
    fn default() -> Self {
        Checks {
            header: Maps::default(),
            mime_header: Maps::default(),
            nested_header: Maps::default(),
            body: Maps::default(),
            body_bytes_max: 51_200,
            reading: Reading::default(),
            strict_headers: false,
            strict_bodies: false,
            strict_encodings: false,
            detects_encoding: true,
            characters: Characters::default(),
        }
    }
}

impl Checks {
    /// Opens what the cleanup service in `line` is told; the errors name file and line.
    pub fn open(
        config: &Config,
        line: Option<&ServiceLine>,
        tables: &tables::Settings,
    ) -> Result<Checks, Errors> {
        let (view, own) = (Checking::read(config, line)?, Cleanup::read(config, line)?);
        let mut opener = Opener::new(config.scope(line), tables);
        let mut maps = |parameter: &str, specs: &[String]| opener.maps(parameter, specs);
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let strict = view.strict_8bitmime;
        let checks = Checks {
            header: maps("header_checks", &view.header_checks),
            mime_header: maps("mime_header_checks", &view.mime_header_checks),
            nested_header: maps("nested_header_checks", &view.nested_header_checks),
            body: maps("body_checks", &view.body_checks),
            body_bytes_max: view.body_checks_size_limit,
            reading: Reading {
                header_bytes_max: size(own.header_size_limit),
                boundary_bytes_max: size(view.mime_boundary_length_limit),
                nesting_max: size(view.mime_nesting_limit),
                flat: view.disable_mime_input_processing,
                watches_bodies: strict || view.strict_8bitmime_body,
                narrows: false,
            },
            strict_headers: strict || view.strict_7bit_headers,
            strict_bodies: strict || view.strict_8bitmime_body,
            strict_encodings: view.strict_mime_encoding_domain,
            detects_encoding: own.detect_8bit_encoding_header,
            characters: Characters::parse(&own.message_strip_characters, &own.message_reject_characters),
        };
        opener.finish()?;
        Ok(checks)
    }
}
