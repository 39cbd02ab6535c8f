//! Serde for the types of the model that are written as text.

/// Implements `Serialize` and `Deserialize` through `Display` and `FromStr`, so that a value is
/// the same text in JSON, in a log and in a URL.
macro_rules! text_serde {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$name, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text_serde;

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Serialize};

    use crate::model::{
        ActionUid, BranchId, Cursor, OpId, Outcome, OwnerEnd, Position, Revision, Source, Status,
        StoreId,
    };

    fn there_and_back<T>(value: T, json: &str)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        assert_eq!(serde_json::to_string(&value).unwrap(), json);
        assert_eq!(serde_json::from_str::<T>(json).unwrap(), value);
        // A reader has no text to borrow from.
        assert_eq!(
            serde_json::from_reader::<_, T>(json.as_bytes()).unwrap(),
            value
        );
        let value_of_json = serde_json::to_value(&value).unwrap();
        assert_eq!(serde_json::from_value::<T>(value_of_json).unwrap(), value);
    }

    #[test]
    fn identities_words_and_cursors_are_their_text() {
        let uid = "159ca2f8-7bf3-4cda-97e8-4eb560665c28";
        there_and_back(uid.parse::<ActionUid>().unwrap(), &format!("{uid:?}"));
        there_and_back(uid.parse::<OpId>().unwrap(), &format!("{uid:?}"));
        there_and_back(Status::Executing, r#""executing""#);
        there_and_back(Outcome::Lost, r#""lost""#);
        there_and_back(Source::StateMachine, r#""state-machine""#);
        there_and_back(OwnerEnd::Fenced, r#""fenced""#);
        let at = Position::new(StoreId::new(), BranchId::FIRST, Revision::new(7));
        for cursor in [Cursor::newest(at, 3), Cursor::feed(at, Revision::new(5))] {
            there_and_back(cursor, &format!("{:?}", cursor.to_string()));
        }
    }

    #[test]
    fn a_text_of_another_kind_is_refused_with_the_reason() {
        let error = serde_json::from_str::<Status>(r#""running""#).unwrap_err();
        assert!(error.to_string().contains("running"), "{error}");
        assert!(serde_json::from_str::<ActionUid>("7").is_err());
        assert!(serde_json::from_str::<ActionUid>(r#""7""#).is_err());
        assert!(serde_json::from_str::<Cursor>(r#""n1""#).is_err());
    }

    #[test]
    fn a_form_may_hold_them() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Row {
            action: ActionUid,
            outcome: Option<Outcome>,
        }
        let row = Row {
            action: ActionUid::new(),
            outcome: Some(Outcome::Failed),
        };
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
    }

    #[test]
    fn a_position_is_an_object_of_plain_values() {
        let id = StoreId::from_uuid(uuid::Uuid::nil());
        let at = Position::new(id, BranchId::FIRST, Revision::new(7)).with_actions(2);
        let json = serde_json::to_value(at).unwrap();
        let expected = serde_json::json!({
            "store_id": "00000000-0000-0000-0000-000000000000",
            "branch": 0,
            "revision": 7,
            "pruned_through": 0,
            "pruned_created": null,
            "actions": 2,
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<Position>(json).unwrap(), at);
        let mut damaged = expected;
        damaged["store_id"] = "7".into();
        assert!(serde_json::from_value::<Position>(damaged).is_err());
    }
}
