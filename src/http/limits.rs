//! How many requests at once, and for how long: for a whole router of the host's.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{Busy, Failure, Problem};

/// How many requests a router takes at once, and how long it has for the head of an answer.
#[derive(Clone)]
#[non_exhaustive]
pub struct RequestLimits {
    requests: usize,
    time: Duration,
    on_failure: Arc<dyn Fn(&Failure<'_>) + Send + Sync>,
}

impl Default for RequestLimits {
    fn default() -> RequestLimits {
        RequestLimits {
            requests: 256,
            time: Duration::from_secs(75),
            on_failure: Arc::new(|_| {}),
        }
    }
}

impl RequestLimits {
    /// 256 requests at once, 75 seconds each, refusals told to nobody.
    #[must_use]
    pub fn new() -> RequestLimits {
        RequestLimits::default()
    }

    /// Sets how many requests there may be at once: from their head to the end of the answer's
    /// body, streams of events and long polls included. Zero is taken for 1.
    #[must_use]
    pub fn with_requests(mut self, requests: u16) -> RequestLimits {
        self.requests = usize::from(requests.max(1));
        self
    }

    /// Sets how long a request may take to the head of its answer. Let it be longer than the
    /// longest wait ([`RouterOptions::with_longest_wait`](super::RouterOptions::with_longest_wait)),
    /// or long polls end as failures. The body may take longer: a stream of events does.
    #[must_use]
    pub fn with_time(mut self, time: Duration) -> RequestLimits {
        self.time = time;
        self
    }

    /// Hears of every refusal, as
    /// [`RouterOptions::with_failure_hook`](super::RouterOptions::with_failure_hook) does.
    #[must_use]
    pub fn with_failure_hook(
        mut self,
        hook: impl Fn(&Failure<'_>) + Send + Sync + 'static,
    ) -> RequestLimits {
        self.on_failure = Arc::new(hook);
        self
    }
}

impl fmt::Debug for RequestLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestLimits")
            .field("requests", &self.requests)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// Puts limits on all that a router answers, the host's own routes included: what is beyond them
/// is answered 503 with `Retry-After`.
///
/// It bounds what clients can make the server hold and do at once. What it cannot bound, because
/// it sees a request only when its head has come, see [below the module](super#what-the-host-looks-after).
///
/// ```
/// use action_store::MemoryStore;
/// use action_store::http::{AllowAll, RequestLimits, limits, router};
///
/// let app = limits(router(MemoryStore::new(), AllowAll), RequestLimits::new());
/// # let _: axum::Router = app;
/// ```
pub fn limits<S>(router: Router<S>, limits: RequestLimits) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let gate = Gate {
        places: Arc::new(Semaphore::new(limits.requests)),
        limits,
    };
    router.layer(from_fn_with_state(gate, pass))
}

#[derive(Clone)]
struct Gate {
    places: Arc<Semaphore>,
    limits: RequestLimits,
}

impl Gate {
    fn refuse(&self, busy: Busy) -> Response {
        Problem::Busy(busy).into_response(&*self.limits.on_failure)
    }
}

async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let Ok(place) = gate.places.clone().try_acquire_owned() else {
        return gate.refuse(Busy::Requests);
    };
    match tokio::time::timeout(gate.limits.time, next.run(request)).await {
        Ok(response) => response.map(|body| {
            Body::new(Held {
                body,
                _place: place,
            })
        }),
        Err(_) => gate.refuse(Busy::Time),
    }
}

/// A body that holds a place until it has been sent, or given up.
struct Held {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
