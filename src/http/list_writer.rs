//! Writes the actions of an answer as JSON, one by one, as they are read.
//!
//! The actions themselves need not be kept, and the size of the answer is known exactly.

use super::error::Problem;
use super::json_writer::{JsonWriter, Written as _};
use super::record::Record;
use super::status_vocabulary::StatusVocabulary;
use super::{v1, v2};
use crate::model::Action;

/// Allowance in bytes for the JSON around the actions.
const FRAME: usize = 256;

/// The JSON shape of a list.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// The two arrays of `GET /v1/actions`.
    V1(StatusVocabulary),
    /// One array of both tasks and state machines.
    V1Entries(StatusVocabulary),
    V2,
    /// Records of the feed. True includes the fields that only operators may see.
    Records(bool),
}

/// A list that is being written.
#[derive(Debug)]
pub(super) struct ListWriter {
    shape: Shape,
    /// The arrays written so far. Only `V1` uses the second.
    arrays: [JsonWriter; 2],
    count: usize,
}

/// A state of the list to which it can be cut back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    lengths: [usize; 2],
    count: usize,
}

/// The bytes of one action: the array, and the range within it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    array: usize,
    from: usize,
    to: usize,
}

impl ListWriter {
    pub(super) fn new(shape: Shape) -> ListWriter {
        let arrays = match shape {
            Shape::V1(_) => [r#"{"actions":["#, r#"],"state-machines":["#],
            _ => ["[", ""],
        };
        ListWriter {
            shape,
            arrays: arrays.map(JsonWriter::from),
            count: 0,
        }
    }

    pub(super) fn put(&mut self, action: &Action) -> Result<Place, Problem> {
        let before = self.mark();
        let [first, second] = &mut self.arrays;
        match self.shape {
            Shape::V1(words) => match v1::entry(action, words) {
                v1::Entry::Task(task) => task.write(first.element()),
                v1::Entry::StateMachine(machine) => machine.write(second.element()),
            },
            Shape::V1Entries(words) => v1::entry(action, words).write(first.element()),
            Shape::V2 => v2::Entry::of(action).write(first.element()),
            Shape::Records(inside) => {
                let record = Record::new(action, inside);
                first.element().serialized(&record)?;
            }
        }
        self.count += 1;
        let lengths = self.arrays.iter().map(JsonWriter::len).zip(before.lengths);
        let array = lengths.take_while(|(now, before)| now == before).count();
        Ok(Place {
            array,
            from: before.lengths.get(array).copied().unwrap_or_default(),
            to: self.arrays.get(array).map_or(0, JsonWriter::len),
        })
    }

    /// Removes one action and adjusts the places in `others`.
    pub(super) fn take_off<'p>(
        &mut self,
        place: Place,
        others: impl Iterator<Item = &'p mut Place>,
    ) {
        let Some(array) = self.arrays.get_mut(place.array) else {
            return;
        };
        let length = array.len();
        array.take_out(place.from..place.to);
        let gone = length - array.len();
        self.count -= 1;
        for other in others.filter(|o| o.array == place.array && o.from > place.from) {
            // The new first element has lost its comma.
            other.from = (other.from - gone).max(place.from);
            other.to -= gone;
        }
    }

    /// Number of actions written.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Size of the answer in bytes. It may be a few bytes too low.
    pub(super) fn bytes(&self) -> usize {
        FRAME + self.arrays.iter().map(JsonWriter::len).sum::<usize>()
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            lengths: self.arrays.each_ref().map(JsonWriter::len),
            count: self.count,
        }
    }

    /// Removes every action written since `mark`.
    pub(super) fn cut(&mut self, mark: Mark) {
        for (array, length) in self.arrays.iter_mut().zip(mark.lengths) {
            array.truncate(length);
        }
        self.count = mark.count;
    }

    /// Returns the finished answer. For `Records` it is the array alone.
    pub(super) fn finish(self) -> JsonWriter {
        let [mut answer, second] = self.arrays;
        answer.json(second.as_str());
        answer.json(match self.shape {
            Shape::V1(_) => "]}",
            _ => "]",
        });
        answer
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::model::{Digest, NewAction, ObjectRef, Timestamp};

    fn action(n: u64) -> Action {
        let name = format!("n{n}");
        let new = match n % 3 {
            0 => NewAction::task(&*name),
            _ => NewAction::state_machine(&*name, ObjectRef::bdb(n)),
        };
        Action::new(
            &new,
            Digest::from_uuid(uuid::Uuid::nil()),
            Timestamp::from_seconds(1),
        )
    }

    /// The names of the actions, one array after the other.
    fn names(list_writer: ListWriter) -> Vec<String> {
        let text = list_writer.finish().into_bytes();
        let value: Value = serde_json::from_slice(&text).unwrap();
        let arrays = match &value {
            Value::Object(both) => vec![&both["actions"], &both["state-machines"]],
            one => vec![one],
        };
        let elements = arrays
            .into_iter()
            .flat_map(|array| array.as_array().unwrap());
        elements
            .map(|e| e["name"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn removing_actions_leaves_the_others_unchanged() {
        let words = StatusVocabulary::default();
        for shape in [
            Shape::V1(words),
            Shape::V1Entries(words),
            Shape::V2,
            Shape::Records(true),
        ] {
            for first in 0..5 {
                for second in (0..5).filter(|second| *second != first) {
                    let mut list_writer = ListWriter::new(shape);
                    let actions: Vec<Action> = (0..5).map(action).collect();
                    let put = |action| list_writer.put(action).map_err(|_| ()).unwrap();
                    let mut places: Vec<Place> = actions.iter().map(put).collect();
                    let mark = list_writer.mark();
                    assert!(
                        list_writer.put(&action(7)).is_ok() && list_writer.put(&action(9)).is_ok()
                    );
                    list_writer.cut(mark);
                    let before = list_writer.bytes();
                    for gone in [first, second] {
                        let place = places[gone];
                        list_writer.take_off(place, places.iter_mut());
                    }
                    assert_eq!(list_writer.count(), 3);
                    assert!(list_writer.bytes() < before);
                    let mut left: Vec<u64> = (0..5).collect();
                    left.retain(|n| ![first as u64, second as u64].contains(n));
                    if matches!(shape, Shape::V1(_)) {
                        left.sort_by_key(|n| n % 3 != 0);
                    }
                    let left: Vec<String> = left.iter().map(|n| format!("n{n}")).collect();
                    assert_eq!(
                        names(list_writer),
                        left,
                        "{shape:?} without {first} and {second}"
                    );
                }
            }
        }
    }
}
