//! Options of a router.

use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::error::Failure;
use super::status_vocabulary::StatusVocabulary;
use crate::clock::Clock;
use crate::model::Limits;

/// Options of a router: its versions, vocabulary, bounds and failure hook.
#[derive(Clone)]
#[non_exhaustive]
pub struct RouterOptions {
    pub(super) bounds: Bounds,
    pub(super) words: StatusVocabulary,
    pub(super) v1: bool,
    pub(super) v2: bool,
    pub(super) on_failure: Arc<dyn Fn(&Failure<'_>) + Send + Sync>,
    pub(super) shutdown: Shutdown,
    pub(super) clock: Clock,
}

impl Default for RouterOptions {
    fn default() -> RouterOptions {
        RouterOptions {
            bounds: Bounds::default(),
            words: StatusVocabulary::default(),
            v1: true,
            v2: true,
            on_failure: Arc::new(|_| {}),
            shutdown: Shutdown::default(),
            clock: Clock::system(),
        }
    }
}

impl RouterOptions {
    /// The defaults: both versions, the lifecycle's words, no failure hook. Each setter documents its
    /// default bound.
    #[must_use]
    pub fn new() -> RouterOptions {
        RouterOptions::default()
    }

    /// Sets the status words of version 1; [`StatusVocabulary::Lifecycle`] by default. Version 2 has one
    /// vocabulary.
    #[must_use]
    pub fn with_vocabulary(mut self, words: StatusVocabulary) -> RouterOptions {
        self.words = words;
        self
    }

    /// Sets the clock that stamps the store's actions; the system clock by default. The remaining
    /// time of an action is computed from it.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> RouterOptions {
        self.clock = clock;
        self
    }

    /// Leaves version 1 out.
    #[must_use]
    pub fn without_v1(mut self) -> RouterOptions {
        self.v1 = false;
        self
    }

    /// Leaves version 2 out.
    #[must_use]
    pub fn without_v2(mut self) -> RouterOptions {
        self.v2 = false;
        self
    }

    /// Sets a hook that is called for every answer with a 5xx status. It receives the failure and the
    /// reference that the client got in its place: log them together. For a stream of events that
    /// waits for the store, it is called once per outage, with a reference that no client has. The
    /// request waits for the hook, so the hook must not block.
    #[must_use]
    pub fn with_failure_hook(
        mut self,
        hook: impl Fn(&Failure<'_>) + Send + Sync + 'static,
    ) -> RouterOptions {
        self.on_failure = Arc::new(hook);
        self
    }

    /// Sets the host's stop signal. It is called for each stream and each wait. The future that it
    /// returns must complete when the host stops, at once if the host has stopped already.
    ///
    /// Then streams end, and waits are answered with the current state, as if their time were up.
    /// Without a signal they end after their own time, and a graceful shutdown waits for them: up to
    /// [`with_stream_time`](RouterOptions::with_stream_time) and
    /// [`with_longest_wait`](RouterOptions::with_longest_wait).
    ///
    /// ```no_run
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// use action_store::MemoryStore;
    /// use action_store::http::{AllowAll, RouterOptions, router_with};
    /// use tokio::sync::watch;
    ///
    /// let (stop, stopped) = watch::channel(false);
    /// let signal = move || {
    ///     let mut stopped = stopped.clone();
    ///     async move { drop(stopped.wait_for(|stopped| *stopped).await) }
    /// };
    /// let options = RouterOptions::new().with_shutdown(signal.clone());
    /// let app = router_with(MemoryStore::new(), AllowAll, options);
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// tokio::spawn(async move {
    ///     let _ = tokio::signal::ctrl_c().await;
    ///     let _ = stop.send(true);
    /// });
    /// axum::serve(listener, app).with_graceful_shutdown(signal()).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_shutdown<F>(
        mut self,
        signal: impl Fn() -> F + Send + Sync + 'static,
    ) -> RouterOptions
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.shutdown = Shutdown(Some(Arc::new(move || Box::pin(signal()))));
        self
    }
}

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The host's stop signal, if it has one.
#[derive(Clone, Default)]
pub(super) struct Shutdown(Option<Arc<dyn Fn() -> BoxFuture + Send + Sync>>);

