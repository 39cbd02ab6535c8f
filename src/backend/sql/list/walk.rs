//! Directions of orders.

use crate::model::{Cursor, Order};

/// The direction of an order.
pub(super) struct Walk {
    /// The condition for rows after a cursor.
    pub(super) beyond: &'static str,
    /// The condition for rows up to the last one that a page may examine.
    pub(super) within: &'static str,
    pub(super) direction: &'static str,
    /// The start value, before the first row.
    pub(super) begin: i64,
    /// The value beyond the last row of a scan.
    pub(super) end: i64,
}

pub(super) fn walk(order: Order) -> Walk {
    match order {
        Order::Oldest | Order::Feed => Walk {
            beyond: ">",
            within: "<=",
            direction: "ASC",
            begin: 0,
            end: i64::MAX,
        },
        _ => Walk {
            beyond: "<",
            within: ">=",
            direction: "DESC",
            begin: i64::MAX,
            end: 0,
        },
    }
}

/// Returns the number that a cursor holds.
pub(super) fn position_of(cursor: Cursor) -> i64 {
    i64::try_from(cursor.position()).unwrap_or(i64::MAX)
}
