//! The public proof of a store.
