//! `proxy:type:name`: the table itself. Postfix asks its proxymap process, so that many processes share one open table;
//! our sessions share tables anyway.

use super::{Kind, open_inner};

/// The kind `proxy`.
pub const KIND: Kind = Kind { name: "proxy", open: open_inner };
