//! The documented read endpoints as an axum router.
