//! How opening waits for other openers and writers.

use std::time::{Duration, Instant};

use super::errors::is_busy;
use super::schema::BUSY;
use crate::error::{StoreError, StoreErrorKind as ErrorKind};

/// Repeats a step of opening while another connection has the database locked. Does not depend on
/// the connection's `busy_timeout`: other openers, or a rollback after a crash, may take a moment.
macro_rules! patiently {
    ($step:expr) => {{
        let begun = std::time::Instant::now();
        loop {
            match $step {
                Err(error) if $crate::backend::sqlite::patience::is_locked(begun, &error) => {
                    $crate::backend::sqlite::patience::pause(begun).await?;
                }
                done => break done,
            }
        }
    }};
}

pub(super) use patiently;

/// Returns true if another connection has the database locked, and waiting for it is worthwhile.
pub(super) fn is_locked(begun: Instant, error: &StoreError) -> bool {
    is_busy(error) && begun.elapsed() < BUSY
}

/// Waits a moment for other processes that are opening the same store, up to a limit.
pub(super) async fn pause(begun: Instant) -> Result<(), StoreError> {
    if begun.elapsed() >= BUSY {
        return Err(already_open());
    }
    // The process id spreads the waits, so that waiting processes do not collide again and again.
    let spread = u64::from(std::process::id() % 7) + u64::from(begun.elapsed().subsec_micros() % 5);
    tokio::time::sleep(Duration::from_millis(2 + spread)).await;
    Ok(())
}

pub(super) fn already_open() -> StoreError {
    unavailable("the store is open already, here or in another process, perhaps under another name")
        .with_in_use()
}

pub(super) fn unavailable(message: impl Into<std::borrow::Cow<'static, str>>) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, "open", message)
}
