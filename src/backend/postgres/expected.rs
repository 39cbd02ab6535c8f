//! The parts of a schema that its text creates, to verify a schema that the host's tool created.
//!
//! This reads only the library's own text, in which each line of a table begins with a column or a
//! constraint.

/// Returns each part with its definition: the type of a column, the text of a function, and nothing
/// for the others.
pub(super) fn parts(step: &str) -> Vec<(String, String)> {
    let mut parts = Vec::new();
    let mut table: Option<&str> = None;
    for line in step.lines() {
        let code = line.split("--").next().unwrap_or_default().trim_end();
        let words: Vec<&str> = code.split_whitespace().collect();
        match (table, words.as_slice()) {
            (None, ["CREATE", "TABLE", name, ..]) => table = Some(bare(name)),
            (None, ["CREATE", "INDEX", name, ..] | ["CREATE", "UNIQUE", "INDEX", name, ..]) => {
                parts.push((format!("index {name}"), String::new()));
            }
            (None, ["CREATE", "SEQUENCE", name, ..]) => {
                let name = bare(name).trim_end_matches(';');
                parts.push((format!("sequence {name}"), String::new()));
            }
            (
                None,
                ["CREATE", "TRIGGER", name, ..] | ["CREATE", "CONSTRAINT", "TRIGGER", name, ..],
            ) => {
                parts.push((format!("trigger {name}"), String::new()));
            }
            (None, ["CREATE", "VIEW", name, ..]) => {
                parts.push((format!("view {}", bare(name)), String::new()));
            }
            (None, ["CREATE", "FUNCTION", name, ..]) => {
                let name = name.split('(').next().unwrap_or_default();
                let name = bare(name);
                // The text between the first two `$$` from this line on.
                let at = step.find(line).and_then(|at| step.get(at..));
                let text = at.and_then(|text| text.split("$$").nth(1));
                let text = text.unwrap_or_default();
                parts.push((format!("function {name}"), text.to_owned()));
            }
            (Some(_), [end, ..]) if end.starts_with(')') => table = None,
            (Some(_), ["CONSTRAINT", name, ..]) => {
                parts.push((format!("constraint {name}"), String::new()));
            }
            (Some(table), [column, kind, ..]) => {
                let not_null = code.contains(" NOT NULL");
                let kind = kind.trim_end_matches(',');
                let end = if not_null { " NOT NULL" } else { "" };
                parts.push((format!("column {table}.{column}"), format!("{kind}{end}")));
            }
            _ => {}
        }
    }
    parts
}

/// Returns a name without its schema.
fn bare(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_the_schema_is_read_whole() {
        let step = include_str!("../../../migrations/postgres/0001_actions.sql");
        let parts = parts(step);
        let count = |kind: &str| {
            let of_kind = parts.iter().filter(|(name, _)| name.starts_with(kind));
            of_kind.count()
        };
        assert_eq!(count("function "), step.matches("CREATE FUNCTION").count());
        let triggers = ["CREATE TRIGGER", "CREATE CONSTRAINT TRIGGER"];
        let triggers = triggers.map(|text| step.matches(text).count());
        assert_eq!(count("trigger "), triggers.into_iter().sum::<usize>());
        assert_eq!(count("sequence "), step.matches("CREATE SEQUENCE").count());
        assert_eq!(count("view "), step.matches("CREATE VIEW").count());
        assert_eq!(count("constraint "), step.matches("  CONSTRAINT ").count());
        let indexes = step.matches("CREATE INDEX").count() + step.matches("UNIQUE INDEX").count();
        assert_eq!(count("index "), indexes);
        let has = |name: &str, definition: &str| {
            parts.contains(&(name.to_owned(), definition.to_owned()))
        };
        assert!(has("column actions_action.body", "bytea NOT NULL"));
        assert!(has("column actions_action.owner", "text"));
        assert!(has("column actions_owner.id", "bigint NOT NULL"));
        assert!(has("column actions_commit.pruned_created", "bigint"));
        let refuse = parts
            .iter()
            .find(|(name, _)| name == "function actions_refuse");
        assert!(refuse.unwrap().1.contains("TG_ARGV[0]"));
    }
}
