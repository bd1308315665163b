//! LMDB files, read and written without LMDB.
//!
//! Pages 0 and 1 say in turn where the tree of the latest transaction starts; a writer changes no page of that tree and
//! of the one before. A reader that finds the same transaction after its walk as before it has seen whole pages, so no
//! lock is needed; where another came meanwhile it walks again. LMDB itself maps the file, and a file that is cut
//! ends its process with SIGBUS; here that is an error which names the page.

mod page;
mod read;
mod write;

pub(super) use read::open;
pub(super) use write::write;
