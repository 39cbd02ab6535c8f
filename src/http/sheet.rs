//! What the actions of an answer are written into, one by one, as they are read.
//!
//! Written at once they need not be held, and what they come to in bytes is known rather than
//! guessed.

use super::error::Problem;
use super::record::Record;
use super::text::{Text, Written as _};
use super::words::Words;
use super::{v1, v2};
use crate::model::Action;

/// What stands around the actions of any answer.
const FRAME: usize = 256;

/// The shape of a list.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// The two arrays of `GET /v1/actions`.
    V1(Words),
    /// One array, of tasks and state machines alike.
    V1Entries(Words),
    V2,
    /// Records of the feed; whether with what only operators may see.
    Records(bool),
}

/// A list that is being written.
#[derive(Debug)]
pub(super) struct Sheet {
    shape: Shape,
    /// Each with its elements so far; only one shape has a second.
    arrays: [Text; 2],
    count: usize,
}

/// What a sheet can be cut back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    lengths: [usize; 2],
    count: usize,
}

/// Where an action stands on a sheet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    array: usize,
    from: usize,
    to: usize,
}

impl Sheet {
    pub(super) fn new(shape: Shape) -> Sheet {
        let arrays = match shape {
            Shape::V1(_) => [r#"{"actions":["#, r#"],"state-machines":["#],
            _ => ["[", ""],
        };
        Sheet {
            shape,
            arrays: arrays.map(Text::from),
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
        let lengths = self.arrays.iter().map(Text::len).zip(before.lengths);
        let array = lengths.take_while(|(now, before)| now == before).count();
        Ok(Place {
            array,
            from: before.lengths.get(array).copied().unwrap_or_default(),
            to: self.arrays.get(array).map_or(0, Text::len),
        })
    }

    /// Takes one off; those in `others` that came after it move up.
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
            // The one that is first now has no comma any more.
            other.from = (other.from - gone).max(place.from);
            other.to -= gone;
        }
    }

    /// How many actions are on it.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many bytes the answer takes, or a few less.
    pub(super) fn bytes(&self) -> usize {
        FRAME + self.arrays.iter().map(Text::len).sum::<usize>()
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            lengths: self.arrays.each_ref().map(Text::len),
            count: self.count,
        }
    }

    /// Takes off what was put on it since.
    pub(super) fn cut(&mut self, mark: Mark) {
        for (array, length) in self.arrays.iter_mut().zip(mark.lengths) {
            array.truncate(length);
        }
        self.count = mark.count;
    }

    /// The answer; of records their array.
    pub(super) fn finish(self) -> Text {
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

    /// The names on a sheet, in order, of one array after the other.
    fn names(sheet: Sheet) -> Vec<String> {
        let text = sheet.finish().into_bytes();
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
    fn what_is_taken_off_or_cut_leaves_the_others_as_they_are() {
        let words = Words::default();
        for shape in [
            Shape::V1(words),
            Shape::V1Entries(words),
            Shape::V2,
            Shape::Records(true),
        ] {
            for first in 0..5 {
                for second in (0..5).filter(|second| *second != first) {
                    let mut sheet = Sheet::new(shape);
                    let actions: Vec<Action> = (0..5).map(action).collect();
                    let put = |action| sheet.put(action).map_err(|_| ()).unwrap();
                    let mut places: Vec<Place> = actions.iter().map(put).collect();
                    let mark = sheet.mark();
                    assert!(sheet.put(&action(7)).is_ok() && sheet.put(&action(9)).is_ok());
                    sheet.cut(mark);
                    let before = sheet.bytes();
                    for gone in [first, second] {
                        let place = places[gone];
                        sheet.take_off(place, places.iter_mut());
                    }
                    assert_eq!(sheet.count(), 3);
                    assert!(sheet.bytes() < before);
                    let mut left: Vec<u64> = (0..5).collect();
                    left.retain(|n| ![first as u64, second as u64].contains(n));
                    if matches!(shape, Shape::V1(_)) {
                        left.sort_by_key(|n| n % 3 != 0);
                    }
                    let left: Vec<String> = left.iter().map(|n| format!("n{n}")).collect();
                    assert_eq!(names(sheet), left, "{shape:?} without {first} and {second}");
                }
            }
        }
    }
}
