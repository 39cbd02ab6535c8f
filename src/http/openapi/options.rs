//! Options of a document.

/// Options of a document: where the host serves what it describes.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct OpenApiOptions {
    pub(super) prefix: String,
    pub(super) servers: Vec<String>,
}

impl OpenApiOptions {
    /// No prefix and no servers: the paths begin where the document is.
    #[must_use]
    pub fn new() -> OpenApiOptions {
        OpenApiOptions::default()
    }

    /// Sets the path under which the host nests the router, such as `/cluster`; none by default. A
    /// slash at its end is removed.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> OpenApiOptions {
        prefix.trim_end_matches('/').clone_into(&mut self.prefix);
        self
    }

    /// Adds a server by its URL, such as `https://plane.example.com`; none by default. Clients then
    /// use the server from which they have read the document.
    #[must_use]
    pub fn with_server(mut self, url: impl Into<String>) -> OpenApiOptions {
        self.servers.push(url.into());
        self
    }
}
