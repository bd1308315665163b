//! What a message must be before it is queued: headers added, removed and checked.