impl Shutdown {
    /// Completes when the host stops.
    pub(super) async fn begun(&self) {
        match &self.0 {
            Some(signal) => signal().await,
            None => pending().await,
        }
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").finish_non_exhaustive()
    }
}

impl fmt::Debug for RouterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterOptions")
            .field("bounds", &self.bounds)
            .field("words", &self.words)
            .field("v1", &self.v1)
            .field("v2", &self.v2)
            .finish_non_exhaustive()
    }
}

/// See the setters of [`RouterOptions`].
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) cap: u16,
    pub(super) page_bytes: usize,
    pub(super) longest_wait: Duration,
    pub(super) stream_time: Duration,
    pub(super) watchers: usize,
    pub(super) watchers_per_client: Option<u16>,
}

impl Bounds {
    /// The bound for one client: half of all, unless the host has set another.
    pub(super) fn watchers_of_a_client(&self) -> usize {
        self.watchers_per_client
            .map_or(self.watchers.div_ceil(2), usize::from)
    }
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            cap: Limits::PAGE,
            page_bytes: 4 * 1024 * 1024,
            longest_wait: Duration::from_secs(60),
            stream_time: Duration::from_secs(5 * 60),
            watchers: 128,
            watchers_per_client: None,
        }
    }
}

/// The longest configurable time: one day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl RouterOptions {
    /// Sets the maximum number of actions in the answer of a list, also if a client asks for more:
    /// 1..=[`Limits::PAGE`]; [`Limits::PAGE`] by default. A value outside is clamped.
    #[must_use]
    pub fn with_cap(mut self, cap: u16) -> RouterOptions {
        self.bounds.cap = cap.clamp(1, Limits::PAGE);
        self
    }

    /// Sets the maximum bytes of a list or a page of the feed; 4 MiB by default. One action is always
    /// shown, however long. A request may hold twice this memory, and the actions of one page. The
    /// number of concurrent requests is bounded by [`RequestLimits`](super::RequestLimits).
    #[must_use]
    pub fn with_page_bytes(mut self, bytes: usize) -> RouterOptions {
        self.bounds.page_bytes = bytes;
        self
    }

    /// Sets the longest time of a request with `wait`, also if a client asks for more; 60 seconds by
    /// default, at most a day. Zero turns waiting off: every answer comes at once.
    #[must_use]
    pub fn with_longest_wait(mut self, time: Duration) -> RouterOptions {
        self.bounds.longest_wait = time.min(LONGEST);
        self
    }

    /// Sets the time after which a stream of events ends; 5 minutes by default, at most a day. The
    /// client then connects again and is authorized again.
    #[must_use]
    pub fn with_stream_time(mut self, time: Duration) -> RouterOptions {
        self.bounds.stream_time = time.min(LONGEST);
        self
    }

    /// Sets how many requests may wait or stream at once; 128 by default. One more is answered 503
    /// with `Retry-After`. Zero turns both off.
    #[must_use]
    pub fn with_watchers(mut self, watchers: u16) -> RouterOptions {
        self.bounds.watchers = watchers.into();
        self
    }

    /// Sets how many of these one client may hold; half of [`with_watchers`](RouterOptions::with_watchers)
    /// by default, so that no client can take all. One more is answered 503 with `Retry-After`. The
    /// authorizer names the client with [`Scope::with_client`](super::Scope::with_client). Requests
    /// without a name count in the total only.
    #[must_use]
    pub fn with_watchers_per_client(mut self, watchers: u16) -> RouterOptions {
        self.bounds.watchers_per_client = Some(watchers);
        self
    }
}
