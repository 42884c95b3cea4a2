//! Within: a scope's reach as a condition on rows. A reach of nothing matches no row.

use continuity::Reach;
use sea_orm::sea_query::{Condition, Expr, ExprTrait};
use sea_orm::{ColumnTrait, Value};
use uuid::Uuid;

use crate::entity::{alerts, clients, codes, copies, drills, jobs, machines, runs, silences, sites, tenants};

/// Which columns say where a row belongs: of a tenant, of a client if any, of a machine if any.
pub(crate) struct Place<C> {
    tenant: C,
    client: Option<C>,
    machine: Option<C>,
}

/// Rows that belong somewhere.
pub(crate) trait Placed {
    /// The entity's columns.
    type Column: ColumnTrait + Copy;

    /// Which columns say where.
    fn place() -> Place<Self::Column>;
}

macro_rules! placed {
    ($($module:ident: $tenant:ident, $client:expr, $machine:expr;)*) => {$(
        impl Placed for $module::Entity {
            type Column = $module::Column;

            fn place() -> Place<$module::Column> {
                use $module::Column::*;
                Place { tenant: $tenant, client: $client, machine: $machine }
            }
        }
    )*};
}

placed! {
    tenants: Id, None, None;
    clients: Tenant, Some(Id), None;
    sites: Tenant, Some(Client), None;
    codes: Tenant, Some(Client), None;
    machines: Tenant, Some(Client), Some(Id);
    jobs: Tenant, Some(Client), Some(Machine);
    runs: Tenant, Some(Client), Some(Machine);
    copies: Tenant, Some(Client), Some(Machine);
    drills: Tenant, Some(Client), Some(Machine);
    alerts: Tenant, Some(Client), Some(Machine);
    silences: Tenant, Some(Client), Some(Machine);
}

/// The rows of an entity that are within reach.
pub(crate) fn within<E: Placed>(reach: &Reach) -> Condition {
    let Place { tenant, client, machine } = E::place();
    let mut any = Condition::any();
    any = any.add_option(one_of(tenant, reach.tenants.iter().map(|id| id.uuid())));
    if let Some(client) = client {
        for (tenant_id, ids) in by_tenant(reach.clients.iter().map(|(client, tenant)| (tenant.uuid(), client.uuid()))) {
            any = any.add_option(one_of(client, ids).map(|ids| ids.and(tenant.eq(tenant_id))));
        }
    }
    if let Some(machine) = machine {
        let machines = reach.machines.iter().map(|(machine, (_, tenant))| (tenant.uuid(), machine.uuid()));
        for (tenant_id, ids) in by_tenant(machines) {
            any = any.add_option(one_of(machine, ids).map(|ids| ids.and(tenant.eq(tenant_id))));
        }
    }
    // An empty list of alternatives would match everything.
    if any.is_empty() { any.add(Expr::value(false)) } else { any }
}

fn one_of<C: ColumnTrait>(column: C, ids: impl IntoIterator<Item = Uuid>) -> Option<Expr> {
    let ids: Vec<Value> = ids.into_iter().map(Value::from).collect();
    (!ids.is_empty()).then(|| column.is_in(ids))
}

fn by_tenant(ids: impl Iterator<Item = (Uuid, Uuid)>) -> std::collections::BTreeMap<Uuid, Vec<Uuid>> {
    let mut grouped: std::collections::BTreeMap<Uuid, Vec<Uuid>> = Default::default();
    for (tenant, id) in ids {
        grouped.entry(tenant).or_default().push(id);
    }
    grouped
}
