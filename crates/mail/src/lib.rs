//! Values of mail.
