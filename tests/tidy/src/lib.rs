//! Checks of the tree itself: floors, first lines, sorted lists.
