//! The ergonomic face: begin, report, finish, recover.
