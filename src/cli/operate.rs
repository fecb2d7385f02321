//! `run`, `migrate`, `check-config`, `effects`.

use serde_json::json;

use super::{Context, Failure, output};
use crate::domain::counted::{counted, verb};
use crate::domain::effects::{
    Category, RecordCategory, RecordTransition, Transition, effect, record_effect, record_matrix_to_markdown,
    to_markdown,
};
use crate::service;
use crate::store::Migrated;
use crate::telemetry::Telemetry;

pub async fn run(context: &Context) -> Result<(), Failure> {
    context.settings.demand_a_feed()?;
    let telemetry = Telemetry::install()?;
    Ok(service::run(&context.settings, telemetry).await?)
}

pub async fn migrate(context: &Context) -> Result<(), Failure> {
    let store = crate::store::Store::open(&service::options::store(&context.settings, true))?;
    let Migrated { applied, users_granted } = store.migrate().await.map_err(super::not_reached)?;
    if context.json {
        return output::document(&json!({ "applied": applied }));
    }
    if users_granted > 0 {
        output::line(&format!(
            "{} {} given permissions of their own for what they could do before: view where they hold any permission, \
             permanently_delete where they hold delete; `audit list` names them by id",
            counted(users_granted, "user"),
            verb(users_granted, "was", "were")
        ))?;
    }
    match applied[..] {
        [] => output::line("the schema is up to date"),
        _ => output::line(&format!("the schema is up to date now: applied {}", applied.join(", "))),
    }
}

pub fn check_config(context: &Context) -> Result<(), Failure> {
    let settings = context.settings.describe();
    if let Err(mistakes) = context.settings.demand_a_feed() {
        output::say(&format!(
            "note: `run` does not start with these settings, other commands do: {mistakes}"
        ));
    }
    if context.json {
        return output::document(&settings);
    }
    let rows: Vec<Vec<String>> = settings
        .iter()
        .map(|setting| vec![setting.key.clone(), setting.value.to_string(), setting.origin.to_string()])
        .collect();
    output::table(&["key", "value", "from"], &rows, "no settings")
}

pub fn effects(json: bool) -> Result<(), Failure> {
    if !json {
        return output::lines(format!("{}\n{}", to_markdown(), record_matrix_to_markdown()).trim_end());
    }
    let of_contacts = Category::ALL.into_iter().flat_map(|category| {
        Transition::ALL.map(|transition| {
            let says = effect(transition, category).says;
            json!({"records": "contacts", "category": category.title(), "transition": transition.as_str(), "effect": says})
        })
    });
    let of_others = RecordCategory::ALL.into_iter().flat_map(|category| {
        RecordTransition::ALL.map(|transition| {
            let says = record_effect(transition, category).says;
            json!({"records": "others", "category": category.title(), "transition": transition.as_str(), "effect": says})
        })
    });
    output::document(&of_contacts.chain(of_others).collect::<Vec<_>>())
}
