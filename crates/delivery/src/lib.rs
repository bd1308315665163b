//! Delivery agents behind one trait.
