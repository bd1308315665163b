//! Log lines of smtpd.
