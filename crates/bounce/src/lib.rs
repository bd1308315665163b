//! Mail that the mail system writes itself: RFC 3464 reports.
