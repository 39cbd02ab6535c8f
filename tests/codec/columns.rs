//! Fields in columns: what the codec covers, and what it asks of a store.

use action_store::Action;
use action_store::query::Detail;
use action_store::spi::codec::{
    self, ActionField, CodecError, Field, FieldSet, Kind, Layout, Record, Value,
};
use std::sync::Arc;
use uuid::Uuid;

use crate::samples;

fn body(layout: Layout<Action>, action: &Action) -> Vec<u8> {
    let mut body = Vec::new();
    layout.encode(action, &mut body).unwrap();
    body
}

#[test]
fn every_changed_column_is_found() {
    for (name, action) in samples::actions() {
        let body = body(samples::COLUMNS, &action);
        let values: Vec<Value<'_>> = samples::COLUMNS.values(&action).collect();
        for (at, field) in samples::COLUMNS.columns().iter().enumerate() {
            let others = match field.kind() {
                Kind::Text => vec![Value::Null, Value::Text("bdb:99"), Value::Int(1)],
                Kind::Id => vec![Value::Null, Value::Id(Uuid::nil()), Value::Text("x")],
                _ => vec![
                    Value::Null,
                    Value::Int(-1),
                    Value::Int(0),
                    Value::Int(1),
                    Value::Int(2),
                    Value::Int(i64::MIN),
                ],
            };
            for other in others.into_iter().filter(|other| *other != values[at]) {
                let mut changed = values.clone();
                changed[at] = other;
                let read = samples::COLUMNS.decode(&changed, &body);
                let damaged = matches!(read, Err(CodecError::Damaged(_)));
                assert!(damaged, "{name}: {field:?} as {other:?}: {read:?}");
            }
        }
    }
}

#[test]
fn each_field_may_stand_in_a_column_but_lists() {
    let all = FieldSet::<Action>::of(ActionField::ALL);
    let lists = [
        ActionField::Related,
        ActionField::Exclusive,
        ActionField::Warnings,
        ActionField::Labels,
    ];
    assert_eq!(all.len(), ActionField::ALL.len() - lists.len());
    assert!(lists.iter().all(|list| !all.contains(*list)));
    let single = ActionField::ALL
        .iter()
        .map(|field| FieldSet::<Action>::of(&[*field]));
    for columns in single.chain([all, FieldSet::EMPTY]) {
        let layout = Layout::without(columns);
        for (name, action) in samples::actions() {
            let body = body(layout, &action);
            let values: Vec<Value<'_>> = layout.values(&action).collect();
            assert_eq!(values.len(), columns.len());
            let read = layout.decode(&values, &body);
            assert_eq!(read.as_ref(), Ok(&action), "{name} without {columns:?}");
        }
    }
}

#[test]
fn a_value_stored_in_a_column_is_not_in_the_body() {
    let (_, action) = samples::actions().remove(0);
    let whole = codec::encode(&action).unwrap();
    assert_eq!(whole, body(Layout::WHOLE, &action));
    // All but digest, step, last operation, frame and checksum.
    assert_eq!(body(samples::COLUMNS, &action).len(), 18 + 8 + 18 + 2 + 4);
}

#[test]
fn another_number_of_columns_is_refused() {
    let (_, action) = samples::actions().remove(0);
    let body = body(samples::COLUMNS, &action);
    let values: Vec<Value<'_>> = samples::COLUMNS.values(&action).collect();
    assert!(samples::COLUMNS.decode(&values[1..], &body).is_err());
    assert!(samples::COLUMNS.decode(&[], &body).is_err());
    assert!(Layout::<Action>::WHOLE.decode(&values, &body).is_err());
    assert!(codec::decode::<Action>(&body).is_err());
}

#[test]
fn bodies_are_appended_one_after_the_other() {
    let (mut all, mut ends) = (vec![7], vec![1]);
    let actions = samples::actions();
    for (_, action) in &actions {
        Layout::<Action>::WHOLE.encode(action, &mut all).unwrap();
        ends.push(all.len());
    }
    for ((_, action), ends) in actions.iter().zip(ends.windows(2)) {
        let body = &all[ends[0]..ends[1]];
        assert_eq!(codec::decode::<Action>(body).as_ref(), Ok(action));
    }
}

#[test]
fn a_summary_is_what_detail_makes_of_the_action() {
    const RESULT: Layout<Action> = Layout::without(FieldSet::<Action>::of(&[
        ActionField::Result,
        ActionField::ErrorDetail,
    ]));
    for layout in [Layout::WHOLE, samples::COLUMNS, RESULT] {
        for (name, action) in samples::actions() {
            let body = body(layout, &action);
            let values: Vec<Value<'_>> = layout.values(&action).collect();
            let summary = layout.decode_summary(&values, &body).unwrap();
            let expected = Detail::Summary.of(Arc::new(action.clone()));
            assert_eq!(summary, *expected, "{name}");
        }
    }
}

#[test]
fn a_value_is_what_the_model_holds() {
    let (_, action) = samples::actions().remove(3);
    assert_eq!(
        action.value(ActionField::Uid),
        Value::Id(*action.uid.as_uuid())
    );
    assert_eq!(action.value(ActionField::Name), Value::Text("SMCreateBDB"));
    assert_eq!(action.value(ActionField::Status), Value::Int(2));
    assert_eq!(action.value(ActionField::Outcome), Value::Int(4));
    assert_eq!(action.value(ActionField::Version), Value::Int(300));
    let created = action.created_at.as_micros();
    assert_eq!(action.value(ActionField::CreatedAt), Value::Int(created));
    assert_eq!(action.value(ActionField::Related), Value::Null);
}
