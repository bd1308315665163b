//! Bits of a queue file's mode, by which Postfix's programs talk to each other.

/// The file is complete.
pub const COMPLETE: u32 = 0o100;

/// To be delivered now, also to what is deferred as a whole (`postqueue -i`, the flush service).
pub const FLUSH: u32 = 0o040;

/// To be given up (`postsuper -e`).
pub const FORCE_EXPIRE: u32 = 0o010;
