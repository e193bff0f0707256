//! `tenant create`, `tenant delete` and `tenant list`.

use pdp_client::Tenant;
use serde_json::{Value, json};

use crate::args;
use crate::exit::Exit;
use crate::options::Server;
use crate::problem::Problem;
use crate::screen::{FAINT, STRONG, Screen, table};

/// Does what the arguments say.
pub(crate) async fn run(
    server: &Server,
    task: args::Tenant,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let client = server.connect().await?;
    match task {
        args::Tenant::Create(args::TenantId { id }) => {
            let tenant = client.create_tenant(&id).await?;
            screen.answer(
                || format!("created tenant `{}` at revision {}\n", tenant.id, tenant.revision),
                || tenant_json(&tenant),
            )?;
        }
        args::Tenant::Delete(args::TenantId { id }) => {
            client.delete_tenant(&id).await?;
            screen.answer(|| format!("deleted tenant `{id}`\n"), || json!({"tenant": id}))?;
        }
        args::Tenant::List => {
            let tenants = client.list_tenants().collect().await?;
            screen.answer(
                || in_rows(&tenants),
                || {
                    let tenants: Vec<Value> = tenants.iter().map(tenant_json).collect();
                    json!({"tenants": tenants})
                },
            )?;
        }
    }
    Ok(Exit::Success)
}

fn in_rows(tenants: &[Tenant]) -> String {
    let row = |tenant: &Tenant| vec![tenant.id.clone(), format!("revision {}", tenant.revision)];
    table(&tenants.iter().map(row).collect::<Vec<_>>(), &[STRONG, FAINT])
}

fn tenant_json(tenant: &Tenant) -> Value {
    let Tenant { id, revision } = tenant;
    json!({"tenant": id, "revision": revision.get()})
}
