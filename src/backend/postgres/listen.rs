//! Notifications of other processes' commits, which make the next poll come early.
//!
//! A notification may be lost, for example while the connection is down. The polls go on, and are
//! what a waiting call depends on.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use tokio::sync::watch;

use super::setup::Notices;
use super::source::Source;
use crate::backend::sql::PollHint;

/// Pause before the next attempt to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens on a connection of its own until the store is closed or dropped.
pub(super) async fn run(
    source: Source,
    notices: Notices,
    hint: PollHint,
    mut closing: watch::Receiver<bool>,
) {
    let servers = match source {
        Source::Own(servers) => servers.to_vec(),
        // Not one of the pool's connections: it would be missing there for ever.
        Source::Pool(pool) => vec![PgConnectOptions::clone(&pool.connect_options())],
    };
    let listening = async {
        loop {
            for server in &servers {
                let pool = pool_of_one(server);
                // The polls go on without it.
                let _failed = listen(&pool, &notices, &hint).await;
                pool.close().await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        () = listening => {}
        _ = closing.wait_for(|closing| *closing) => {}
    }
}

/// A listener takes its connection from a pool.
fn pool_of_one(server: &PgConnectOptions) -> PgPool {
    let options = PgPoolOptions::new().max_connections(1);
    let options = options.max_lifetime(None).idle_timeout(None);
    options.connect_lazy_with(server.clone())
}

/// Passes notifications on until the connection cannot be opened or is lost. A standby refuses.
async fn listen(pool: &PgPool, notices: &Notices, hint: &PollHint) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(&notices.channel).await?;
    // It has missed the notifications of earlier commits.
    hint.give();
    while let Some(notice) = listener.try_recv().await? {
        // The store has seen its own commits.
        if notice.payload() != notices.sender {
            hint.give();
        }
    }
    Ok(())
}
