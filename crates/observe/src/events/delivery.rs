//! Log lines of delivery.
