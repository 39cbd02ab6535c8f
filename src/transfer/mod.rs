//! Moving and keeping: any store to text and back, and any store into any other.
//!
//! - [`export`] and [`Exporter`] write a store as lines of JSON; [`import`] and [`Importer`] enter
//!   such lines into a store.
//! - [`copy`] and [`Copier`] go from store to store without a text, and compare the two at the end.
//!
//! All of it is built on the methods of [`ActionStore`](crate::ActionStore) alone, so it works with
//! every store, in both directions, and holds a page of actions in memory, whatever the store has.
//!
//! # What is moved, and what is not
//!
//! Actions as they are, and their logs, byte for byte, with fields of a later version: unfinished actions too, with their exclusive
//! keys, and all actions with their idempotency keys. A repeated create finds its action in the new
//! store as in the old one.
//!
//! - **Owners and their leases are not moved.** The owner that an unfinished action names is unknown
//!   to the new store, so nobody there can speak for it: it can be completed as lost (or
//!   interrupted, when queued), with [`OwnerEnd::Unknown`](crate::OwnerEnd::Unknown) as evidence, or
//!   be adopted. Move a store whose owners are at rest, or only what is completed
//!   (`with_term(Term::Status(Status::Completed))`).
//! - **Pins are not moved.** No method of the trait shows them; a host that pins knows what, and
//!   pins it again.
//! - **Revisions, cursors and the store's identity are not moved.** They are each store's own.
//!   Actions are entered in the order of their creation, which is therefore the same in both.
//!
//! # While others write
//!
//! Each action is read together with its log as of one moment: what is added to a log after the
//! action was read is cut off, and a log that lost its oldest entries meanwhile is read again with
//! its action (32 times at most). Different actions may be as of different moments. An action
//! removed before its turn is left out; one created after the beginning is left out too, so an
//! export ends however busy the store is.
//!
//! Entering is idempotent: what is there already stays as it is. So whatever stopped a transfer, it
//! can be run again from the beginning; [`resume_point`], [`Exporter::resume`] and [`CopyPoint`]
//! only save time. An unfinished action that was entered and has since changed in the store it came
//! from cannot be brought up to date ([`Refusal::outdated`]).
//!
//! # The format, version 1
//!
//! UTF-8 text, one JSON object a line, each line ended by a newline: a header, then actions with
//! checkpoints among them, then an end.
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
//! An object's first field is the one named first here; what a line is can be told by it. Before
//! each action there are at most 999 others, and less than 4 MiB of lines, since the checkpoint
//! before it. A line has at most 16 MiB.
//!
//! The sum of no line is the nil UUID; the sum including one more line is the UUID of version 5
//! (SHA-1) of that line's bytes, without what ends it, in the namespace of the sum before. It shows
//! damage: a flipped bit, a lost, repeated or displaced line. It is no signature.
//!
//! An action has the fields of [`Action`](crate::Action), an entry those of
//! [`Transition`](crate::Transition) (but for `uid`, which is the action's), under the same names:
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
//! UUIDs are lower-case and hyphenated. Optional fields are left out when there is nothing to say.
//! Fields are written in the order of the structs; they are read in any order, once each.
//!
//! **Another version is refused, and so is a field or a word this version does not have**
//! ([`ErrorKind::Incompatible`](crate::ErrorKind::Incompatible)): leaving out what is not understood
//! would lose it in silence. An addition to the format therefore raises its version.
//!
//! A store may hold fields that a later version wrote and this version does not know. They are
//! exported as `unknown_fields`: the bytes of the [stored form](crate::spi::codec), in lower-case
//! hexadecimal. A version that knows such a field reads it as the record's own.

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
pub use enter::{Imported, LISTED, Refusal};
pub use error::{Side, TransferError};
pub use export::{Exporter, ResumePoint, export, resume_point};
pub use import::{Importer, import};
pub use line::{Checkpoint, Count, Origin, VERSION};
