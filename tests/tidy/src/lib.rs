//! Checks of the tree itself: floors, first lines, sorted lists.

pub mod floors;
pub mod source;
