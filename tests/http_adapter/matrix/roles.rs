//! The roles, and the actions that they may see.

use action_store::ObjectRef;
use action_store::http::{Denied, Permission, Scope};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::recorded::Recorded;

/// A role. The authorizer reads it from a header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) admitted: Result<Rights, StatusCode>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rights {
    pub(super) tenant: Option<&'static str>,
    pub(super) objects: Option<&'static [&'static str]>,
    pub(super) operator: bool,
}

const ALL: Rights = Rights {
    tenant: None,
    objects: None,
    operator: false,
};

const fn role(name: &'static str, rights: Rights) -> Role {
    Role {
        name,
        admitted: Ok(rights),
    }
}

const fn denied(name: &'static str, status: StatusCode) -> Role {
    Role {
        name,
        admitted: Err(status),
    }
}

const ACME: Option<&str> = Some("acme");
const ONE: Option<&[&str]> = Some(&["bdb:1"]);
const SOME: Option<&[&str]> = Some(&["bdb:2", "node:1", "crdb:x", "bdb:3"]);

#[rustfmt::skip]
pub(super) const ROLES: &[Role] = &[
    denied("nobody", StatusCode::UNAUTHORIZED),
    denied("stranger", StatusCode::FORBIDDEN),
    denied("undecided", StatusCode::SERVICE_UNAVAILABLE),
    role("viewer", ALL),
    role("operator", Rights { operator: true, ..ALL }),
    role("acme", Rights { tenant: ACME, ..ALL }),
    role("acme's operator", Rights { tenant: ACME, operator: true, ..ALL }),
    role("globex", Rights { tenant: Some("globex"), ..ALL }),
    role("default's", Rights { tenant: Some("default"), ..ALL }),
    role("nobody's tenant", Rights { tenant: Some("initech"), ..ALL }),
    role("one object", Rights { objects: ONE, ..ALL }),
    role("one object's operator", Rights { objects: ONE, operator: true, ..ALL }),
    role("some objects", Rights { objects: SOME, ..ALL }),
    role("no objects", Rights { objects: Some(&[]), ..ALL }),
    role("one object of acme", Rights { tenant: ACME, objects: ONE, ..ALL }),
    role("some objects of acme", Rights { tenant: ACME, objects: SOME, operator: true }),
];

impl Rights {
    pub(super) fn scope(&self) -> Scope {
        let objects = |texts: &[&str]| -> Vec<ObjectRef> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let mut scope = match (self.tenant, self.objects) {
            (None, None) => Scope::everything(),
            (Some(tenant), None) => Scope::tenant(tenant),
            (None, Some(texts)) => Scope::objects(objects(texts)),
            (Some(tenant), Some(texts)) => Scope::tenant(tenant).with_objects(objects(texts)),
        };
        if self.operator {
            scope = scope.with_operator_detail();
        }
        scope
    }

    pub(super) fn sees(&self, recorded: &Recorded) -> bool {
        let touched = |objects: &[&str]| objects.iter().any(|o| recorded.touches.contains(o));
        self.tenant.is_none_or(|tenant| tenant == recorded.tenant)
            && self.objects.is_none_or(touched)
    }
}

pub(super) fn authorize(parts: &Parts, _: Permission) -> Result<Scope, Denied> {
    let name = parts.headers.get("x-role").and_then(|h| h.to_str().ok());
    let role = ROLES.iter().find(|role| Some(role.name) == name);
    match role.unwrap().admitted {
        Ok(rights) => Ok(rights.scope()),
        Err(StatusCode::UNAUTHORIZED) => Err(Denied::basic("r")),
        Err(StatusCode::FORBIDDEN) => Err(Denied::Forbidden),
        Err(_) => Err(Denied::Unavailable),
    }
}
