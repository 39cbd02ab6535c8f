//! A SQLite store behind a listener on loopback, and the requests of clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use action_store::http::{AllowAll, BasicAuth, RequestLimits, RouterOptions, limits, router_with};
use action_store::{
    ActionError, ActionStoreExt, ActionUid, Batch, Finish, NewAction, ObjectRef, OwnerRef,
    SqliteStore,
};
use axum::http::StatusCode;
use axum::routing::any;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::attack::{Dice, Place, create, place_for};

/// Maximum number of waits and streams. It is small, so that a leaked slot is noticed.
pub(crate) const WATCHERS: u16 = 8;

/// Path prefix that requires user `a` and password `b`.
pub(crate) const LOCKED: &str = "/locked";

/// Path that is always answered 418, which no other path is.
pub(crate) const END: &str = "/end";

pub(crate) struct Server {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) uids: Vec<ActionUid>,
    pub(crate) place: Place,
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Serves this many actions without authentication, the same under [`LOCKED`] with
    /// authentication, and [`END`]. Each stream ends after `stream_time`.
    pub(crate) async fn start(actions: usize, stream_time: Duration) -> Server {
        let place = place_for("actions.db");
        let store = Arc::new(SqliteStore::open(&place.path).await.unwrap());
        let mut uids = Vec::new();
        let mut commands = Vec::new();
        for n in 0..actions {
            let new = match n % 3 {
                0 => NewAction::state_machine("SM", ObjectRef::bdb(n as u64 % 7)),
                _ => NewAction::task("backup_bdb").with_tenant("eu"),
            };
            uids.push(new.uid);
            commands.push(create(new));
        }
        for chunk in commands.chunks(1000) {
            for answer in action_store::ActionStore::write(&store, Batch::each(chunk.to_vec()))
                .await
                .unwrap()
            {
                answer.unwrap();
            }
        }
        let options = RouterOptions::new()
            .with_watchers(WATCHERS)
            .with_longest_wait(Duration::from_secs(2))
            .with_stream_time(stream_time);
        let user = BasicAuth::new("a", "b").unwrap();
        let locked = router_with(store.clone(), user, options.clone());
        let app = router_with(store.clone(), AllowAll, options)
            .nest(LOCKED, locked)
            .route(END, any(StatusCode::IM_A_TEAPOT));
        let app = limits(app, RequestLimits::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Server {
            store,
            uids,
            place,
            address,
            task,
        }
    }

    /// Sends a valid GET and returns status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let asked = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        };
        let answer = timeout(Duration::from_secs(60), asked).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Returns an existing path, with a query that may be invalid.
    pub(crate) fn path(&self, dice: &Dice) -> String {
        let uid = dice.one_of(&self.uids);
        let other = ActionUid::new();
        let paths = [
            "/v1/actions".to_owned(),
            "/v2/actions".to_owned(),
            "/v1/actions/bdb/3".to_owned(),
            format!("/v1/actions/{uid}"),
            format!("/v2/actions/{uid}"),
            format!("/v1/actions/{other}"),
            format!("/v1/actions/{uid}/history"),
            "/v1/actions/changes".to_owned(),
            "/v1/actions/".to_owned(),
            format!("/v1/actions/{uid}/x/y"),
        ];
        let queries = [
            "",
            "",
            "",
            "?limit=7",
            "?limit=1000&order=oldest",
            "?status=queued",
            "?outcome=lost",
            "?name=SM&tenant=eu",
            "?object=bdb:1&since=0&until=2100-01-01T00:00:00Z",
            "?wait=20ms",
            "?after=0",
            "?after=0&wait=1s",
            "?after=1&limit=3",
            "?cursor=f",
            "?limit=0",
            "?x=%ff",
        ];
        let query = match dice.roll(2) {
            0 => "",
            _ => dice.one_of(&queries),
        };
        format!("{}{query}", dice.one_of(&paths))
    }

    /// Records actions like a plane, until `stop` is set.
    pub(crate) async fn work(&self, stop: Arc<std::sync::atomic::AtomicBool>) -> usize {
        let owner = OwnerRef::new("plane");
        let claim = action_store::Command::claim(owner.clone());
        self.store.command(claim).await.unwrap();
        let mut done = 0;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let uid = self
                .store
                .create(NewAction::task("work"))
                .await
                .unwrap()
                .uid;
            self.store.start(uid, &owner).await.unwrap();
            let error = ActionError::new("code", "message");
            let finish = Finish::failed(error);
            self.store.finish(uid, finish, Some(&owner)).await.unwrap();
            done += 1;
        }
        done
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
