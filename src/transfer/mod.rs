//! Transfer: export a store to text, import the text, or copy a store into another.
//!
//! - [`export`] and [`Exporter`] write a store as lines of JSON.
//!
//! - [`import`] and [`Importer`] write such lines into a store.
//!
//! - [`copy`] and [`Copier`] copy directly from store to store, and compare the two at the end.
//!
//! Transfer uses only the methods of [`ActionStore`](crate::ActionStore), so it works with every
//! store, in both directions. It holds one page of actions in memory, regardless of the size of the
//! store.
//!
//! # Scope
//!
//! Transferred are all actions and their logs, byte for byte, with fields of a later version.
//! Unfinished actions keep their exclusive keys, and all actions keep their idempotency keys. A
//! repeated create finds its action in the new store as in the old one.
//!
//! - **Owners and their leases are not transferred.** The owner of an unfinished action is unknown
//!   to the new store and cannot report there. The action can be completed as lost (or
//!   interrupted, when queued), with [`OwnerEnd::Unknown`](crate::owner::OwnerEnd::Unknown) as evidence.
//!   It can also be adopted. So stop the owners first, or transfer completed actions only
//!   (`with_filter(Filter::Status(Status::Completed))`).
//!
//! - **Pins are not transferred.** No method of the trait shows them. The host must pin the actions
//!   again.
//!
//! - **Revisions, cursors and the store's identity are not transferred.** Each store has its own.
//!   Actions are written in the order of creation, so this order is the same in both stores.
//!
//! # Concurrent writes
//!
//! Each action and its log are read as of one moment. Entries added to a log after the action was
//! read are cut off. If a log loses old entries meanwhile, the action and its log are read
//! again, at most 32 times. Different actions may be as of different moments.
//!
//! Actions removed before their turn are left out. Actions created after the start are left out
//! too, so an export ends however busy the store is.
//!
//! Writing is idempotent: actions that already exist are not changed. So a transfer that stopped
//! can be run again from the beginning. [`resume_point`], [`Exporter::resume`] and [`CopyPoint`]
//! only save time.
//!
//! An unfinished action that was transferred and later changed in its first store cannot be updated
//! ([`ImportRejection::outdated`]).
//!
//! # The format, version 1
//!
//! UTF-8 text with one JSON object per line, each line ended by a newline. The header comes first,
//! then actions with checkpoints among them, then the end.
//!
//! ```text
//! {"action_store_export":1,"store":"0199...","revision":8123}
//! {"action":{"uid":"0199...",...},"log":[{"kind":"created",...},...]}
//! ...
//! {"checkpoint":{"actions":100,"entries":412,"after":"1o.0199....100","checksum":"5f6b..."}}
//! ...
//! {"end":{"actions":118,"entries":480,"checksum":"a1c0..."}}
//! ```
//!
//! | line | field | |
//! | --- | --- | --- |
//! | header | `action_store_export` | integer; the version of the format, 1 |
//! | | `store` | UUID; the identity of the store |
//! | | `revision` | integer; where the store stood when the export began |
//! | action | `action` | object; the action, see below |
//! | | `log` | list of objects; its log, oldest entry first |
//! | checkpoint, end | `actions`, `entries` | integers; how many stand before this line |
//! | | `checksum` | UUID; the sum over all lines before this one |
//! | checkpoint | `after` | text, optional; a cursor of the store, to go on from |
//!
//! The first field of an object is the one listed first in this table, and identifies the type of
//! the line. Between two checkpoints there are at most 1,000 actions, and less than 4 MiB of lines
//! before the last of these. A line has at most 16 MiB.
//!
//! The checksum of zero lines is the nil UUID. Each further line changes it to a UUID of version 5
//! (SHA-1). Its name is the bytes of the line without the line end, and its namespace is the
//! previous checksum.
//!
//! The checksum detects damage: a flipped bit, or a lost, repeated or displaced line. It is not a
//! signature.
//!
//! An action has the fields of [`Action`](crate::Action) under the same names. A log entry has
//! those of [`LogEntry`](crate::LogEntry), without `uid`, which is the action's.
//!
//! | field | |
//! | --- | --- |
//! | `uid`, `digest` | UUID |
//! | `parent`, `retry_of`, `last_op` | UUID, optional |
//! | `source`, `status` | word, as `Display` writes it: `state-machine`, `queued` |
//! | `outcome` | word, optional |
//! | `name`, `tenant` | text |
//! | `object` | text, optional: `bdb:1` |
//! | `actor`, `correlation`, `idempotency_key`, `step`, `description` | text, optional |
//! | `related` | list of `{"role","object","name"?}`, left out when empty |
//! | `labels` | object: the value of each key, left out when empty |
//! | `exclusive`, `warnings` | list of texts, left out when empty |
//! | `progress` | integer, hundredths of a percent |
//! | `attributes`, `result` | **text that is JSON**, optional: kept byte for byte, as no nested JSON would be |
//! | `error` | `{"code","message","detail"?}`, optional. The detail is for operators: keep the file accordingly |
//! | `owner` | `{"name","incarnation"}`, optional |
//! | `cancel` | `{"at","by"?,"reason"?}`, optional |
//! | `evidence` | `{"owner","end","last_seen_at","decided_by"}`, optional |
//! | `created_at`, `last_seen_at` | integer, microseconds since the Unix epoch |
//! | `started_at`, `finished_at` | the same, optional |
//! | `version`, `log_entries` | integer |
//! | `unknown_fields` | text, optional: fields of a later version of this library that the store has kept, see below |
//!
//! | field of an entry | |
//! | --- | --- |
//! | `kind`, `status` | word |
//! | `version`, `at`, `progress` | integer, as above |
//! | `outcome`, `step`, `owner`, `by`, `op`, `note`, `unknown_fields` | as above, optional |
//!
//! UUIDs are lower-case and hyphenated. Optional fields without a value are left out. Fields are
//! written in the order of the structs. They are read in any order, but only once each.
//!
//! **Other versions, unknown fields and unknown words are refused**
//! ([`StoreErrorKind::Incompatible`](crate::StoreErrorKind::Incompatible)): ignoring them would lose data
//! silently. So an addition to the format raises its version.
//!
//! A store may hold fields that a later version wrote and this version does not know. They are
//! exported as `unknown_fields`: the bytes of the [stored form](crate::spi::codec), in lower-case
//! hexadecimal. A version that knows such a field reads it as a normal field of the record.

mod copy;
mod enter;
mod error;
mod export;
mod import;
mod line;
mod text;
mod walk;
mod wire;

pub use copy::{Copied, Copier, CopyPoint, Difference, Differs, copy};
pub use enter::{ImportRejection, Imported, LISTED};
pub use error::{Side, TransferError};
pub use export::{Exporter, ResumePoint, export, resume_point};
pub use import::{Importer, import};
pub use line::{Checkpoint, Count, Origin, VERSION};
