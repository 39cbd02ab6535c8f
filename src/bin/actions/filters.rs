//! The filters of a command line.

use std::str::FromStr;

use action_store::query::StateSet;
use action_store::{ActionUid, Filter, ObjectRef, Outcome, Query, Source, Status, Timestamp};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::time;

/// Conditions of a list. An action must meet all of them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters (an action must meet all of them)")]
pub(crate) struct FilterArgs {
    /// One of these statuses; several with commas between them
    #[arg(long, value_delimiter = ',', value_parser = words(Status::ALL, Status::as_str))]
    status: Vec<Status>,
    /// Queued or executing
    #[arg(long)]
    unfinished: bool,
    /// One of these outcomes; several with commas between them
    #[arg(long, value_delimiter = ',', value_parser = words(Outcome::ALL, Outcome::as_str))]
    outcome: Vec<Outcome>,
    /// Kind of action
    #[arg(long, value_parser = words(Source::ALL, Source::as_str))]
    source: Option<Source>,
    /// Exactly this name; with a * at the end, names that begin with the rest
    #[arg(long)]
    name: Option<String>,
    /// Has this label, or a label with this key; can be repeated
    #[arg(long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// Works on this object, such as bdb:1 or cluster
    #[arg(long)]
    object: Option<ObjectRef>,
    /// Touches this object, as its own or as a related one
    #[arg(long, value_name = "OBJECT")]
    touches: Option<ObjectRef>,
    /// Belongs to this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Was asked for by this actor
    #[arg(long)]
    actor: Option<String>,
    /// Is owned by an incarnation of this name
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Is a part of this action
    #[arg(long, value_name = "UID", value_parser = uid)]
    parent: Option<ActionUid>,
    /// Retries this action
    #[arg(long, value_name = "UID", value_parser = uid)]
    retry_of: Option<ActionUid>,
    /// Has this request or trace id
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// Has a cancel request
    #[arg(long)]
    cancel_requested: bool,
    /// Created at this time or later: 2h (before now), RFC 3339, or a date in UTC
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    since: Option<Timestamp>,
    /// Created before this time
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    until: Option<Timestamp>,
    /// Completed at this time or later
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    finished_since: Option<Timestamp>,
    /// Completed before this time
    #[arg(long, value_name = "TIME", value_parser = time::time)]
    finished_until: Option<Timestamp>,
}

impl FilterArgs {
    /// Returns the filters.
    pub(crate) fn filters(&self) -> Vec<Filter> {
        let text = |text: &Option<String>| text.as_deref().map(Into::into);
        let labels = self.label.iter().map(|text| Filter::label_text(text));
        let others = [
            statuses(&self.status),
            self.unfinished.then_some(Filter::Unfinished),
            outcomes(&self.outcome),
            self.source.map(Filter::Source),
            self.name.as_deref().map(Filter::name_or_prefix),
            self.object.clone().map(Filter::Object),
            self.touches.clone().map(Filter::Touches),
            text(&self.tenant).map(Filter::Tenant),
            text(&self.actor).map(Filter::Actor),
            text(&self.owner).map(Filter::OwnerName),
            self.parent.map(Filter::Parent),
            self.retry_of.map(Filter::RetryOf),
            text(&self.correlation).map(Filter::Correlation),
            self.cancel_requested.then_some(Filter::CancelRequested),
            self.since.map(Filter::CreatedFrom),
            self.until.map(Filter::CreatedBefore),
            self.finished_since.map(Filter::FinishedFrom),
            self.finished_until.map(Filter::FinishedBefore),
        ];
        others.into_iter().flatten().chain(labels).collect()
    }

    /// Returns a query with these filters.
    pub(crate) fn query(&self) -> Query {
        self.filters()
            .into_iter()
            .fold(Query::new(), Query::with_filter)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filters().is_empty()
    }
}

fn statuses(words: &[Status]) -> Option<Filter> {
    match words {
        [] => None,
        [one] => Some(Filter::Status(*one)),
        several => {
            let set = StateSet::new().with_statuses(several.iter().copied());
            Some(Filter::States(set))
        }
    }
}

fn outcomes(words: &[Outcome]) -> Option<Filter> {
    match words {
        [] => None,
        [one] => Some(Filter::Outcome(*one)),
        several => {
            let set = StateSet::new().with_outcomes(several.iter().copied());
            Some(Filter::States(set))
        }
    }
}

/// Parses one of the words, which help and the completion of a shell show.
pub(crate) fn words<T>(
    all: &'static [T],
    word: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + FromStr + 'static,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let words = all.iter().map(|value| word(*value));
    PossibleValuesParser::new(words).try_map(|text| text.parse::<T>())
}

/// Parses a uid in any spelling of a UUID: people paste them in upper case and without hyphens.
pub(crate) fn uid(text: &str) -> Result<ActionUid, String> {
    let uuid = uuid::Uuid::try_parse(text.trim());
    uuid.map(ActionUid::from_uuid).map_err(|_| {
        "not the uid of an action, such as 01890a5d-ac96-774b-bcce-b302099a8057".to_owned()
    })
}
