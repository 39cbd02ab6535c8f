//! The workloads: what each call does, and how many callers there are.

/// Each call is one write of a life, one look-up or one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Lives,
    Get,
    Newest,
    Object,
    Feed,
}

pub const WORKLOADS: [(&str, Work, usize); 10] = [
    ("lives-1", Work::Lives, 1),
    ("lives-8", Work::Lives, 8),
    ("lives-64", Work::Lives, 64),
    ("lives-512", Work::Lives, 512),
    ("get-1", Work::Get, 1),
    ("get-64", Work::Get, 64),
    ("newest-8", Work::Newest, 8),
    ("newest-32", Work::Newest, 32),
    ("object-32", Work::Object, 32),
    ("feed-32", Work::Feed, 32),
];

impl Work {
    /// Label of the workload, with its number of callers.
    pub fn by(self, callers: usize) -> String {
        let what = match self {
            Work::Lives => "whole lives",
            Work::Get => "one action by uid",
            Work::Newest => "newest hundred",
            Work::Object => "newest hundred of an object",
            Work::Feed => "a hundred changes",
        };
        let callers = match callers {
            1 => "1 caller".to_owned(),
            many => format!("{many} callers"),
        };
        format!("{what}, {callers}")
    }
}
