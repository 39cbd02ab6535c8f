//! What a router can be told beside its store and its authorizer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::Failure;
use super::words::Words;
use crate::model::Limits;

/// What a router can be told beside its store and its authorizer.
#[derive(Clone)]
#[non_exhaustive]
pub struct RouterOptions {
    pub(super) bounds: Bounds,
    pub(super) words: Words,
    pub(super) v1: bool,
    pub(super) v2: bool,
    pub(super) on_failure: Arc<dyn Fn(&Failure<'_>) + Send + Sync>,
}

impl Default for RouterOptions {
    fn default() -> RouterOptions {
        RouterOptions {
            bounds: Bounds::default(),
            words: Words::default(),
            v1: true,
            v2: true,
            on_failure: Arc::new(|_| {}),
        }
    }
}

impl RouterOptions {
    /// Both versions, the lifecycle's own words, the bounds that each says at its setter, failures
    /// told to nobody.
    #[must_use]
    pub fn new() -> RouterOptions {
        RouterOptions::default()
    }

    /// Sets the words in which version 1 says where an action is; [`Words::Lifecycle`] unless set.
    /// Version 2 has one vocabulary only.
    #[must_use]
    pub fn with_words(mut self, words: Words) -> RouterOptions {
        self.words = words;
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

    /// Hears of every answer that is not the client's fault (5xx), with the reference that the
    /// client was given instead of the reason: log them together. Of a stream of events that waits
    /// for a store to come back, it hears once an outage, with a reference that nobody was given.
    /// It is called while the request waits, so it must not block.
    #[must_use]
    pub fn with_failure_hook(
        mut self,
        hook: impl Fn(&Failure<'_>) + Send + Sync + 'static,
    ) -> RouterOptions {
        self.on_failure = Arc::new(hook);
        self
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
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            cap: Limits::PAGE,
            page_bytes: 4 * 1024 * 1024,
            longest_wait: Duration::from_secs(60),
            stream_time: Duration::from_secs(5 * 60),
            watchers: 128,
        }
    }
}

/// A day: whoever wants more comes again.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl RouterOptions {
    /// Sets how many actions an answer of a list has at most, also when a client asks for more:
    /// 1..=[`Limits::PAGE`], which is also the default; what lies outside is taken for the nearest
    /// of these.
    #[must_use]
    pub fn with_cap(mut self, cap: u16) -> RouterOptions {
        self.bounds.cap = cap.clamp(1, Limits::PAGE);
        self
    }

    /// Sets how many bytes the answer of a list or a page of the feed has at most: 4 MiB unless
    /// set. One action is always shown, however long. What a client may make the server hold is
    /// this twice over, and the actions of a part of it, times the requests at once ([`RequestLimits`](super::RequestLimits)).
    #[must_use]
    pub fn with_page_bytes(mut self, bytes: usize) -> RouterOptions {
        self.bounds.page_bytes = bytes;
        self
    }

    /// Sets how long a request with `wait` waits at most, also when a client asks for more:
    /// 60 seconds unless set, at most a day. Zero turns waiting off: the answer comes at once.
    #[must_use]
    pub fn with_longest_wait(mut self, time: Duration) -> RouterOptions {
        self.bounds.longest_wait = time.min(LONGEST);
        self
    }

    /// Sets after how long a stream of events ends, for the client to come again with its rights
    /// as they are then: 5 minutes unless set, at most a day.
    #[must_use]
    pub fn with_stream_time(mut self, time: Duration) -> RouterOptions {
        self.bounds.stream_time = time.min(LONGEST);
        self
    }

    /// Sets how many requests may wait or stream at once: 128 unless set. One more is answered 503
    /// with `Retry-After`. Zero turns both off.
    #[must_use]
    pub fn with_watchers(mut self, watchers: u16) -> RouterOptions {
        self.bounds.watchers = watchers.into();
        self
    }
}
