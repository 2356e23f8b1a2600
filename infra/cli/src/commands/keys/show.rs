use clap::Args;
use keypool_domain::{LicenseKey, LicenseKeyRecord};
use serde_json::json;

use super::select::Named;
use crate::difference::or_nothing;
use crate::exit::Exit;
use crate::output::{BAD, Output, STRONG, fields, printable};
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
    pub(super) async fn run(&self, target: &Target, output: &Output) -> anyhow::Result<Exit> {
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
    let limited = |number: String, unit: &str| match number.as_str() {
        "0" => "unlimited".to_owned(),
        number => format!("{number}{unit}"),
    };
    let order = key.order.as_ref().map(|order| printable(order.reference.as_str()));
    let fields = fields(
        "  ",
        &[
            ("product", key.product_id.to_string()),
            ("status", key.status.to_string()),
            ("owner", view::owner(&key.owner)),
            ("order", or_nothing(order)),
            ("assigned", or_nothing(key.assigned_at)),
            ("replaced by", or_nothing(key.replaced_by.as_ref().map(LicenseKey::as_str))),
            ("activation limit", limited(key.activation_limit.to_string(), "")),
            ("validity", limited(key.validity.to_string(), " days")),
            ("created", key.created_at.to_string()),
            ("changed", key.updated_at.to_string()),
            ("id, version", format!("{}, {}", key.id, key.version)),
        ],
    );
    format!("{STRONG}{}{STRONG:#}\n{fields}", key.license_key.as_str())
}
