use serde_json::json;

use crate::exit::Exit;
use crate::output::{Output, fields};
use crate::target::{Place, Target};

/// Prints the table that the other commands use, and the operator's identity.
pub(crate) async fn run(target: &Target, output: &Output) -> anyhow::Result<Exit> {
    let principal = target.principal().await?;
    let (kind, place) = match &target.place {
        Place::Local(folder) => ("local", format!("the local stack of the data folder {}", folder.display())),
        Place::Aws(aws) => ("aws", format!("AWS, region {}", aws.region())),
    };
    let global = target.global_signing_key.as_ref().map(ToString::to_string);
    let value = json!({
        "kind": kind,
        "place": place,
        "table": target.table,
        "base_url": target.base_url,
        "global_signing_key": global,
        "principal": principal.as_str(),
    });
    let unknown = || "unknown: give --stack".to_owned();
    let text = fields(
        "",
        &[
            ("target", place),
            ("table", target.table.clone()),
            ("base URL", target.base_url.clone().unwrap_or_else(unknown)),
            ("signing key", global.unwrap_or_else(unknown)),
            ("you are", principal.to_string()),
        ],
    );
    output.result(&text, &value)
}
