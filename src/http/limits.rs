//! Bounds concurrent requests and their time, for a whole router of the host.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use axum::response::Response;
use axum::{BoxError, Router};
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_layer::Layer;
use tower_service::Service;

use super::error::{Busy, Failure, Problem};

/// How many requests a router serves at once, and how long each may take to the head of its answer.
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
    /// 256 requests at once, 75 seconds each, no failure hook.
    #[must_use]
    pub fn new() -> RequestLimits {
        RequestLimits::default()
    }

    /// Sets the maximum number of concurrent requests; 256 by default. A request counts from its head
    /// to the end of the answer's body. Streams and long polls count too. Zero is taken for 1.
    #[must_use]
    pub fn with_requests(mut self, requests: u16) -> RequestLimits {
        self.requests = usize::from(requests.max(1));
        self
    }

    /// Sets the time from a request to the head of its answer; 75 seconds by default. It must exceed
    /// the longest wait ([`RouterOptions::with_longest_wait`](super::RouterOptions::with_longest_wait)),
    /// or long polls end as failures. The body may take longer: a stream of events does.
    #[must_use]
    pub fn with_time(mut self, time: Duration) -> RequestLimits {
        self.time = time;
        self
    }

    /// Sets a hook that is called for every refusal, like
    /// [`RouterOptions::with_failure_hook`](super::RouterOptions::with_failure_hook).
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

/// Limits all requests of a router, the host's own routes included: `router.layer` with a
/// [`RequestLimitsLayer`]. A request beyond the limits is answered 503 with `Retry-After`.
///
/// It sees a request only when its head has arrived. The host bounds the time before that; see
/// [the module](super#what-the-host-looks-after).
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
    router.layer(RequestLimitsLayer::new(limits))
}

/// The limits of [`limits`] as a `tower::Layer`, for hosts that stack their layers themselves. All
/// services that one layer and its clones make share the limits.
///
/// ```
/// use action_store::MemoryStore;
/// use action_store::http::{AllowAll, RequestLimits, RequestLimitsLayer, router};
/// use tower::ServiceBuilder;
///
/// let stack = ServiceBuilder::new().layer(RequestLimitsLayer::new(RequestLimits::new()));
/// let app: axum::Router = router(MemoryStore::new(), AllowAll).layer(stack);
/// # let _ = app;
/// ```
#[derive(Debug, Clone)]
pub struct RequestLimitsLayer {
    gate: Gate,
}

impl RequestLimitsLayer {
    /// Makes a layer with limits of its own.
    #[must_use]
    pub fn new(limits: RequestLimits) -> RequestLimitsLayer {
        let places = Arc::new(Semaphore::new(limits.requests));
        RequestLimitsLayer {
            gate: Gate { places, limits },
        }
    }
}

impl<S> Layer<S> for RequestLimitsLayer {
    type Service = LimitedRequests<S>;

    fn layer(&self, inner: S) -> LimitedRequests<S> {
        LimitedRequests {
            gate: self.gate.clone(),
            inner,
        }
    }
}

/// The service of a [`RequestLimitsLayer`].
#[derive(Debug, Clone)]
pub struct LimitedRequests<S> {
    gate: Gate,
    inner: S,
}

#[derive(Debug, Clone)]
struct Gate {
    places: Arc<Semaphore>,
    limits: RequestLimits,
}

impl Gate {
    fn refuse(&self, busy: Busy) -> Response {
        Problem::Busy(busy).into_response(&*self.limits.on_failure)
    }
}

impl<S, B, R> Service<Request<B>> for LimitedRequests<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let gate = self.gate.clone();
        let Ok(place) = gate.places.clone().try_acquire_owned() else {
            return Box::pin(async move { Ok(gate.refuse(Busy::Requests)) });
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let Ok(answer) = tokio::time::timeout(gate.limits.time, answer).await else {
                return Ok(gate.refuse(Busy::Time));
            };
            Ok(answer?.map(|body| {
                Body::new(Held {
                    body: Body::new(body),
                    _place: place,
                })
            }))
        })
    }
}

/// A body that holds its permit until it has been sent or dropped.
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
