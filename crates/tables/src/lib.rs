//! Lookup tables: one file per kind, search orders in one place.
