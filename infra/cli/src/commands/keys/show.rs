use clap::Args;
use keypool_domain::LicenseKeyRecord;
use serde_json::json;

use super::select::Named;
use crate::difference::NOTHING;
use crate::exit::Exit;
use crate::output::{BAD, Output, STRONG, printable};
use crate::target::Target;
use crate::view;

/// Show everything about license keys (1 read unit each)
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    keypool keys show OFF-7K2M-9QXA\n  \
    keypool keys show --file asked-for.txt --json\n\n\
    Exit code 3: a key does not exist.")]
pub(crate) struct Show {
    #[command(flatten)]
    named: Named,
}

impl Show {
    pub(super) async fn run(&self, target: &Target, output: Output) -> anyhow::Result<Exit> {
        let mut exit = Exit::Done;
        for license_key in self.named.read()? {
            if let Some(key) = target.store.license_key(&license_key).await? {
                output.result(&text(&key), &key.to_json())?;
            } else {
                exit = Exit::Partly;
                let (name, why) = (license_key.as_str(), "there is no such license key");
                if output.is_json() {
                    output.value(&json!({"license_key": name, "status": null, "reason": why}))?;
                } else {
                    output.note(&format!("{BAD}{name}{BAD:#}: {why}"));
                }
            }
        }
        Ok(exit)
    }
}

fn text(key: &LicenseKeyRecord) -> String {
    let nothing = || NOTHING.to_owned();
    let unlimited = |number: String| if number == "0" { "unlimited".to_owned() } else { number };
    format!(
        "{STRONG}{}{STRONG:#}\n  product           {}\n  status            {}\n  owner             {}\n  \
         order             {}\n  assigned          {}\n  replaced by       {}\n  activation limit  {}\n  validity          {}\n  created           {}\n  \
         changed           {}\n  id, version       {}, {}",
        key.license_key.as_str(),
        key.product_id,
        key.status,
        view::owner(&key.owner),
        key.order.as_ref().map_or_else(nothing, |order| printable(order.reference.as_str())),
        key.assigned_at.map_or_else(nothing, |at| at.to_string()),
        key.replaced_by.as_ref().map_or_else(nothing, |key| key.as_str().to_owned()),
        unlimited(key.activation_limit.to_string()),
        match unlimited(key.validity.to_string()).as_str() {
            "unlimited" => "unlimited".to_owned(),
            days => format!("{days} days"),
        },
        key.created_at,
        key.updated_at,
        key.id,
        key.version,
    )
}
